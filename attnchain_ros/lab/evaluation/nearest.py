"""Nearest points on a triangle mesh, exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ...mesh.types import check_mesh_arrays
from ...shapes import check_shape

_PAIRS = 2_000_000
"""Most pairs of a point and a triangle that are looked at in one go (about 1 GB while they are)."""


@dataclass(frozen=True)
class SurfaceFeet:
    """Where points meet a surface.

    Attributes:
        points: [n, 3] float64 nearest points on the surface.
        face: [n] int64 triangle of each.
        barycentric: [n, 3] float64 weights of the triangle's corners, non-negative, rows sum to 1.
        distance: [n] float64.
    """

    points: np.ndarray
    face: np.ndarray
    barycentric: np.ndarray
    distance: np.ndarray


def nearest_on_surface(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> SurfaceFeet:
    """Nearest point of a mesh for every query.

    Exact: the nearest triangle's centre is at most (distance to the nearest vertex + the triangle's reach from its
    centre) away, and all triangles within that are measured, those of similar reach together.

    Args:
        points: [n, 3] any frame, finite.
        vertices: [V, 3] same frame; faces: [T, 3].
    Returns:
        the feet; of triangles equally near, the first in ``faces``.
    Raises:
        ShapeError, MeshError: the arrays are no mesh or no points.
    Twin: ``lab.reference.nearest.nearest_on_surface``.
    """
    check_shape("points", points, "n 3")
    check_mesh_arrays(vertices, faces)
    queries = np.asarray(points, np.float64)
    corners = np.asarray(vertices, np.float64)[faces]
    centres = corners.mean(axis=1)
    reach = np.linalg.norm(corners - centres[:, None], axis=2).max(axis=1)
    used = np.asarray(vertices, np.float64)[np.unique(faces)]
    to_vertex = cKDTree(used).query(queries)[0]
    feet = SurfaceFeet(
        np.zeros_like(queries), np.zeros(len(queries), np.int64), np.zeros_like(queries), np.full(len(queries), np.inf)
    )
    for group in _groups_by_reach(reach):
        # 1 + 1e-9: rounding must not lose the triangle that sits exactly at the bound.
        bound = (np.minimum(to_vertex, feet.distance) + reach[group].max()) * (1 + 1e-9)
        near = cKDTree(centres[group]).query_ball_point(queries, bound, return_sorted=True)
        counts = np.array([len(row) for row in near], np.int64)
        start = 0
        while start < len(queries):
            stop = start + max(1, int(np.searchsorted(np.cumsum(counts[start:]), _PAIRS, side="right")))
            owner = np.repeat(np.arange(start, min(stop, len(queries))), counts[start:stop])
            listed = [np.asarray(row, np.int64) for row in near[start:stop]]
            _improve(feet, queries, corners, owner, group[np.concatenate(listed)])
            start = stop
    return feet


def _groups_by_reach(reach: np.ndarray) -> list[np.ndarray]:
    """Triangles of similar size together, smallest first: a few large ones must not widen the search for all."""
    size = np.ceil(np.log2(np.maximum(reach, 1e-12))).astype(np.int64)
    # What is far smaller than most goes with them: every group costs a search for every query.
    size = np.maximum(size, int(np.median(size)))
    return [np.flatnonzero(size == value) for value in np.unique(size)]


def _improve(feet: SurfaceFeet, queries: np.ndarray, corners: np.ndarray, owner: np.ndarray, face: np.ndarray) -> None:
    """Take over, for each query in ``owner`` [m], the best of its triangles ``face`` [m] where it beats what it has."""
    weights = _nearest_weights(queries[owner], corners[face])
    found = np.einsum("nc,ncx->nx", weights, corners[face])
    distance = np.linalg.norm(found - queries[owner], axis=1)
    # By query, then distance, then face; the first row of each query is its answer.
    order = np.lexsort((face, distance, owner))
    query, first = np.unique(owner[order], return_index=True)
    best = order[first]
    before = feet.distance[query]
    better = (distance[best] < before) | ((distance[best] == before) & (face[best] < feet.face[query]))
    query, best = query[better], best[better]
    feet.points[query], feet.face[query] = found[best], face[best]
    feet.barycentric[query], feet.distance[query] = weights[best], distance[best]


def _nearest_weights(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """[n, 3] barycentric weights of the point of triangle n [3, 3] that is nearest to point n.

    Inside: the foot of the perpendicular. Otherwise: the nearest of the nearest points of the three edges. A triangle
    without area is only its edges.
    """
    best = np.zeros((len(points), 3))
    least = np.full(len(points), np.inf)
    for corner in range(3):
        other = (corner + 1) % 3
        edge = corners[:, other] - corners[:, corner]
        length2 = (edge * edge).sum(axis=1)
        along = ((points - corners[:, corner]) * edge).sum(axis=1)
        share = np.clip(np.divide(along, length2, out=np.zeros_like(along), where=length2 > 0), 0.0, 1.0)
        away = points - corners[:, corner] - share[:, None] * edge
        distance2 = (away * away).sum(axis=1)
        closer = np.flatnonzero(distance2 < least)
        least[closer] = distance2[closer]
        best[closer] = 0.0
        best[closer, corner] = 1.0 - share[closer]
        best[closer, other] = share[closer]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normal = np.cross(first, second)
    area2 = (normal * normal).sum(axis=1)
    offset = points - corners[:, 0]
    solid = area2 > 0
    scale = np.divide(1.0, area2, out=np.zeros_like(area2), where=solid)
    v = (np.cross(offset, second) * normal).sum(axis=1) * scale
    w = (np.cross(first, offset) * normal).sum(axis=1) * scale
    inside = solid & (v >= 0) & (w >= 0) & (v + w <= 1)
    best[inside] = np.stack([1 - v - w, v, w], axis=1)[inside]
    return best
