"""The rigid motion that most of the points agree with, from the pose before: pixels and known points to a pose.

    min over R, t of  sum over points of GM(|pixel of K (R x + t) - seen pixel|),   GM(e) = s^2 e^2 / (s^2 + e^2)

by Gauss-Newton whose scale s falls (Geman and McClure). The pose before is near: no samples are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

SCALE_PX, START_PX = 2.0, 12.0
"""Geman-McClure scale, small pixels: last, and in the first round."""

AGREE_PX = 3.0
"""A point agrees with a pose if it lies this near, small pixels."""

ROUNDS, SETTLED = 12, 1e-6
"""Most rounds, and the step (radians, object units) after which there is nothing left to do."""

NOISE_PX = 0.5
"""Least standard deviation of a tracked pixel."""

SAMPLES = 8.0
"""So many independent points there are at most: neighbours err together. Chosen so that the errors on validation clips
(benchmarks/live.py) are about as large as the covariance says."""


@dataclass(frozen=True)
class RigidFit:
    """A pose and how well it is known.

    Attributes:
        camera_from_object: [4, 4] float64.
        agrees: [n] bool, points within ``AGREE_PX``.
        residual_px: root mean square distance of all points, those farther than ``START_PX`` counted as if there: also
            what does not move rigidly makes a pose doubtful.
        covariance: [6, 6] of the object's position and of its turn (a small rotation vector) in the camera's frame,
            squared object units and radians; infinite where the points do not determine the pose.
    """

    camera_from_object: np.ndarray
    agrees: np.ndarray
    residual_px: float
    covariance: np.ndarray


def fit_rigid(points: np.ndarray, pixels: np.ndarray, intrinsics: np.ndarray, start: np.ndarray) -> RigidFit:
    """Follow an object's pose to a new picture.

    Args:
        points: [n, 3] finite, object frame, object units; n at least 1.
        pixels: [n, 2] finite, where they are seen.
        intrinsics: [3, 3] K of those pixels.
        start: [4, 4] camera_from_object near the wanted one.
    Returns:
        the fit; the same arguments give the same fit.
    Twin: ``lab.reference.live.fit_rigid``, a general minimiser on the printed cost.
    """
    middle = points.mean(axis=0)
    arm = points - middle
    turn, place = start[:3, :3], start[:3, :3] @ middle + start[:3, 3]
    for number in range(ROUNDS):
        scale = max(SCALE_PX, START_PX / 2**number)
        miss, jacobian = _misses(arm @ turn.T, place, pixels, intrinsics)
        weight = 1.0 / (1.0 + (miss**2).sum(axis=1) / scale**2) ** 2
        weighted = (jacobian * weight[:, None, None]).reshape(-1, 6)
        flat = jacobian.reshape(-1, 6)
        step = -np.linalg.solve(weighted.T @ flat + 1e-9 * np.eye(6), weighted.T @ miss.ravel())
        turn = Rotation.from_rotvec(step[:3]).as_matrix() @ turn
        place = place + step[3:]
        if scale == SCALE_PX and np.abs(step).max() < SETTLED:
            break
    miss, jacobian = _misses(arm @ turn.T, place, pixels, intrinsics)
    ahead = jacobian.any(axis=(1, 2))  # points at or behind the camera have none, and a miss of 0
    away = np.where(ahead, (miss**2).sum(axis=1), np.inf)
    agrees = away <= AGREE_PX**2
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turn, place - turn @ middle
    residual = float(np.sqrt(np.minimum(away, START_PX**2).mean()))
    return RigidFit(pose, agrees, residual, _covariance(jacobian[agrees], residual, turn @ middle))


def _misses(
    turned: np.ndarray, place: np.ndarray, pixels: np.ndarray, intrinsics: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How far points [n, 3], turned about a middle at ``place`` [3] in the camera, are seen from their pixels [n, 2].

    Of one body what ``parts.solving.pixel_misses`` is of many, which cannot be asked here: it loads the networks'
    library, whose threads must be set before.

    Returns:
        [n, 2] pixels (zero for points at or behind the camera, with a zero Jacobian), and [n, 2, 6]: d / d(turn vector
        [rad] about the middle, shift).
    """
    flat = (turned + place) @ intrinsics.T
    ahead = flat[:, 2] > 1e-6
    depth = np.where(ahead, flat[:, 2], 1.0)[:, None]
    pixel = flat[:, :2] / depth
    slope = (intrinsics[None, :2] - pixel[:, :, None] * intrinsics[None, 2:]) / depth[:, None]
    jacobian = np.empty((len(turned), 2, 6))
    for axis in range(3):  # turned x slope, in a third of numpy.cross's time
        one, other = (axis + 1) % 3, (axis + 2) % 3
        jacobian[:, :, axis] = turned[:, one, None] * slope[:, :, other] - turned[:, other, None] * slope[:, :, one]
    jacobian[:, :, 3:] = slope
    jacobian[~ahead] = 0.0
    return np.where(ahead[:, None], pixel - pixels, 0.0), jacobian


def _covariance(jacobian: np.ndarray, residual_px: float, arm: np.ndarray) -> np.ndarray:
    """Of position and turn [6, 6], from Jacobians [n, 2, 6] about a middle that is ``arm`` [3] away from the origin."""
    flat = jacobian.reshape(-1, 6)
    known = flat.T @ flat
    if len(jacobian) < 3 or np.linalg.matrix_rank(known, hermitian=True) < 6:
        return np.diag([np.inf] * 6)
    noise = max(NOISE_PX, residual_px / np.sqrt(2.0)) ** 2 * max(1.0, len(jacobian) / SAMPLES)
    about_middle = noise * np.linalg.inv(known)
    # The turn is about the middle; the object's origin moves with it: t = place - exp(w) R middle.
    x, y, z = arm
    lever = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    change = np.block([[lever, np.eye(3)], [np.eye(3), np.zeros((3, 3))]])
    found: np.ndarray = change @ about_middle @ change.T
    return found
