"""What a camera clip is to the rest of the package, whatever it is stored in: frames one after another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..errors import ConfigError
from ..notes import Notes


@dataclass(frozen=True)
class Frame:
    """One camera image with what belongs to it.

    Attributes:
        image: [H, W, 3] uint8 RGB.
        mask: [H, W] bool, the object; None = not given for this frame.
        stamp_ns: nanoseconds, the image's own.
        depth_m: [H, W] float32 metres, 0 = unknown; None = not given.
        chain: counts up where the frames before cannot be followed on (``break_cause``).
    """

    image: np.ndarray
    mask: np.ndarray | None
    stamp_ns: int
    depth_m: np.ndarray | None = None
    chain: int = 0


class ImageKind(NamedTuple):
    """What of an image decides whether windows can go on to the next one."""

    stamp_ns: int
    shape: tuple[int, ...]
    frame_id: str


def break_cause(last: ImageKind, now: ImageKind, max_gap_s: float) -> str | None:
    """Why windows cannot go on from one image to the next, in the node's words; None if they can.

    Args:
        last, now: the two images.
        max_gap_s: longest time between two images, 0 = any.

    >>> break_cause(ImageKind(0, (4, 6, 3), "camera"), ImageKind(3 * 10**9, (4, 6, 3), "camera"), 2.0)
    'gap'
    """
    if now.stamp_ns < last.stamp_ns:
        return "stamp_back"
    if now.shape != last.shape:
        return "image_size"
    if now.frame_id != last.frame_id:
        return "frame_id"
    return "gap" if 0 < max_gap_s * 1e9 < now.stamp_ns - last.stamp_ns else None


class FrameSource(ABC):
    """A clip; every ``iter`` starts again at its first frame and reads lazily.

    Attributes:
        name: what the clip is called in messages.
        intrinsics: [3, 3] float64 K in pixels, or None if unknown.
        notes: what was assumed, for the user; may grow while frames are read.
    """

    name: str
    intrinsics: np.ndarray | None
    notes: Notes

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """The frames in the order of their stamps."""

    def intrinsics_of(self, chain: int) -> np.ndarray | None:
        """K [3, 3] of a chain's images; chains before it must have been read. The same for all unless overridden."""
        return self.intrinsics

    @property
    @abstractmethod
    def count(self) -> int | None:
        """Number of frames, None if it is only known at the end."""


class StridedSource(FrameSource):
    """Every n-th frame of another source; stamps stay the images' own."""

    def __init__(self, source: FrameSource, stride: int) -> None:
        """Raises ConfigError if ``stride`` is below 1."""
        if stride < 1:
            raise ConfigError(f"stride is {stride}, the least is 1 (every frame)")
        self.source = source
        self.stride = stride
        self.name = source.name
        self.intrinsics = source.intrinsics
        self.notes = source.notes

    def __iter__(self) -> Iterator[Frame]:
        """The frames 0, n, 2n, ..."""
        return (frame for number, frame in enumerate(self.source) if number % self.stride == 0)

    def intrinsics_of(self, chain: int) -> np.ndarray | None:
        """The other source's."""
        return self.source.intrinsics_of(chain)

    @property
    def count(self) -> int | None:
        """Number of frames that are left."""
        count = self.source.count
        return None if count is None else -(-count // self.stride)


class ArraySource(FrameSource):
    """Frames that are already in memory (synthetic scenes, tests)."""

    def __init__(self, frames: list[Frame], name: str, intrinsics: np.ndarray | None = None) -> None:
        """Keep ``frames`` as they are."""
        self.frames = frames
        self.name = name
        self.intrinsics = intrinsics
        self.notes = Notes()

    def __iter__(self) -> Iterator[Frame]:
        """The frames as given."""
        return iter(self.frames)

    @property
    def count(self) -> int | None:
        """Number of frames."""
        return len(self.frames)
