"""Sums over landmarks from which the residual under their best rigid motion follows in closed form.

The sums of a union are the sums of its members', so parts can be tried together without looking at landmarks again.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_array

from ..mesh.skinning import procrustes_rotations
from ..shapes import check_shape

SIZE = 17
"""Numbers of a moment row: sum w, sum w x [3], sum w y [3], sum w x y^T [9], sum w (|x|^2 + |y|^2)."""

_LEAST_WEIGHT = 1e-9
_NEWTON_STEPS = 30


def motion_moments(
    rest: np.ndarray, places: np.ndarray, weights: np.ndarray, group: np.ndarray, count: int
) -> np.ndarray:
    """Moments of every group of landmarks in every frame.

    Args:
        rest: [K, 3] landmarks at rest (the x).   places: [F, K, 3] where they are (the y).
        weights: [F, K] at least 0.   group: [K] integer in 0 .. count - 1.   count: number of groups P.
    Returns:
        [P, F, ``SIZE``] float64; units of the places, and their squares.
    Raises:
        ShapeError: shapes disagree.
    Twin: ``lab.reference.parts.motion_moments``.
    """
    axes = check_shape("rest", rest, "K 3")
    axes |= check_shape("places", places, "F K 3", **axes)
    check_shape("weights", weights, "F K", **axes)
    check_shape("group", group, "K", **axes)
    x = np.broadcast_to(np.asarray(rest, np.float64), places.shape)
    y = np.asarray(places, np.float64)
    cross = (x[..., :, None] * y[..., None, :]).reshape(*y.shape[:2], 9)
    square = ((x * x).sum(axis=2) + (y * y).sum(axis=2))[..., None]
    rows = np.concatenate([np.ones_like(square), x, y, cross, square], axis=2) * np.asarray(weights)[..., None]
    members = csr_array((np.ones(axes["K"]), (group, np.arange(axes["K"]))), shape=(count, axes["K"]))
    sums = members @ rows.transpose(1, 0, 2).reshape(axes["K"], -1)
    return np.asarray(sums).reshape(count, axes["F"], SIZE)


def rigid_energies(moments: np.ndarray) -> np.ndarray:
    """Weighted sum of squared distances [...] that the best rigid motion leaves, of moments [..., ``SIZE``].

    Twin: ``lab.reference.parts.rigid_energy``.
    """
    covariance, spread = _centred(moments)
    return np.maximum(spread - 2.0 * best_trace(covariance), 0.0)


def rigid_motions(moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best rigid motion of every row of moments [..., ``SIZE``].

    Returns:
        rotations [..., 3, 3] and shifts [..., 3]: x goes to R x + t. Without weight they are the identity and zero.
    Twin: ``lab.reference.parts.rigid_motion``.
    """
    covariance, _ = _centred(moments)
    turn = procrustes_rotations(torch.from_numpy(np.ascontiguousarray(covariance))).numpy()
    weight = np.maximum(moments[..., :1], _LEAST_WEIGHT)
    return turn, (moments[..., 4:7] - (turn @ moments[..., 1:4, None])[..., 0]) / weight


def best_trace(covariance: np.ndarray) -> np.ndarray:
    """Largest trace(R C) over rotations R: s1 + s2 + sign(det C) s3 of the singular values of C [..., 3, 3].

    The largest root of the characteristic polynomial of Horn's matrix, by Newton from above, as in
    ``mesh.skinning.procrustes_rotations``; where the two largest roots meet it converges by halves, to 1e-9.
    """
    norm = np.linalg.norm(covariance, axis=(-2, -1))
    target = covariance / np.where(norm > 0, norm, 1.0)[..., None, None]
    a, b, c = target[..., 0, :], target[..., 1, :], target[..., 2, :]
    minors = [np.cross(b, c), np.cross(c, a), np.cross(a, b)]
    determinant = (a * minors[0]).sum(axis=-1)
    squares = sum((minor * minor).sum(axis=-1) for minor in minors)
    root = np.full(norm.shape, np.sqrt(3.0))
    for _ in range(_NEWTON_STEPS):
        slope = 4 * root * (root * root - 1) - 8 * determinant
        value = ((root * root - 2) * root - 8 * determinant) * root + 1 - 4 * squares
        step = np.where(slope > 1e-12, value / np.where(slope > 1e-12, slope, 1.0), 0.0)
        root = root - step
        if step.size == 0 or float(np.abs(step).max()) < 1e-12:
            break
    return np.asarray(root * norm)


def _centred(moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Covariance [..., 3, 3] and summed squares [...] about the two centres."""
    weight = np.maximum(moments[..., 0], _LEAST_WEIGHT)
    x, y = moments[..., 1:4], moments[..., 4:7]
    cross = moments[..., 7:16].reshape(*moments.shape[:-1], 3, 3)
    covariance = cross - x[..., :, None] * y[..., None, :] / weight[..., None, None]
    return covariance, moments[..., 16] - ((x * x).sum(axis=-1) + (y * y).sum(axis=-1)) / weight
