"""WorldTrack: 3D tracks in the first camera's frame (APD_3D)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ...shapes import check_shape
from ..table import Figures

FRAMES = 64
"""Frames of a video that count."""
THRESHOLDS_M = (0.1, 0.3, 0.5, 1.0)
"""A point is within a threshold if its error is at most that, in metres."""
DYNAMIC_M = 0.01
"""A point is dynamic if its path is longer than this."""


@dataclass(frozen=True)
class WorldTrackScores:
    """Figures of one video; shares from 0 to 1, None where no point is of the kind.

    Attributes:
        apd_dynamic: mean over thresholds of the share of dynamic points within; this is the published figure.
        apd_all: the same over all points visible in the first frame, with a scale of their own.
        within_dynamic: the shares behind ``apd_dynamic``, one for each of ``THRESHOLDS_M``.
        dynamic_points, points: how many there are.
    """

    apd_dynamic: float | None
    apd_all: float | None
    within_dynamic: tuple[float, ...]
    dynamic_points: int
    points: int

    @property
    def figures(self) -> Figures:
        """By metric, with those of every threshold."""
        shares = self.within_dynamic or (None,) * len(THRESHOLDS_M)
        within = {f"within_{m:g}": share for m, share in zip(THRESHOLDS_M, shares, strict=True)}
        return {"apd_dynamic": self.apd_dynamic, "apd_all": self.apd_all, **within}


def world_points(points_camera: np.ndarray, camera_from_world: np.ndarray) -> np.ndarray:
    """Points [F, N, 3] of each frame's own camera in the first frame's camera, float64; camera_from_world [F, 4, 4]."""
    axes = check_shape("points_camera", points_camera, "F N 3")
    check_shape("camera_from_world", camera_from_world, "F 4 4", **axes)
    poses = np.asarray(camera_from_world, np.float64)
    first_from_camera = poses[0] @ np.linalg.inv(poses)
    moved: np.ndarray = np.asarray(points_camera, np.float64) @ np.swapaxes(first_from_camera[:, :3, :3], 1, 2)
    return moved + first_from_camera[:, None, :3, 3]


def score_worldtrack(found: np.ndarray, truth: np.ndarray, visible: np.ndarray) -> WorldTrackScores:
    """Measure 3D tracks of one video: one scale for all points and frames, no rotation, no shift.

    The scale is the median length of the true points over that of the found ones, of the points that are measured.
    All frames count, whether a point is visible there or not.

    Args:
        found: [F, N, 3] in the first camera's frame, any scale; NaN = absent, within no threshold.
        truth: [F, N, 3] metres, same frame; visible: [F, N] bool, of which the first frame chooses the points.
    Raises:
        ShapeError: sizes differ.   InputError: no point is visible in the first frame.
    Twin: ``lab.reference.worldtrack.score_worldtrack``.
    """
    axes = check_shape("truth", truth, "F N 3")
    check_shape("found", found, "F N 3", **axes)
    check_shape("visible", visible, "F N", **axes)
    if not np.any(visible[:1]):
        raise InputError(f"none of {axes['N']} points is visible in the first frame: there is nothing to measure")
    chosen = np.flatnonzero(visible[0])
    ours = np.asarray(found, np.float64)[:FRAMES, chosen]
    true = np.asarray(truth, np.float64)[:FRAMES, chosen]
    path = np.linalg.norm(np.diff(true, axis=0), axis=2).sum(axis=0)
    dynamic = path > DYNAMIC_M
    shares = _within(ours[:, dynamic], true[:, dynamic])
    every = _within(ours, true)
    return WorldTrackScores(
        apd_dynamic=float(np.mean(shares)) if shares else None,
        apd_all=float(np.mean(every)) if every else None,
        within_dynamic=shares,
        dynamic_points=int(dynamic.sum()),
        points=len(chosen),
    )


def _within(found: np.ndarray, truth: np.ndarray) -> tuple[float, ...]:
    """Share of points within each threshold after the scale; empty without points."""
    if not truth.size:
        return ()
    lengths = np.linalg.norm(found, axis=2)
    present = np.isfinite(lengths)
    middle = float(np.median(lengths[present])) if present.any() else 0.0
    # Without a length to go by there is no scale, and nothing is near.
    scale = float(np.median(np.linalg.norm(truth, axis=2))) / middle if middle > 0 else np.nan
    error = np.linalg.norm(scale * found - truth, axis=2)
    return tuple(float((error <= threshold).mean()) for threshold in THRESHOLDS_M)
