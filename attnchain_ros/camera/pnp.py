"""Camera pose from 2D-3D matches (Eq. 8, App. C): RANSAC over EPnP, SQPnP where that degenerates, refinement.

The RANSAC loop is our own: OpenCV's draws from a generator shared by the whole process, so its poses would depend on
what else runs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ..config import CameraConfig
from ..errors import InputError
from ..shapes import check_shape
from .intrinsics import check_intrinsics

SAMPLE = 5  # points per hypothesis, as EPnP wants
SCORED = 2000  # matches a hypothesis is judged by; more change the share of inliers by about 1 %
FLATNESS = 1e-3  # thickness over length below which points count as flat, where EPnP's control points degenerate
MAX_DISTANCE = 200.0  # object diameters; from farther away an object covers a handful of pixels
REFINEMENTS = 5  # rounds of refining on the inliers and gathering them again


@dataclass(frozen=True)
class PoseEstimate:
    """A camera pose or the reason why there is none.

    Attributes:
        camera_from_object: [4, 4] float64; identity where not valid.
        inliers: [n] bool, matches within the threshold of the final pose; all False where not valid.
        valid: False where the pose was refused.
        reprojection_px: median reprojection error of the inliers; NaN where not valid.
        reason: why the pose was refused, for the user; empty where valid.
    """

    camera_from_object: np.ndarray
    inliers: np.ndarray
    valid: bool
    reprojection_px: float
    reason: str


def estimate_pose(
    points_object: np.ndarray,
    points_px: np.ndarray,
    intrinsics: np.ndarray,
    config: CameraConfig,
    threshold_px: float,
    seed: int,
) -> PoseEstimate:
    """Estimate where the camera is from matches between object points and pixels (Eq. 8).

    Hypotheses come from EPnP on 5 matches, or from SQPnP where EPnP degenerates (flat samples, a translation that is
    not finite, absurdly far, or puts the object behind the camera). The best one is refined on its inliers by
    Levenberg-Marquardt; rho of Eq. 8 is 1 for inliers and 0 for the rest. The same arguments give the same pose.

    Args:
        points_object: [n, 3] object frame, object units.
        points_px: [n, 2] pixels of the undistorted image; matches that are not finite are outliers.
        intrinsics: [3, 3] K, pixels.
        config: ``iterations``, ``ransac_confidence`` and ``min_inliers``.
        threshold_px: reprojection error of an inlier, pixels.
        seed: of the samples.
    Returns:
        the pose, or a refusal: fewer than ``min_inliers`` (and 5) inliers, no finite pose, or the object behind
        the camera.
    Raises:
        ShapeError: sizes disagree.   InputError: K cannot be used or the threshold is not positive.
    Twin: ``lab.reference.pnp.estimate_pose``.
    """
    axes = check_shape("points_object", points_object, "n 3")
    check_shape("points_px", points_px, "n 2", "one pixel per object point", **axes)
    matrix = check_intrinsics(intrinsics)
    if not threshold_px > 0:
        raise InputError(f"threshold_px is {threshold_px}, wanted a positive number of pixels")
    finite = np.isfinite(points_object).all(axis=1) & np.isfinite(points_px).all(axis=1)
    known = np.flatnonzero(finite)
    count = axes["n"]
    needed = max(config.min_inliers, SAMPLE)
    if len(known) < needed:
        return _refusal(count, f"{len(known)} matches, at least {needed} are needed")
    points = np.ascontiguousarray(points_object[known], dtype=np.float64)
    pixels = np.ascontiguousarray(points_px[known], dtype=np.float64)
    solver = _Solver(points, pixels, matrix, threshold_px)
    if solver.diameter == 0:
        return _refusal(count, "all object points coincide")

    rng = np.random.default_rng(seed)
    judged = np.arange(len(points)) if len(points) <= SCORED else rng.choice(len(points), SCORED, replace=False)
    pose = _search(solver, judged, config, rng)
    if pose is None:
        return _refusal(count, "no sample of matches gave a pose in front of the camera")
    pose, inliers = _refine(solver, pose)
    found = int(inliers.sum())
    if found < needed:
        return _refusal(count, f"{found} of {count} matches agree with the best pose, at least {needed} are needed")
    if not solver.plausible(pose):
        return _refusal(count, "the refined pose is not finite, too far away, or behind the camera")
    error = solver.errors(pose, np.flatnonzero(inliers))
    all_inliers = np.zeros(count, dtype=bool)
    all_inliers[known[inliers]] = True
    return PoseEstimate(pose, all_inliers, True, float(np.median(error)), "")


class _Solver:
    """The matches of one call with what every hypothesis needs."""

    def __init__(self, points: np.ndarray, pixels: np.ndarray, intrinsics: np.ndarray, threshold_px: float) -> None:
        self.points, self.pixels, self.intrinsics, self.threshold = points, pixels, intrinsics, threshold_px
        self.middle = (points.max(axis=0) + points.min(axis=0)) / 2
        self.diameter = float(np.linalg.norm(points.max(axis=0) - points.min(axis=0)))
        spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
        self.flat = bool(spread[-1] <= FLATNESS * spread[0])

    def plausible(self, pose: np.ndarray) -> bool:
        """Finite, not absurdly far, and the middle of the object in front of the camera."""
        if not np.isfinite(pose).all() or np.linalg.norm(pose[:3, 3]) > MAX_DISTANCE * self.diameter:
            return False
        return bool(pose[2, :3] @ self.middle + pose[2, 3] > 0)

    def solve(self, rows: np.ndarray) -> np.ndarray | None:
        """A pose from some matches without a first guess: EPnP, or SQPnP where that degenerates; None if both do."""
        if not self.flat:
            pose = self._solve(rows, cv2.SOLVEPNP_EPNP)
            if pose is not None:
                return pose
        return self._solve(rows, cv2.SOLVEPNP_SQPNP)

    def _solve(self, rows: np.ndarray, method: int) -> np.ndarray | None:
        try:
            solved, turn, shift = cv2.solvePnP(
                self.points[rows], self.pixels[rows], self.intrinsics, None, flags=method
            )
        except cv2.error:
            # Coincident or collinear samples make OpenCV's own checks fail; they just give no hypothesis.
            return None
        if not solved:
            return None
        pose = _pose(turn, shift)
        return pose if self.plausible(pose) else None

    def refine(self, pose: np.ndarray, rows: np.ndarray) -> np.ndarray:
        turn, _ = cv2.Rodrigues(pose[:3, :3])
        turn, shift = cv2.solvePnPRefineLM(
            self.points[rows], self.pixels[rows], self.intrinsics, None, turn, pose[:3, 3:].copy()
        )
        return _pose(turn, shift)

    def errors(self, pose: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Reprojection errors [len(rows)] px; inf behind the camera."""
        mapping = self.intrinsics @ pose[:3]
        flat = self.points[rows] @ mapping[:, :3].T + mapping[:, 3]
        front = flat[:, 2] > 0
        depth = np.where(front, flat[:, 2], 1.0)[:, None]
        away = flat[:, :2] / depth - self.pixels[rows]
        return np.where(front, np.hypot(away[:, 0], away[:, 1]), np.inf)


