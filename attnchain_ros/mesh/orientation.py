"""Closed pieces of a mesh whose triangles face inwards: found by their volume, and turned.

The networks read a surface's normals; of a mesh that is inside out they see the opposite of its shape.
"""

from __future__ import annotations

import numpy as np

from .components import connected_components


def inward_faces(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Which triangles belong to closed pieces that face inwards.

    A closed piece inside the box of another one is left alone: the inner wall of a hollow thing faces inwards rightly.
    Open pieces have no inside.

    Args:
        vertices: [V, 3], those at the same place welded.
        faces: [T, 3] integer.
    Returns:
        [T] bool.
    """
    piece = connected_components(faces, len(vertices))[faces[:, 0]]
    labels, piece = np.unique(piece, return_inverse=True)
    closed = ~_is_open(faces, piece, len(labels))
    corners = vertices.astype(np.float64)[faces]
    low, high = np.full((len(labels), 3), np.inf), np.full((len(labels), 3), -np.inf)
    np.minimum.at(low, piece, corners.min(axis=1))
    np.maximum.at(high, piece, corners.max(axis=1))
    # About each piece's own middle: far from the origin the volumes of its tetrahedra would drown in rounding.
    corners -= (0.5 * (low + high))[piece][:, None]
    parts = np.einsum("tc,tc->t", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    volume = np.bincount(piece, weights=parts, minlength=len(labels)) / 6
    inward = closed & (volume < 0)
    for label in np.flatnonzero(inward):
        around = closed & (low < low[label]).all(axis=1) & (high > high[label]).all(axis=1)
        inward[label] = not around.any()
    return inward[piece]


def _is_open(faces: np.ndarray, piece: np.ndarray, count: int) -> np.ndarray:
    """[count] bool: pieces with an edge that is not between exactly two triangles of the same direction."""
    wide = faces.astype(np.int64)
    start, end = wide.ravel(), np.roll(wide, -1, axis=1).ravel()
    size = int(wide.max()) + 1
    keys, inverse, times = np.unique(start * size + end, return_inverse=True, return_counts=True)
    alone = (times > 1) | ~np.isin((keys % size) * size + keys // size, keys) | (keys // size == keys % size)
    return np.bincount(np.repeat(piece, 3), weights=alone[inverse.ravel()], minlength=count) > 0
