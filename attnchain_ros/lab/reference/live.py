"""Twin of live.rigid: the printed cost, point by point, given to a general minimiser; Jacobians by differences."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation


def cost(pose: np.ndarray, points: np.ndarray, pixels: np.ndarray, intrinsics: np.ndarray, scale_px: float) -> float:
    """Sum over points of s^2 e^2 / (s^2 + e^2), e the distance between projected and seen pixel."""
    total = 0.0
    for point, pixel in zip(points, pixels, strict=True):
        x, y, z = intrinsics @ (pose[:3, :3] @ point + pose[:3, 3])
        square = (x / z - pixel[0]) ** 2 + (y / z - pixel[1]) ** 2
        total += scale_px**2 * square / (scale_px**2 + square)
    return total


def moved(pose: np.ndarray, change: np.ndarray) -> np.ndarray:
    """A pose [4, 4] whose position moves by change[:3] and which turns by the vector change[3:], camera's axes."""
    found = pose.copy()
    found[:3, :3] = Rotation.from_rotvec(change[3:]).as_matrix() @ pose[:3, :3]
    found[:3, 3] = pose[:3, 3] + change[:3]
    return found


def fit_rigid(
    points: np.ndarray, pixels: np.ndarray, intrinsics: np.ndarray, start: np.ndarray, scales_px: list[float]
) -> np.ndarray:
    """camera_from_object [4, 4] with the least cost, under one scale after another, each from the last one's end."""
    pose = start
    for scale in scales_px:
        for _ in range(3):  # again from where it ended, as the simplex may have collapsed

            def value(change: np.ndarray, pose: np.ndarray = pose, scale: float = scale) -> float:
                return cost(moved(pose, change), points, pixels, intrinsics, scale)

            found = minimize(value, np.zeros(6), method="Powell", options={"xtol": 1e-9, "ftol": 1e-14})
            pose = moved(pose, found.x)
    return pose


def pose_covariance(
    pose: np.ndarray, points: np.ndarray, intrinsics: np.ndarray, noise_px: float, samples: float
) -> np.ndarray:
    """Covariance [6, 6] of position and turn where every pixel errs by ``noise_px``, ``samples`` of them freely."""
    known = np.zeros((6, 6))
    step = 1e-6
    for point in points:
        rows = np.zeros((2, 6))
        for axis in range(6):
            change = np.zeros(6)
            change[axis] = step
            for sign in (1.0, -1.0):
                x, y, z = intrinsics @ (moved(pose, sign * change)[:3, :3] @ point + moved(pose, sign * change)[:3, 3])
                rows[:, axis] += sign * np.array([x / z, y / z]) / (2 * step)
        known += rows.T @ rows
    inflation = max(1.0, len(points) / samples) if not math.isinf(samples) else 1.0
    found: np.ndarray = noise_px**2 * inflation * np.linalg.inv(known)
    return found
