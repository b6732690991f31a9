"""Twin of ``evaluation/normals.py``."""

from __future__ import annotations

import numpy as np


def carry_normals(matrix: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """The normal of two moved tangents, one normal at a time."""
    moved = []
    for normal in normals:
        other = np.eye(3)[np.argmin(np.abs(normal))]
        first = np.cross(normal, other)
        second = np.cross(normal, first)
        turned = np.cross(matrix[:3, :3] @ first, matrix[:3, :3] @ second)
        moved.append(turned / np.linalg.norm(turned) * np.sign(np.linalg.det(matrix[:3, :3])))
    return np.array(moved)


def nearest_normal_consistency(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> float:
    """All points as queries."""
    means = []
    for (points, normals), (others, other_normals) in ((first, second), (second, first)):
        cosines = []
        for point, normal in zip(points, normals, strict=True):
            nearest = min(range(len(others)), key=lambda i: float(((others[i] - point) ** 2).sum()))
            cosines.append(abs(float(normal @ other_normals[nearest])))
        means.append(sum(cosines) / len(cosines))
    return (means[0] + means[1]) / 2


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
