"""TAP-Vid's figures of 2D point tracks: average Jaccard, average position accuracy and occlusion accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...errors import ConfigError, InputError
from ...shapes import check_shape
from ..table import Figures

QueryMode = Literal["first", "strided"]
QUERY_MODES: tuple[QueryMode, ...] = ("first", "strided")
THRESHOLDS_PX = (1, 2, 4, 8, 16)
"""A point is within a threshold if its error is strictly below it, in pixels of a 256 x 256 picture."""
RASTER = (256, 256)
STRIDE = 5
"""Frames between the queries of the mode "strided"."""


def to_raster(points_px: np.ndarray, size: tuple[int, int], raster: tuple[int, int] = RASTER) -> np.ndarray:
    """Pixels [..., 2] of a picture of ``size`` (height, width) as the benchmark's coordinates of a ``raster`` picture.

    Here the centre of the top left pixel is (0, 0); there its corner is, and pictures are stretched to the raster.

    >>> to_raster(np.array([-0.5, 49.5]), (100, 200)).tolist()
    [0.0, 128.0]
    """
    check_shape("points_px", points_px, "... 2")
    stretch = np.array([raster[1] / size[1], raster[0] / size[0]])
    moved: np.ndarray = (np.asarray(points_px, np.float64) + 0.5) * stretch
    return moved


def choose_queries(visible: np.ndarray, mode: QueryMode) -> tuple[np.ndarray, np.ndarray]:
    """Which points are queried where.

    ``first``: every point once, in the first frame that shows it. ``strided``: in frames 0, 5, 10, ... every point
    that is visible there, so that a point may be queried several times. Points that are never shown are left out.

    Args:
        visible: [F, N] bool.
    Returns:
        point [Q] and frame [Q], int64.
    Raises:
        ConfigError: unknown mode.
    """
    check_shape("visible", visible, "F N")
    if mode not in QUERY_MODES:
        raise ConfigError(f"query mode {mode!r} is unknown: use one of {', '.join(QUERY_MODES)}")
    if mode == "first":
        point = np.flatnonzero(visible.any(axis=0))
        return point, visible[:, point].argmax(axis=0)
    row, point = np.nonzero(visible[::STRIDE])
    return point, row * STRIDE


@dataclass(frozen=True)
class TapVidScores:
    """Figures of one video, shares from 0 to 1; None where no point is visible in any frame that counts.

    Attributes:
        aj: mean of ``jaccard``; delta_avg: mean of ``delta``; oa: occlusion accuracy.
        jaccard, delta: one value for each of ``THRESHOLDS_PX``.
    """

    aj: float | None
    delta_avg: float | None
    oa: float
    jaccard: tuple[float | None, ...]
    delta: tuple[float | None, ...]

    @property
    def figures(self) -> Figures:
        """By metric, with those of every threshold."""
        found: Figures = {"aj": self.aj, "delta_avg": self.delta_avg, "oa": self.oa}
        for px, delta, jaccard in zip(THRESHOLDS_PX, self.delta, self.jaccard, strict=True):
            found |= {f"delta_{px}": delta, f"jaccard_{px}": jaccard}
        return found


def score_tapvid(
    found: np.ndarray,
    found_visible: np.ndarray,
    truth: np.ndarray,
    visible: np.ndarray,
    query_frame: np.ndarray,
    mode: QueryMode = "first",
) -> TapVidScores:
    """Measure the tracks of one video.

    ``delta``: share of the truly visible points found within the threshold, whatever the prediction says about
    visibility. ``jaccard``: TP / (truly visible + FP), where TP is truly visible, said to be visible and within, and
    FP is said to be visible but hidden in truth or not within. ``oa``: share of points whose visibility is right.
    Mode ``first`` counts the frames after the query, ``strided`` all frames but the query's.

    Args:
        found: [F, Q, 2] raster coordinates (``to_raster``); NaN = absent, never within a threshold.
        found_visible: [F, Q] bool.
        truth: [F, Q, 2]; visible: [F, Q] bool.
        query_frame: [Q] frame in which each track was queried.
    Raises:
        ShapeError: sizes differ.   InputError: there is no frame that counts, or a visible truth is not finite.
    Twin: ``lab.reference.tapvid.score_tapvid``.
    """
    axes = check_shape("truth", truth, "F Q 2")
    for name, array, wanted in (
        ("found", found, "F Q 2"), ("found_visible", found_visible, "F Q"), ("visible", visible, "F Q"),
        ("query_frame", query_frame, "Q"),
    ):  # fmt: skip
        check_shape(name, array, wanted, **axes)
    if not np.isfinite(truth[visible]).all():
        raise InputError("the truth has visible points without a position")
    frame = np.arange(axes["F"])[:, None]
    counts = frame > query_frame if mode == "first" else frame != query_frame
    if not counts.any():
        raise InputError(f"no frame counts: {axes['Q']} queries in {axes['F']} frames, none with a frame after it")
    seen, said = visible & counts, np.asarray(found_visible, bool) & counts
    error = np.linalg.norm(np.asarray(found, np.float64) - truth, axis=2)
    jaccard: list[float | None] = []
    delta: list[float | None] = []
    for threshold in THRESHOLDS_PX:
        within = error < threshold
        hits = seen & said & within
        wrong = said & ~(visible & within)
        below = seen.sum() + wrong.sum()
        jaccard.append(float(hits.sum() / below) if below else None)
        delta.append(float((seen & within).sum() / seen.sum()) if seen.any() else None)
    right = (visible == np.asarray(found_visible, bool)) & counts
    return TapVidScores(_mean(jaccard), _mean(delta), float(right.sum() / counts.sum()), tuple(jaccard), tuple(delta))


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
