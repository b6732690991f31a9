"""Pinched but closed meshes made manifold: what edge collapses leave behind at thin places."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array, csgraph

MAX_ROUNDS = 32
"""Rounds of edge splitting; each removes at least one doubled edge of every crowded place."""


def make_manifold(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Turn a closed mesh in which surfaces touch along edges or at vertices into a closed manifold of the same shape.

    Faces without three different corners go, and so do pairs of equal faces back to back. At an edge with more than two
    faces, faces of opposite direction are paired, and every vertex is split into as many as there are fans of faces
    around it. Where the same two vertices are then still joined by several edges, all but one of these get a vertex in
    the middle.

    Args:
        vertices: [V, 3] floating.
        faces: [T, 3] integer.
    Returns:
        vertices and faces (int32), on which ``components.open_edges`` is 0; None where the mesh has holes or faces of
        inconsistent direction, or nothing is left of it.
    """
    faces = _cancel_back_to_back(faces.astype(np.int64))
    faces = faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)]
    if len(faces) == 0:
        return None
    twins = _pair_edges(faces)
    if twins is None:
        return None
    forward, backward = twins
    # Corner h of face h // 3 starts half-edge h; the half-edge's end is the next corner of the face.
    links = np.concatenate([forward, backward]), _next(np.concatenate([backward, forward]))
    count = faces.size
    graph = coo_array((np.ones(len(links[0]), np.int8), links), shape=(count, count)).tocsr()
    labels = csgraph.connected_components(graph, directed=False)[1].astype(np.int64)
    origin = np.empty(int(labels.max()) + 1, np.int64)
    origin[labels] = faces.ravel()
    places, faces = vertices[origin], labels.reshape(-1, 3)
    for _ in range(MAX_ROUNDS):
        twins = _pair_edges(faces)
        if twins is None:
            return None
        doubled = _doubled_edges(faces, *twins)
        if len(doubled) == 0:
            return places, faces.astype(np.int32)
        places, faces = _split_edges(places, faces, doubled)
    return None


def _next(half_edges: np.ndarray) -> np.ndarray:
    return half_edges - half_edges % 3 + (half_edges + 1) % 3


def _cancel_back_to_back(faces: np.ndarray) -> np.ndarray:
    """Drop pairs of faces with the same three vertices and opposite direction."""
    turned = np.take_along_axis(faces, (np.argmin(faces, axis=1)[:, None] + np.arange(3)) % 3, axis=1)
    group = np.unique(np.sort(faces, axis=1), axis=0, return_inverse=True)[1].ravel()
    upward = turned[:, 1] < turned[:, 2]
    up, down = np.bincount(group, upward), np.bincount(group, ~upward)
    cancel = np.minimum(up, down)[group]
    if not cancel.any():
        return faces
    # The n-th face of its direction in its group goes if n < the number of pairs.
    side = group * 2 + upward
    order = np.argsort(side, kind="stable")
    _, first, inverse = np.unique(side[order], return_index=True, return_inverse=True)
    nth = np.empty(len(faces), np.int64)
    nth[order] = np.arange(len(faces)) - first[inverse]
    return faces[nth >= cancel]


def _pair_edges(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Half-edges in pairs of opposite direction; None unless every edge has as many of one as of the other."""
    start, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    key = np.minimum(start, end) * (int(faces.max()) + 1) + np.maximum(start, end)
    order = np.argsort(key, kind="stable")
    rising = (start < end)[order]
    forward, backward = order[rising], order[~rising]
    if len(forward) != len(backward) or (key[forward] != key[backward]).any():
        return None
    return forward, backward


def _doubled_edges(faces: np.ndarray, forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """[D, 2] pairs of half-edges: of every edge that occurs several times, all occurrences but the first."""
    start, end = faces.ravel()[forward], faces.ravel()[_next(forward)]
    key = start * (int(faces.max()) + 1) + end
    again = np.flatnonzero(key[1:] == key[:-1]) + 1
    return np.stack([forward[again], backward[again]], axis=1)


def _split_edges(places: np.ndarray, faces: np.ndarray, doubled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Put a vertex in the middle of some edges, at most one per face and round."""
    used: set[int] = set()
    middles: list[np.ndarray] = []
    added: list[list[int]] = []
    faces = faces.copy()
    for pair in doubled.tolist():
        owners = {half_edge // 3 for half_edge in pair}
        if used & owners:
            continue
        used |= owners
        middle = len(places) + len(middles)
        for half_edge in pair:
            face, corner = divmod(half_edge, 3)
            a, b, c = (int(faces[face, (corner + i) % 3]) for i in range(3))
            faces[face] = a, middle, c
            added.append([middle, b, c])
            ends = a, b
        middles.append(0.5 * (places[ends[0]] + places[ends[1]]))
    return np.concatenate([places, np.array(middles, places.dtype)]), np.concatenate([faces, np.array(added)])
