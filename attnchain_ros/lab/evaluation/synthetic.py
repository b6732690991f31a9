"""Held-out synthetic clips by number, and as windows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field

from ...rollout.window import Window
from ..synthetic import Clip, ClipConfig, Split, make_clip, split_clip, split_seed
from .sequences import cut_windows


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


def clip_windows(clip: Clip, size: int) -> Iterator[Window]:
    """A clip's pictures as windows of at most ``size`` frames that share one."""
    return cut_windows(clip.images, clip.masks, size, clip.intrinsics)
