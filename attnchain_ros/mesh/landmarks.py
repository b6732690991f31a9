"""Control landmarks on the anchor: farthest points that prefer curved places (Sec. 4.2, App. C)."""

from __future__ import annotations

import logging

import numpy as np

from ..errors import InputError
from .components import connected_components
from .types import check_mesh_arrays, face_areas_normals

log = logging.getLogger(__name__)

FLAT_RADII = 100.0
"""A curvature radius above this many bounding-box diagonals is flat: rounding noise must not attract landmarks."""


def vertex_curvature(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """How curved the surface is at each vertex, for placing landmarks.

    The absolute mean curvature: every edge bends by the angle between its two faces' normals, which is a curvature of
    length * angle / 4 for each of its ends, divided by the third of the faces' area that belongs to the vertex. Edges
    without exactly two faces do not bend.

    Args:
        vertices: [V, 3].
        faces: [T, 3], consistently oriented.
    Returns:
        [V] float64 in [0, 1]: divided by its 95th percentile and clipped. Where the 95th percentile is flat (a box with
        few vertices on its edges), the largest value takes its place; zeros for a flat mesh.
    Raises:
        ShapeError, MeshError: the arrays are no mesh.
    Twin: ``lab.reference.landmarks.vertex_curvature``.
    """
    check_mesh_arrays(vertices, faces)
    areas, normals = face_areas_normals(vertices, faces)
    own = np.bincount(faces.ravel(), weights=np.repeat(areas / 3, 3), minlength=len(vertices))
    first, second, face_a, face_b = shared_edges(faces)
    cross = np.linalg.norm(np.cross(normals[face_a], normals[face_b]), axis=1)
    angle = np.arctan2(cross, np.einsum("ed,ed->e", normals[face_a], normals[face_b]))
    # A face without area has no normal and bends nothing.
    angle[(areas[face_a] == 0) | (areas[face_b] == 0)] = 0
    wide = vertices.astype(np.float64)
    bend = np.linalg.norm(wide[first] - wide[second], axis=1) * angle / 4
    total = np.bincount(first, bend, len(vertices)) + np.bincount(second, bend, len(vertices))
    curvature = np.divide(total, own, out=np.zeros_like(total), where=own > 0)
    flat = 1.0 / (FLAT_RADII * max(float(np.linalg.norm(np.ptp(wide, axis=0))), float(np.finfo(np.float64).tiny)))
    scale = float(np.percentile(curvature, 95))
    if scale <= flat:
        scale = float(curvature.max())
    if scale <= flat:
        return np.zeros(len(vertices))
    return np.minimum(curvature / scale, 1.0)


def pick_landmarks(vertices: np.ndarray, faces: np.ndarray, count: int, curvature_boost: float) -> np.ndarray:
    """Choose the vertices whose motion the chain reads, spread over the surface and denser where it is curved.

    Every connected component gets its own first landmark (the one that scores highest against the component's mean
    vertex); then, greedily, the vertex with the largest distance to the landmarks so far times
    (1 + curvature_boost * curvature). Vertices without faces are never chosen.

    Args:
        vertices: [V, 3].
        faces: [T, 3].
        count: landmarks wanted. With more components than that, the components of most vertices get one each.
        curvature_boost: alpha (App. C: 2).
    Returns:
        [K] int64 distinct vertex indices in the order chosen; K = count, or fewer if the mesh has not as many places.
    Raises:
        InputError: ``count`` below 1.   ShapeError, MeshError: the arrays are no mesh.
    Twin: ``lab.reference.landmarks.pick_landmarks``.
    """
    check_mesh_arrays(vertices, faces)
    if count < 1:
        raise InputError(f"{count} landmarks wanted, the least is 1")
    usable = np.unique(faces)
    boost = 1.0 + curvature_boost * vertex_curvature(vertices, faces)[usable]
    axes = np.ascontiguousarray(vertices[usable].astype(np.float64).T)
    label = np.unique(connected_components(faces, len(vertices))[usable], return_inverse=True)[1]
    sizes = np.bincount(label)
    if len(sizes) > count:
        log.warning("the mesh has %d components for %d landmarks: the largest get one each", len(sizes), count)
    chosen: list[int] = []
    squared = np.full(len(usable), np.inf)
    boost_squared = boost**2

    def add(index: int) -> None:
        chosen.append(index)
        x, y, z = axes - axes[:, index, None]
        np.minimum(squared, x * x + y * y + z * z, out=squared)

    for component in np.argsort(-sizes, kind="stable")[:count]:
        members = np.flatnonzero(label == component)
        offsets = axes[:, members] - axes[:, members].mean(axis=1, keepdims=True)
        add(int(members[np.argmax((offsets**2).sum(axis=0) * boost_squared[members])]))
    while len(chosen) < count:
        score = squared * boost_squared
        best = int(np.argmax(score))
        if not score[best] > 0:
            break
        add(best)
    return usable[np.array(chosen, np.int64)].astype(np.int64)


def edge_faces(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every edge once, whatever its direction, with its faces.

    Args:
        faces: [T, 3].
    Returns:
        int64 arrays: the edge's lower and higher vertex [E, 2]; its first two faces [E, 2], the same one twice where it
        has only one; the number of its faces [E].
    """
    wide = faces.astype(np.int64)
    ends = np.sort(np.stack([wide.ravel(), np.roll(wide, -1, axis=1).ravel()], axis=1), axis=1)
    owner = np.repeat(np.arange(len(faces)), 3)
    size = int(wide.max()) + 1
    key = ends[:, 0] * size + ends[:, 1]
    order = np.argsort(key, kind="stable")
    _, first, times = np.unique(key[order], return_index=True, return_counts=True)
    a, b = order[first], order[first + np.minimum(times - 1, 1)]
    return ends[a], np.stack([owner[a], owner[b]], axis=1), times


def shared_edges(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Edges with exactly two faces.

    Args:
        faces: [T, 3].
    Returns:
        four int64 arrays [E]: the lower vertex, the higher vertex, the two faces.
    """
    ends, sides, times = edge_faces(faces)
    proper = (times == 2) & (ends[:, 0] != ends[:, 1])
    return ends[proper, 0], ends[proper, 1], sides[proper, 0], sides[proper, 1]
