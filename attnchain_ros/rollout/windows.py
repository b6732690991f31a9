"""From a stream of frames to windows that share one frame, for offline use (the node has its own buffer)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np

from ..errors import ConfigError, MaskError, ShapeError
from .window import Window


class FrameLike(Protocol):
    """What a frame must offer: RGB image, mask, stamp, and depth in metres if there is any."""

    @property
    def image(self) -> np.ndarray: ...
    @property
    def mask(self) -> np.ndarray | None: ...
    @property
    def stamp_ns(self) -> int: ...
    @property
    def depth_m(self) -> np.ndarray | None: ...


def split_frames(count: int, size: int) -> list[range]:
    """Frame numbers of each window when ``count`` frames are cut into windows of ``size`` that share one frame.

    The last window may be shorter (at least two frames, unless there is only one frame at all).

    Raises:
        ConfigError: ``size`` is below 2, so that windows could not share a frame and go on.

    >>> split_frames(7, 4)
    [range(0, 4), range(3, 7)]
    >>> split_frames(8, 4)
    [range(0, 4), range(3, 7), range(6, 8)]
    """
    _check_size(size)
    windows = [range(start, min(start + size, count)) for start in range(0, count - 1, size - 1)]
    return windows if windows or count < 1 else [range(1)]


def assemble_windows(frames: Iterable[FrameLike], size: int, intrinsics: np.ndarray | None = None) -> Iterator[Window]:
    """Collect frames into windows whose last frame is the first of the next; holds one window in memory.

    Args:
        frames: frames in the order of their stamps, each with a mask.
        size: frames of a window; the last window may be shorter (the rollout pads and trims it).
        intrinsics: [3, 3] float64 pinhole K in pixels, or None if unknown.
    Yields:
        windows in order. Depth is passed on when any of the window's frames has it (zeros = unknown elsewhere).
    Raises:
        ConfigError: ``size`` is below 2.
        MaskError: a frame has no mask.
        ShapeError: a frame is of another size than the first.
        InputError: stamps do not increase.
    """
    _check_size(size)
    held: list[FrameLike] = []
    first_shape: tuple[int, ...] | None = None
    number = -1
    windows = 0
    for number, frame in enumerate(frames):
        if frame.mask is None:
            raise MaskError(f"frame {number} has no mask: give masks, or ask for a foreground method by name")
        if first_shape is None:
            first_shape = frame.image.shape
        elif frame.image.shape != first_shape:
            raise ShapeError(
                f"frame {number} is {frame.image.shape[1]}x{frame.image.shape[0]}, the first one is "
                f"{first_shape[1]}x{first_shape[0]}: all frames of a clip must be of one size"
            )
        held.append(frame)
        if len(held) == size:
            yield _stack(held, intrinsics)
            windows += 1
            held = held[-1:]
    if len(held) > 1 or (held and not windows):
        yield _stack(held, intrinsics)


def _check_size(size: int) -> None:
    if size < 2:
        raise ConfigError(f"a window of {size} frames cannot share one with the next: at least 2 are needed")


def _stack(frames: list[FrameLike], intrinsics: np.ndarray | None) -> Window:
    """One window; masks were checked on the way in."""
    depth = None
    if any(frame.depth_m is not None for frame in frames):
        blank = np.zeros(frames[0].image.shape[:2], np.float32)
        depth = np.stack([blank if frame.depth_m is None else frame.depth_m for frame in frames])
    return Window(
        images=np.stack([frame.image for frame in frames]),
        masks=np.stack([np.asarray(frame.mask, bool) for frame in frames]),
        stamps_ns=np.array([frame.stamp_ns for frame in frames], np.int64),
        intrinsics=intrinsics,
        depth_m=depth,
    )
