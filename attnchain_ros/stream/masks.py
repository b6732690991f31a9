"""Which mask belongs to which image, and whether it can be used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .config import StreamConfig
from .stamps import StampBook


@dataclass(frozen=True)
class Verdict:
    """What the book says about one frame.

    Attributes:
        mask: [H, W] bool for a settled frame; None otherwise, or where the mask is carried on or made later.
        settled: the frame may go on.
        drop: why the frame has to be dropped ("no_mask", "mask_size", "mask_empty"), or None.
        problem: a sentence with numbers for the log, or "".
    """

    mask: np.ndarray | None = None
    settled: bool = False
    drop: str | None = None
    problem: str = ""


class MaskBook:
    """The masks that came, by stamp, and the verdict about each image.

    Modes:
        every   each image needs the mask nearest to its own stamp, within the tolerance.
        latest  each image takes the newest mask that is not later than itself (plus the tolerance).
        first   only the first image of a chain needs one (nearest, within the tolerance).
    Masks are taken to come in order: once a mask later than an image is here, the image's own will not come any more.
    With foreground ``grabcut`` no mask is looked up: all but those that come with their image are made later. With
    ``sam2`` none is looked up either: who makes them puts them into the frames.
    """

    def __init__(self, config: StreamConfig) -> None:
        self._mode = config.mask_mode
        self.made = config.foreground == "grabcut"
        self.brought = config.foreground == "sam2"
        self.complete = False
        """No mask will come any more."""
        # A mask may come long before its image is taken in (blocked), so the book is larger than the queue.
        self.stamps: StampBook[np.ndarray] = StampBook(config.tolerance_ns, capacity=4 * config.queue_size)

    def judge(self, stamp_ns: int, image_shape: tuple[int, ...], own: np.ndarray | None, starts_chain: bool) -> Verdict:
        """Find the mask of one image.

        Args:
            stamp_ns: the image's stamp.
            image_shape: (H, W, ...).
            own: mask that came with the image (alpha), or None.
            starts_chain: the image would be the first of a chain.
        """
        if own is not None:
            return _check(own, image_shape, "the mask that came with the image")
        if self.brought:
            return Verdict(drop="no_mask") if self.complete else Verdict()
        if self.made or (self._mode == "first" and not starts_chain):
            return Verdict(settled=True)
        found = self.stamps.newest(stamp_ns) if self._mode == "latest" else self.stamps.nearest(stamp_ns)
        if found is not None:
            return _check(found, image_shape, "the mask")
        if self.complete or self.stamps.later_than(stamp_ns):
            return Verdict(drop="no_mask")
        return Verdict()


def _check(mask: np.ndarray, image_shape: tuple[int, ...], what: str) -> Verdict:
    height, width = image_shape[:2]
    if mask.shape != (height, width):
        return Verdict(
            drop="mask_size",
            problem=f"{what} is {mask.shape[1]}x{mask.shape[0]}, the image is {width}x{height}: "
            "publish it at image size",
        )
    if not mask.any():
        return Verdict(
            drop="mask_empty",
            problem=f"{what} of {width}x{height} pixels is empty: none is the object's (see mask_instance_id)",
        )
    return Verdict(mask=mask, settled=True)
