"""Twin of camera.pnp: Eq. 8 as printed, a robust least-squares problem, minimised from many starts."""

from __future__ import annotations

import itertools
import math

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation


def estimate_pose(
    points_object: np.ndarray, points_px: np.ndarray, intrinsics: np.ndarray, threshold_px: float
) -> tuple[np.ndarray, np.ndarray]:
    """camera_from_object [4, 4] and inliers [n]: Cauchy's rho from 24 rotations, then plain squares on the inliers."""
    points = [tuple(float(c) for c in point) for point in points_object]
    pixels = [tuple(float(c) for c in pixel) for pixel in points_px]
    middle = np.median(points_px, axis=0)
    spread_px = np.median(np.linalg.norm(points_px - middle, axis=1))
    spread = np.median(np.linalg.norm(points_object - np.median(points_object, axis=0), axis=1))
    far = intrinsics[0, 0] * spread / spread_px
    shift = far * np.linalg.inv(intrinsics) @ [middle[0], middle[1], 1.0]

    best: tuple[int, float, np.ndarray] = (-1, 0.0, np.zeros(6))
    for turn in _cube_turns():
        start = np.concatenate([Rotation.from_matrix(turn).as_rotvec(), shift])
        arguments = (points, pixels, intrinsics)
        rough = least_squares(_residuals, start, loss="cauchy", f_scale=threshold_px / 2, args=arguments, max_nfev=40)
        inliers = _inliers(rough.x, points, pixels, intrinsics, threshold_px)
        if (sum(inliers), -rough.cost) > best[:2]:
            best = (sum(inliers), -rough.cost, rough.x)
    values = best[2]
    for _ in range(10):
        inliers = _inliers(values, points, pixels, intrinsics, threshold_px)
        kept = [[p for p, inside in zip(items, inliers, strict=True) if inside] for items in (points, pixels)]
        values = least_squares(_residuals, values, args=(*kept, intrinsics), xtol=1e-14, ftol=1e-14, gtol=1e-14).x
        if _inliers(values, points, pixels, intrinsics, threshold_px) == inliers:
            break
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec(values[:3]).as_matrix()
    pose[:3, 3] = values[3:]
    return pose, np.array(_inliers(values, points, pixels, intrinsics, threshold_px))


def _cube_turns() -> list[np.ndarray]:
    """The 24 rotations that take a cube to itself."""
    turns = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            turn = np.zeros((3, 3))
            for row, column in enumerate(order):
                turn[row, column] = signs[row]
            if np.linalg.det(turn) > 0:
                turns.append(turn)
    return turns


def _residuals(values: np.ndarray, points: list, pixels: list, intrinsics: np.ndarray) -> np.ndarray:
    turn = Rotation.from_rotvec(values[:3]).as_matrix().tolist()
    (fx, _, cx), (_, fy, cy), _ = intrinsics.tolist()
    away = []
    for (x, y, z), (u, v) in zip(points, pixels, strict=True):
        a, b, c = (turn[i][0] * x + turn[i][1] * y + turn[i][2] * z + float(values[3 + i]) for i in range(3))
        c = c if c > 1e-6 else 1e-6
        away += [fx * a / c + cx - u, fy * b / c + cy - v]
    return np.array(away)


def _inliers(values: np.ndarray, points: list, pixels: list, intrinsics: np.ndarray, threshold_px: float) -> list[bool]:
    away = _residuals(values, points, pixels, intrinsics)
    return [math.hypot(away[2 * i], away[2 * i + 1]) <= threshold_px for i in range(len(points))]
