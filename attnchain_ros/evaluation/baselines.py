"""Animated meshes and 3D tracks that the method must beat, in the form of its own results."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from ..errors import InputError
from ..shapes import check_shape
from .alignment import apply_similarity
from .nearest import nearest_on_surface

_ICP_STEPS = 30
_SETTLED = 1e-5
"""Share of the mean distance that a step must still gain."""


def still_vertices(vertices: np.ndarray, frames: int) -> np.ndarray:
    """[F, V, 3] the mesh of the first frame [V, 3], which never moves."""
    check_shape("vertices", vertices, "V 3")
    return np.repeat(np.asarray(vertices)[None], frames, axis=0)


def nearest_vertices(vertices: np.ndarray, true_vertices: np.ndarray, true_faces: np.ndarray) -> np.ndarray:
    """Every vertex jumps to the point of the true surface that is nearest to its place in the first frame.

    It is given the true surface of each frame, but not which point is which.

    Args:
        vertices: [V, 3] mesh of the first frame.
        true_vertices: [F, W, 3]; true_faces: [T, 3].
    Returns:
        [F, V, 3] float32.
    Twin: ``reference.baselines.nearest_vertices``.
    """
    check_shape("true_vertices", true_vertices, "F W 3")
    moved = [nearest_on_surface(vertices, frame, true_faces).points for frame in true_vertices]
    return np.stack(moved).astype(np.float32)


def rigid_vertices(vertices: np.ndarray, clouds: Sequence[np.ndarray]) -> np.ndarray:
    """The whole mesh moves as one rigid body onto the surface of each frame (ICP).

    Point to point from the mesh's vertices, started from the motion found in the frame before. In each step, pairs are
    made in both directions, since with one alone a mesh can slide along a surface that covers more than it.

    Args:
        vertices: [V, 3] mesh of the first frame.
        clouds: for each frame, points [n, 3] of the surface to lie on, such as samples of the true surface.
    Returns:
        [F, V, 3] float32.
    Raises:
        ShapeError, InputError: no clouds, or an empty one.
    Twin: ``reference.baselines.rigid_vertices``.
    """
    check_shape("vertices", vertices, "V 3")
    if not clouds or any(len(cloud) == 0 for cloud in clouds):
        raise InputError(f"{len(clouds)} clouds were given, some perhaps empty: ICP needs points in every frame")
    motion = np.eye(4)
    rest = np.asarray(vertices, np.float64)
    moved = []
    for cloud in clouds:
        motion = fit_rigid_surface(rest, cloud, motion)
        moved.append(apply_similarity(motion, rest))
    return np.stack(moved).astype(np.float32)


def fit_rigid_surface(source: np.ndarray, target: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Rigid ICP of points [n, 3] to points [m, 3] from a start [4, 4]; the motion [4, 4] of least mean distance."""
    check_shape("target", target, "m 3")
    true = np.asarray(target, np.float64)
    tree = cKDTree(true)
    motion = best = start
    least = np.inf
    for _ in range(_ICP_STEPS):
        moved = apply_similarity(motion, source)
        there, to_target = tree.query(moved)
        back, to_source = cKDTree(moved).query(true)
        distance = float(there.mean() + back.mean())
        settled = distance >= least * (1 - _SETTLED)
        if distance < least:
            least, best = distance, motion
        if settled:
            break
        motion = fit_rigid(np.concatenate([source, source[to_source]]), np.concatenate([true[to_target], true]))
    return best


def fit_rigid(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """[4, 4] proper rotation and shift that best carry pairs [n, 3] onto [n, 3] (Kabsch)."""
    count = check_shape("source", source, "n 3")["n"]
    check_shape("target", target, "n 3", n=count)
    mean_a, mean_b = source.mean(axis=0), target.mean(axis=0)
    left, _, right = np.linalg.svd((target - mean_b).T @ (source - mean_a))
    rotation = (left * [1.0, 1.0, np.sign(np.linalg.det(left @ right))]) @ right
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = rotation, mean_b - rotation @ mean_a
    return motion
