"""Twin of ``mesh/sampling.py``."""

from __future__ import annotations

import numpy as np


def sample_surface(
    vertices: np.ndarray, faces: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Area-uniform points, normals, faces and barycentric weights, one point at a time; see the fast one."""
    areas, normals = [], []
    for a, b, c in vertices.astype(np.float64)[faces]:
        normal = np.cross(b - a, c - a)
        areas.append(np.linalg.norm(normal) / 2)
        normals.append(normal / max(np.linalg.norm(normal), 1e-300))
    points, point_normals, face, barycentric = [], [], [], []
    for _ in range(count):
        where, spread, side = rng.random(3)
        left, chosen = where * sum(areas), 0
        while left >= areas[chosen]:
            left -= areas[chosen]
            chosen += 1
        share = np.array([1 - spread**0.5, spread**0.5 * (1 - side), spread**0.5 * side])
        face.append(chosen)
        barycentric.append(share)
        point_normals.append(normals[chosen])
        points.append(sum(s * vertices[v].astype(np.float64) for s, v in zip(share, faces[chosen], strict=True)))
    return np.array(points), np.array(point_normals), np.array(face), np.array(barycentric)


def farthest_points(points: np.ndarray, count: int, start: int = 0) -> np.ndarray:
    """[count] indices, each the farthest of [n, 3] points from those before; equal distances go to the lowest index."""
    points = points.astype(np.float64)
    chosen = [start]
    while len(chosen) < count:
        best, best_distance = -1, -1.0
        for i, point in enumerate(points):
            if i not in chosen:
                distance = min(float(((point - points[j]) ** 2).sum()) for j in chosen)
                if distance > best_distance:
                    best, best_distance = i, distance
        chosen.append(best)
    return np.array(chosen)
