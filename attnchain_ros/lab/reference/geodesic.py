"""Twin of ``mesh/geodesic.py``: Dijkstra with a heap, one landmark at a time."""

from __future__ import annotations

import heapq
import math

import numpy as np


def _unfolded(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> float | None:
    """Straight distance c-d after unfolding triangles abc and abd into a plane; None if the line misses edge ab."""
    length = float(np.linalg.norm(b - a))
    flat = []
    for apex, side in ((c, 1), (d, -1)):
        # Place a at 0 and b at (length, 0): the apex follows from its distances to both.
        to_a, to_b = float(np.linalg.norm(apex - a)), float(np.linalg.norm(apex - b))
        x = (to_a**2 - to_b**2 + length**2) / (2 * length)
        flat.append((x, side * math.sqrt(max(to_a**2 - x**2, 0.0))))
    (xc, yc), (xd, yd) = flat
    if yc == yd:
        return None
    crossing = xc + (xd - xc) * yc / (yc - yd)
    return math.hypot(xd - xc, yd - yc) if 0 <= crossing <= length else None


def _neighbours(vertices: np.ndarray, faces: np.ndarray) -> list[dict[int, float]]:
    links: list[dict[int, float]] = [{} for _ in vertices]

    def link(i: int, j: int, length: float) -> None:
        links[i][j] = links[j][i] = min(length, links[i].get(j, math.inf))

    apexes: dict[tuple[int, int], list[int]] = {}
    for face in faces.tolist():
        for i in range(3):
            a, b, c = face[i], face[(i + 1) % 3], face[(i + 2) % 3]
            link(a, b, float(np.linalg.norm(vertices[a] - vertices[b])))
            apexes.setdefault((min(a, b), max(a, b)), []).append(c)
    for (a, b), ends in apexes.items():
        if len(ends) == 2:
            length = _unfolded(*(vertices[i] for i in (a, b, *ends)))
            if length is not None:
                link(ends[0], ends[1], length)
    return links


def geodesic_distances(vertices: np.ndarray, faces: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """[K, V] float64 shortest paths along edges and across-edge shortcuts; inf across components."""
    vertices = vertices.astype(np.float64)
    links = _neighbours(vertices, faces)
    rows = []
    for source in sources.tolist():
        distance = [math.inf] * len(vertices)
        distance[source] = 0.0
        queue = [(0.0, source)]
        while queue:
            reached, i = heapq.heappop(queue)
            if reached == distance[i]:
                for j, length in links[i].items():
                    if reached + length < distance[j]:
                        distance[j] = reached + length
                        heapq.heappush(queue, (distance[j], j))
        rows.append(distance)
    return np.array(rows)


def nearest_landmarks(
    vertices: np.ndarray, faces: np.ndarray, landmark_vertices: np.ndarray, k_nn: int
) -> tuple[np.ndarray, np.ndarray]:
    """Index and distance [V, k] of the nearest landmarks of each vertex, by sorting all of them."""
    table = geodesic_distances(vertices, faces, landmark_vertices)
    index = [sorted(range(len(table)), key=lambda row: (table[row, v], row))[:k_nn] for v in range(len(vertices))]
    return np.array(index), np.array([[table[row, v] for row in rows] for v, rows in enumerate(index)])


def skinning_weights(
    vertices: np.ndarray, faces: np.ndarray, landmark_vertices: np.ndarray, k_nn: int, sigma_geo: float
) -> np.ndarray:
    """[V, K] dense weights; components with fewer than 8 landmarks fill up with straight-line neighbours."""
    table = geodesic_distances(vertices, faces, landmark_vertices)
    spacings = []
    for row, distances in enumerate(table):
        others = [distances[v] for other, v in enumerate(landmark_vertices) if other != row]
        if min(others) < math.inf:
            spacings.append(min(others))
    sigma = sigma_geo * sum(spacings) / len(spacings)
    weights = np.zeros((len(vertices), len(landmark_vertices)))
    for v in range(len(vertices)):
        distances = table[:, v].copy()
        if np.isfinite(distances).sum() < 8:
            for row, place in enumerate(landmark_vertices):
                if not np.isfinite(distances[row]):
                    distances[row] = np.linalg.norm(vertices[v].astype(np.float64) - vertices[place])
        for row in sorted(range(len(distances)), key=lambda row: (distances[row], row))[:k_nn]:
            weights[v, row] = math.exp(-(distances[row] ** 2) / (2 * sigma**2))
        weights[v] /= weights[v].sum()
    return weights
