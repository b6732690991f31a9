"""The rollout on a whole video: windows in, joined results out; and tracks from any frame."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from ...backbone import Backbone
from ...config import RolloutConfig
from ...errors import MaskError
from ...mesh.types import Mesh
from ...notes import texts
from ...rollout.pipeline import Rollout
from ...rollout.window import Window, WindowResult
from ...shapes import check_shape
from ...stream.windows import split_frames
from .drift import token_correlation
from .flow import Tracks
from .motion import FoundMotion, join_windows

FRAME_NS = 66_666_667
"""Time between frames: 15 a second."""


def cut_windows(
    images: np.ndarray,
    masks: np.ndarray,
    size: int,
    intrinsics: np.ndarray | None = None,
    queries_px: np.ndarray | None = None,
) -> Iterator[Window]:
    """A video [F, H, W, 3] with masks [F, H, W] as windows of at most ``size`` frames that share one."""
    for rows in split_frames(len(images), size):
        part = slice(rows.start, rows.stop)
        stamps = np.arange(rows.start, rows.stop, dtype=np.int64) * FRAME_NS
        yield Window(images[part], masks[part], stamps, intrinsics, queries_px=queries_px)


@dataclass(frozen=True)
class Rolled:
    """A whole video's result.

    Attributes:
        motion: each frame once.
        seconds: of every window, end to end.
        correlations: of matched tokens in every window (``drift.token_correlation``).
        notes: what the rollout said, each sentence once.
    """

    motion: FoundMotion
    seconds: tuple[float, ...]
    correlations: tuple[float, ...]
    notes: tuple[str, ...]


def roll(
    backbone: Backbone,
    config: RolloutConfig,
    images: np.ndarray,
    masks: np.ndarray,
    intrinsics: np.ndarray | None = None,
    queries_px: np.ndarray | None = None,
    anchor: Mesh | None = None,
) -> Rolled:
    """Run the method on a video.

    Args:
        backbone, config: of the rollout.
        images: [F, H, W, 3] uint8; masks: [F, H, W] bool; intrinsics: [3, 3] or None.
        queries_px: [Q, 2] pixels of the first frame, None for a grid.
        anchor: mesh of the first frame in the canonical frame; None makes one from the first image.
    Raises:
        AttnChainError: whatever the rollout raises.
    """
    rollout = Rollout(backbone, config, anchor, anchor_is_canonical=True, keep_latents=True)
    results: list[WindowResult] = []
    seconds: list[float] = []
    correlations: list[float] = []
    for window in cut_windows(images, masks, config.frames, intrinsics, queries_px):
        started = time.perf_counter()
        result = rollout.run(window)
        seconds.append(time.perf_counter() - started)
        if result.latents is not None:
            ends = result.latents
            correlations.append(token_correlation(ends.anchor, ends.last, ends.match))
        # 240 frames need not keep the latents of all their windows.
        results.append(replace(result, latents=None))
    notes = tuple(texts(note for result in results for note in result.notes))
    return Rolled(join_windows(results), tuple(seconds), tuple(correlations), notes)


Tracker = Callable[[np.ndarray, np.ndarray | None, np.ndarray], Tracks]
"""Follows pixels [Q, 2] of the first frame through images [F, H, W, 3] with masks [F, H, W]."""


def rollout_tracker(backbone: Backbone, config: RolloutConfig, intrinsics: np.ndarray | None = None) -> Tracker:
    """The method as a tracker of 2D points; it needs masks."""

    def track(images: np.ndarray, masks: np.ndarray | None, queries_px: np.ndarray) -> Tracks:
        if masks is None:
            raise MaskError("the video has no masks: give them, or ask for a foreground method by name")
        found = roll(backbone, config, images, masks, intrinsics, np.asarray(queries_px, np.float32)).motion
        return Tracks(found.points_px, found.points_visible)

    return track


def track_queries(
    track: Tracker,
    images: np.ndarray,
    masks: np.ndarray | None,
    queries_px: np.ndarray,
    query_frame: np.ndarray,
    backwards: bool,
    progress: Callable[[int, int], None] | None = None,
) -> Tracks:
    """Follow points that are asked for in different frames: one run from each of these frames.

    Args:
        track: follows points of the first frame of what it is given.
        images: [F, H, W, 3]; masks: [F, H, W] or None.
        queries_px: [Q, 2]; query_frame: [Q].
        backwards: also follow them to the frames before, by playing the video the other way.
        progress: called with (runs done, runs in all).
    Returns:
        tracks [F, Q]; NaN and hidden in frames that no run reaches.
    Raises:
        ShapeError: sizes differ; and whatever ``track`` raises.
    """
    axes = check_shape("queries_px", queries_px, "Q 2")
    check_shape("query_frame", query_frame, "Q", **axes)
    frames = len(images)
    points = np.full((frames, axes["Q"], 2), np.nan, np.float32)
    visible = np.zeros((frames, axes["Q"]), bool)
    parts = [(int(start), slice(int(start), None)) for start in np.unique(query_frame)]
    if backwards:
        # A slice that ends before 0 cannot be written with -1.
        parts += [(start, slice(start, None, -1)) for start, _ in parts if start > 0]
    for number, (start, rows) in enumerate(parts):
        own = np.flatnonzero(query_frame == start)
        if len(images[rows]) > 1:
            found = track(images[rows], None if masks is None else masks[rows], queries_px[own])
            places = np.arange(frames)[rows]
            points[np.ix_(places, own)], visible[np.ix_(places, own)] = found.points_px, found.visible
        points[start, own], visible[start, own] = queries_px[own], True
        if progress is not None:
            progress(number + 1, len(parts))
    return Tracks(points, visible)
