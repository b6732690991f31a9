"""Twin of ``evaluation/normals.py``."""

from __future__ import annotations

import numpy as np


def face_normal_consistency(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Every pair of faces, edge by edge."""
    sharing: dict[frozenset[int], list[int]] = {}
    for number, (a, b, c) in enumerate(faces.tolist()):
        for edge in ((a, b), (b, c), (c, a)):
            sharing.setdefault(frozenset(edge), []).append(number)
    cosines = []
    for found in sharing.values():
        if len(found) == 2:
            normals = []
            for number in found:
                a, b, c = vertices[faces[number]].astype(np.float64)
                normals.append(np.cross(b - a, c - a))
            sizes = [np.linalg.norm(normal) for normal in normals]
            if min(sizes) > 0:
                cosines.append(float(normals[0] @ normals[1]) / (sizes[0] * sizes[1]))
    return sum(cosines) / len(cosines)