def _search(solver: _Solver, judged: np.ndarray, config: CameraConfig, rng: np.random.Generator) -> np.ndarray | None:
    """RANSAC: the hypothesis with most inliers, of equals the one with the least total error; stops once sure."""
    best, best_score = None, (0, -math.inf)
    wanted, tried = config.iterations, 0
    while tried < wanted:
        tried += 1
        pose = solver.solve(rng.choice(len(solver.points), SAMPLE, replace=False))
        if pose is None:
            continue
        error = solver.errors(pose, judged)
        inside = error <= solver.threshold
        score = (int(inside.sum()), -float(error[inside].sum()))
        if score > best_score:
            best, best_score = pose, score
            share = score[0] / len(judged)
            missed = math.log1p(-min(share**SAMPLE, 1.0 - 1e-12))
            enough = math.log(1.0 - config.ransac_confidence) / missed if missed < 0 else math.inf
            wanted = min(wanted, math.ceil(enough)) if math.isfinite(enough) else wanted
    return best


def _refine(solver: _Solver, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Levenberg-Marquardt on the inliers, gathered anew until they stay: the pose and its inliers [n]."""
    everything = np.arange(len(solver.points))
    inliers = solver.errors(pose, everything) <= solver.threshold
    for _ in range(REFINEMENTS):
        rows = np.flatnonzero(inliers)
        if len(rows) < SAMPLE:
            break
        # A fresh solution from all inliers, if it explains more, frees the result from the luck of 5 noisy matches.
        candidates = [pose, solver.solve(rows)]
        refined = [solver.refine(start, rows) for start in candidates if start is not None]
        gathered = [solver.errors(item, everything) <= solver.threshold for item in refined]
        chosen = int(np.argmax([item.sum() for item in gathered]))
        if not np.isfinite(refined[chosen]).all() or gathered[chosen].sum() < len(rows) // 2:
            break
        same = bool((gathered[chosen] == inliers).all())
        pose, inliers = refined[chosen], gathered[chosen]
        if same:
            break
    return pose, inliers


def _pose(turn: np.ndarray, shift: np.ndarray) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3], _ = cv2.Rodrigues(turn)
    pose[:3, 3] = shift.ravel()
    return pose


def _refusal(count: int, reason: str) -> PoseEstimate:
    return PoseEstimate(np.eye(4), np.zeros(count, dtype=bool), False, float("nan"), reason)
