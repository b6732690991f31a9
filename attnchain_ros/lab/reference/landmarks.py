"""Twin of ``mesh/landmarks.py``."""

from __future__ import annotations

import numpy as np


def vertex_curvature(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[V] absolute mean curvature over its 95th percentile, clipped to [0, 1]; edge by edge."""
    vertices = vertices.astype(np.float64)
    normal, area, edges = [], [], {}
    total, own = np.zeros(len(vertices)), np.zeros(len(vertices))
    for number, face in enumerate(faces):
        a, b, c = vertices[face]
        cross = np.cross(b - a, c - a)
        area.append(np.linalg.norm(cross) / 2)
        normal.append(cross / np.linalg.norm(cross))
        for i in range(3):
            own[face[i]] += area[-1] / 3
            edges.setdefault(frozenset((int(face[i]), int(face[i - 1]))), []).append(number)
    for edge, owners in edges.items():
        if len(owners) == 2:
            first, second = edge
            cosine = np.clip(normal[owners[0]] @ normal[owners[1]], -1, 1)
            bend = np.linalg.norm(vertices[first] - vertices[second]) * np.arccos(cosine) / 4
            total[first] += bend
            total[second] += bend
    curvature = np.array([t / o if o > 0 else 0.0 for t, o in zip(total, own, strict=True)])
    flat = 0.01 / np.linalg.norm(vertices.max(axis=0) - vertices.min(axis=0))
    scale = np.percentile(curvature, 95)
    if scale <= flat:
        scale = curvature.max()
    return np.zeros(len(vertices)) if scale <= flat else np.minimum(curvature / scale, 1)


def pick_landmarks(vertices: np.ndarray, faces: np.ndarray, count: int, curvature_boost: float) -> np.ndarray:
    """[K] vertices: one per component, then greedily the largest distance times (1 + boost * curvature)."""
    vertices = vertices.astype(np.float64)
    boost = 1 + curvature_boost * vertex_curvature(vertices, faces)
    groups: list[set[int]] = []
    for face in faces:
        touched = [group for group in groups if group & set(face.tolist())]
        groups = [group for group in groups if group not in touched]
        groups.append(set(face.tolist()).union(*touched))
    chosen: list[int] = []
    for group in sorted(groups, key=lambda group: (-len(group), min(group)))[:count]:
        middle = np.mean([vertices[i] for i in sorted(group)], axis=0)
        chosen.append(max(sorted(group), key=lambda i: np.linalg.norm(vertices[i] - middle) * boost[i]))
    candidates = sorted(set().union(*groups))
    while len(chosen) < count:
        scores = [min(np.linalg.norm(vertices[i] - vertices[j]) for j in chosen) * boost[i] for i in candidates]
        if max(scores) <= 0:
            break
        chosen.append(candidates[int(np.argmax(scores))])
    return np.array(chosen)
