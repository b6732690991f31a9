"""What goes into a stream: camera frames, and the masks, depth images and calibrations that come beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from .camera import CameraNumbers


@dataclass(eq=False)
class Frame:
    """One camera image on its way into a window.

    Attributes:
        image: [H, W, 3] uint8 RGB.
        mask: [H, W] bool, the object. None while it is awaited (from a topic, or from SAM 2 between two windows), or
            where it is made by GrabCut when the window is assembled (mask mode ``first``, or foreground ``grabcut``).
        stamp_ns: nanoseconds, the image's own.
        depth_m: [H, W] float32 metres, 0 = unknown; None = none came with the image.
        frame_id: the camera's optical frame, "" = not known.
        arrived_s: when it came in, seconds of a steady clock, for statistics.
        sequence: number among the chain's frames with a settled mask, given by the buffer.
        arrival: number among the images that came, where several objects share them; given by their streams.
        refused: why whoever makes its mask gave it none, "" = it did not.
    """

    image: np.ndarray
    mask: np.ndarray | None
    stamp_ns: int
    depth_m: np.ndarray | None = None
    frame_id: str = ""
    arrived_s: float = 0.0
    sequence: int = 0
    arrival: int = 0
    refused: str = ""

    @property
    def kind(self) -> ImageKind:
        """What decides whether the chain goes on."""
        return ImageKind(self.stamp_ns, self.image.shape, self.frame_id)


@dataclass(frozen=True, eq=False)
class MaskImage:
    """A mask on its own: [H, W] bool; stamp 0 = for every image."""

    mask: np.ndarray
    stamp_ns: int


@dataclass(frozen=True, eq=False)
class IdImage:
    """A mask of several objects on its own: [H, W] of whole numbers, 0 = none, else the object's id; stamp 0 = any."""

    ids: np.ndarray
    stamp_ns: int


@dataclass(frozen=True, eq=False)
class DepthImage:
    """A depth image on its own: [H, W] float32 metres registered to the camera image, 0 = unknown.

    ``frame_id``: the optical frame it is seen from, "" = not known.
    """

    depth_m: np.ndarray
    stamp_ns: int
    frame_id: str = ""


@dataclass(frozen=True)
class Calibration:
    """A CameraInfo, which holds from its stamp on."""

    numbers: CameraNumbers
    stamp_ns: int


@dataclass(frozen=True)
class NoMoreMasks:
    """All masks of a recording came: what still waits for one has none."""


@dataclass(frozen=True)
class Refused:
    """Something that could not be read: ``text`` says what and why; ``frame``: it was a camera frame, which counts."""

    text: str
    frame: bool = False


Event: TypeAlias = Frame | MaskImage | IdImage | DepthImage | Calibration | NoMoreMasks | Refused
"""Whatever may come into a stream."""


class ImageKind(NamedTuple):
    """What of an image decides whether windows can go on to the next one."""

    stamp_ns: int
    shape: tuple[int, ...]
    frame_id: str


def break_cause(last: ImageKind, now: ImageKind, max_gap_s: float) -> str | None:
    """Why windows cannot go on from one image to the next; None if they can.

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
