"""Animated meshes and 3D tracks that the method must beat, in the form of its own results."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import InputError
from ...shapes import check_shape
from .alignment import align_surfaces, apply_similarity
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
    Twin: ``lab.reference.baselines.rigid_vertices``.
    """
    check_shape("vertices", vertices, "V 3")
    if not clouds or any(len(cloud) == 0 for cloud in clouds):
        raise InputError(f"{len(clouds)} clouds were given, some perhaps empty: ICP needs points in every frame")
    motion = np.eye(4)
    rest = np.asarray(vertices, np.float64)
    moved = []
    for cloud in clouds:
        motion = align_surfaces(rest, cloud, start=motion, rigid=True, steps=_ICP_STEPS, settled=_SETTLED)
        moved.append(apply_similarity(motion, rest))
    return np.stack(moved).astype(np.float32)
