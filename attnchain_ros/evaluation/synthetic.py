"""The rollout on held-out synthetic clips, with the anchor mesh given and from one image."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..backbone import Backbone
from ..config import RolloutConfig
from ..errors import AttnChainError, Cancelled, ConfigError
from ..rollout.pipeline import Rollout
from ..rollout.window import Window, WindowResult
from ..rollout.windows import split_frames
from ..synthetic import Clip, ClipConfig, make_clip, split_seed
from .anchors import clip_mesh
from .motion import clip_motion, join_windows
from .scores import MotionScores, score_motion

Anchor = Literal["given", "image"]
ANCHORS: tuple[Anchor, ...] = ("given", "image")

FRAME_NS = 66_666_667
"""Time between frames: 15 a second."""


@dataclass(frozen=True)
class ClipOutcome:
    """One run on one clip: figures, or why there are none.

    Attributes:
        index: number of the clip in the split "test"; seed: of the clip.
        anchor: "given" (the true mesh of frame 0, in the canonical frame) or "image" (made from the first image).
        scores: None if it failed.
        failure: why, "" if it did not fail.
        seconds: of every window, end to end.
        notes: what the rollout said.
    """

    index: int
    seed: int
    anchor: Anchor
    scores: MotionScores | None
    failure: str = ""
    seconds: tuple[float, ...] = ()
    notes: tuple[str, ...] = field(default=())


def clip_windows(clip: Clip, size: int) -> Iterator[Window]:
    """A clip's pictures as windows of at most ``size`` frames that share one."""
    pictures = clip.pictures
    for rows in split_frames(clip.config.frames, size):
        part = slice(rows.start, rows.stop)
        yield Window(
            images=pictures.images[part],
            masks=pictures.masks[part],
            stamps_ns=np.arange(rows.start, rows.stop, dtype=np.int64) * FRAME_NS,
            intrinsics=clip.intrinsics,
        )


def evaluate_clips(
    backbone: Backbone,
    config: RolloutConfig,
    indices: range,
    anchors: tuple[Anchor, ...] = ANCHORS,
    frames: int = 16,
    image_size: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> list[ClipOutcome]:
    """Run and measure held-out clips, one after another.

    Args:
        backbone, config: of the rollout.
        indices: clips of the split "test", whose seeds are never trained on.
        anchors: which runs; all of them see the same pictures.
        frames: of each clip, at least 2; more than a window go through several windows.
        image_size: side of the pictures, pixels.
        progress: called with runs done and runs in all.
    Returns:
        an outcome for every clip and run; a clip on which the rollout fails with an error of its own is an outcome too.
    Raises:
        ConfigError: frames or indices cannot be used.
    """
    if frames < 2:
        raise ConfigError(f"frames is {frames}, wanted at least 2: one frame has no motion")
    if not indices or not anchors:
        raise ConfigError("there is nothing to evaluate: give at least one clip and one anchor")
    outcomes: list[ClipOutcome] = []
    for index in indices:
        clip = make_clip(split_seed("test", index), ClipConfig(frames=frames, image_size=image_size))
        for anchor in anchors:
            outcomes.append(_evaluate(backbone, config, clip, index, anchor))
            if progress is not None:
                progress(len(outcomes), len(indices) * len(anchors))
    return outcomes


def _evaluate(backbone: Backbone, config: RolloutConfig, clip: Clip, index: int, anchor: Anchor) -> ClipOutcome:
    given = anchor == "given"
    results: list[WindowResult] = []
    seconds: list[float] = []
    try:
        rollout = Rollout(backbone, config, clip_mesh(clip) if given else None, anchor_is_canonical=True)
        for window in clip_windows(clip, config.frames):
            started = time.perf_counter()
            results.append(rollout.run(window))
            seconds.append(time.perf_counter() - started)
        scores = score_motion(join_windows(results), clip_motion(clip), np.eye(4) if given else None, given)
    except Cancelled:
        raise
    except AttnChainError as error:
        return ClipOutcome(index, clip.seed, anchor, None, f"{type(error).__name__}: {error}", tuple(seconds))
    notes = tuple(dict.fromkeys(note for result in results for note in result.notes))
    return ClipOutcome(index, clip.seed, anchor, scores, "", tuple(seconds), notes)
