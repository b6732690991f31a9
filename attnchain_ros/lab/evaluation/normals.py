"""Normal consistency, of which the paper gives no definition: both usual ones."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from ...errors import MeshError
from ...mesh.types import check_mesh_arrays, face_areas_normals
from ...shapes import check_shape


def carry_normals(matrix: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Unit normals [n, 3] of a surface that goes through an affine transform [4, 4].

    For scales of the axes and a rotation: divided by the scales, then turned.
    """
    check_shape("normals", normals, "n 3")
    moved = np.asarray(normals, np.float64) @ np.linalg.inv(matrix[:3, :3])
    # A mirrored transform (a negative scale) turns the inside out; only |cos| is used, so that the sign is free.
    return moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), np.finfo(np.float64).tiny)


def nearest_normal_consistency(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray], queries: int, seed: int
) -> float:
    """Mean |cos| between the normals of nearest points of two clouds, both directions averaged.

    Args:
        first, second: points [n, 3] and unit normals [n, 3].
        queries: points of each side that look for their nearest in the whole cloud of the other side.
        seed: of the choice of queries.
    Returns:
        a number in [0, 1]; 1 where all normals agree up to sign.
    """
    for name, (points, normals) in (("first", first), ("second", second)):
        check_shape(f"normals of {name}", normals, "n 3", **check_shape(f"points of {name}", points, "n 3"))
    means = []
    for side, ((points, normals), (others, other_normals)) in enumerate(((first, second), (second, first))):
        chosen = choose_rows(len(points), queries, seed + side)
        nearest = cKDTree(others).query(points[chosen])[1]
        means.append(np.abs((normals[chosen] * other_normals[nearest]).sum(axis=1)).mean())
    return float(np.mean(means))


def choose_rows(count: int, wanted: int, seed: int) -> np.ndarray:
    """[min(wanted, count)] different rows of ``count``, in random order; all of them in order if that is no choice."""
    if wanted >= count:
        return np.arange(count)
    return np.random.default_rng(seed).permutation(count)[:wanted]


def face_normal_consistency(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Mean cosine between the normals of faces that share an edge.

    Over the edges that exactly two faces with an area share.

    Args:
        vertices: [V, 3]; faces: [T, 3].
    Returns:
        a number in [-1, 1]; 1 on a plane.
    Raises:
        MeshError: no two faces share an edge.
    Twin: ``lab.reference.normals.face_normal_consistency``.
    """
    check_mesh_arrays(vertices, faces)
    areas, normals = face_areas_normals(np.asarray(vertices), np.asarray(faces))
    corners = np.asarray(faces, np.int64)
    edges = np.sort(np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]]), axis=1)
    owner = np.tile(np.arange(len(corners)), 3)
    _, group, counts = np.unique(edges, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(group.ravel(), kind="stable")
    first = (np.cumsum(counts) - counts)[counts == 2]
    pairs = owner[np.stack([order[first], order[first + 1]], axis=1)]
    pairs = pairs[(areas[pairs] > 0).all(axis=1)]
    if not len(pairs):
        raise MeshError("no two faces with an area share an edge: there are no adjacent faces to compare")
    return float((normals[pairs[:, 0]] * normals[pairs[:, 1]]).sum(axis=1).mean())
