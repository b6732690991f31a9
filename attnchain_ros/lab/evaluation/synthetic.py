"""The rollout on held-out synthetic clips, with the anchor mesh given and from one image."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ...backbone import Backbone
from ...config import RolloutConfig
from ...errors import AttnChainError, Cancelled, ConfigError
from ...rollout.window import Window
from ..synthetic import Clip, ClipConfig, Split, make_clip, split_clip, split_seed
from .actionbench_config import REDUCED, ActionBenchConfig
from .anchors import clip_mesh
from .motion import clip_motion
from .records import Record
from .scores import MotionScores, score_motion
from .sequences import cut_windows, roll
from .synthetic_records import clip_records

Anchor = Literal["given", "image"]
ANCHORS: tuple[Anchor, ...] = ("given", "image")


@dataclass(frozen=True)
class SyntheticSet:
    """Which clips are evaluated.

    Attributes:
        split: "test" (seeds that are never trained on) or "unseen" (a family that is never trained on), and others.
        family: all clips of one family instead of the split's mixture; "" = the mixture.
        clip: sizes, camera and ping-pong of every clip; its family is replaced.
    """

    split: Split = "test"
    family: str = ""
    clip: ClipConfig = field(default_factory=lambda: ClipConfig(image_size=256))

    def make(self, index: int) -> Clip:
        """The index-th clip.

        Raises:
            ConfigError: unknown split or family, or index out of range.
        """
        if self.family:
            return make_clip(split_seed(self.split, index), dataclasses.replace(self.clip, family=self.family))
        return split_clip(self.split, index, self.clip)


@dataclass(frozen=True)
class ClipOutcome:
    """One run on one clip: figures, or why there are none.

    Attributes:
        index: number of the clip in its split; seed: of the clip.
        anchor: "given" (the true mesh of frame 0, in the canonical frame) or "image" (made from the first image).
        scores: None if it failed.
        failure: why, "" if it did not fail.
        seconds: of every window, end to end.
        notes: what the rollout said.
        records: the benchmarks' figures of the method and of its baselines.
    """

    index: int
    seed: int
    anchor: Anchor
    scores: MotionScores | None
    failure: str = ""
    seconds: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    records: tuple[Record, ...] = ()


def outcome_from_json(values: dict[str, Any]) -> ClipOutcome:
    """A ``ClipOutcome`` from what ``dataclasses.asdict`` and JSON made of it."""
    scores = values["scores"]
    return ClipOutcome(
        **{
            **values,
            "scores": None if scores is None else MotionScores(**scores),
            "seconds": tuple(values["seconds"]),
            "notes": tuple(values["notes"]),
            "records": tuple(record_from_json(record) for record in values["records"]),
        }
    )


def record_from_json(values: dict[str, Any]) -> Record:
    """A ``Record`` from what ``dataclasses.asdict`` and JSON made of it."""
    return Record(**{**values, "notes": tuple(values["notes"])})


def clip_windows(clip: Clip, size: int) -> Iterator[Window]:
    """A clip's pictures as windows of at most ``size`` frames that share one."""
    return cut_windows(clip.images, clip.masks, size, clip.intrinsics)


def evaluate_clips(
    backbone: Backbone,
    config: RolloutConfig,
    indices: range,
    anchors: tuple[Anchor, ...] = ANCHORS,
    clips: SyntheticSet | None = None,
    counts: ActionBenchConfig = REDUCED,
    progress: Callable[[int, int], None] | None = None,
    finished: Sequence[ClipOutcome] = (),
    keep: Callable[[ClipOutcome], None] | None = None,
) -> list[ClipOutcome]:
    """Run and measure clips, one after another.

    Args:
        backbone, config: of the rollout.
        indices: clips of the split.
        anchors: which runs; all of them see the same pictures.
        clips: which clips; None is ``SyntheticSet()``. More frames than a window go through several windows.
        counts: points and steps of the benchmarks' figures.
        progress: called with runs done and runs in all.
        finished: outcomes of an earlier run, which are not computed again; those that failed are.
        keep: called with every new outcome, to save it.
    Returns:
        an outcome for every clip and run; a clip on which the rollout fails with an error of its own is an outcome too.
    Raises:
        ConfigError: frames or indices cannot be used.
    """
    clips = SyntheticSet() if clips is None else clips
    if clips.clip.frames < 2:
        raise ConfigError(f"frames is {clips.clip.frames}, wanted at least 2: one frame has no motion")
    if not indices or not anchors:
        raise ConfigError("there is nothing to evaluate: give at least one clip and one anchor")
    known = {(outcome.index, outcome.anchor): outcome for outcome in finished if not outcome.failure}
    outcomes: list[ClipOutcome] = []
    for index in indices:
        clip = None
        for anchor in anchors:
            outcome = known.get((index, anchor))
            if outcome is None:
                clip = clips.make(index) if clip is None else clip
                outcome = _evaluate(backbone, config, clip, index, anchor, counts)
                if keep is not None:
                    keep(outcome)
            outcomes.append(outcome)
            if progress is not None:
                progress(len(outcomes), len(indices) * len(anchors))
    return outcomes


def _evaluate(
    backbone: Backbone, config: RolloutConfig, clip: Clip, index: int, anchor: Anchor, counts: ActionBenchConfig
) -> ClipOutcome:
    given = anchor == "given"
    seconds: tuple[float, ...] = ()
    try:
        mesh = clip_mesh(clip) if given else None
        rolled = roll(backbone, config, clip.images, clip.masks, clip.intrinsics, None, mesh)
        seconds = rolled.seconds
        truth = clip_motion(clip)
        scores = score_motion(rolled.motion, truth, np.eye(4) if given else None, given)
        records = clip_records(
            str(index), rolled, truth, clip.images, config.frames, given, counts, str(backbone.device)
        )
    except Cancelled:
        raise
    except AttnChainError as error:
        return ClipOutcome(index, clip.seed, anchor, None, f"{type(error).__name__}: {error}", seconds)
    return ClipOutcome(index, clip.seed, anchor, scores, "", seconds, rolled.notes, tuple(records))
