"""Which mask belongs to which image, by stamp. ROS-free; not thread-safe (the frame buffer holds the lock)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np

MaskMode = Literal["first", "latest", "every"]
MASK_MODES: tuple[MaskMode, ...] = ("first", "latest", "every")


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
    """The last masks that came in, looked up by stamp.

    Modes:
        every   each image needs the mask nearest to its own stamp, within the tolerance.
        latest  each image takes the newest mask that is not later than itself (plus the tolerance).
        first   only the first image of a chain needs one (nearest, within the tolerance).
    A mask with stamp 0 matches every image. Masks are taken to come in order: once a mask later than an image is here,
    the image's own will not come any more. With ``made`` no mask is looked up: all but those that come with their image
    are made later, by the foreground method.
    """

    def __init__(self, mode: MaskMode, tolerance_ns: int, capacity: int = 128, *, made: bool = False) -> None:
        self.mode = mode
        self.tolerance_ns = tolerance_ns
        self.made = made
        self._entries: deque[tuple[int, np.ndarray]] = deque(maxlen=capacity)

    def add(self, stamp_ns: int, mask: np.ndarray) -> None:
        """Remember one mask, [H, W] bool."""
        self._entries.append((stamp_ns, mask))

    def clear(self) -> None:
        """Forget all masks."""
        self._entries.clear()

    def forget_from(self, stamp_ns: int) -> None:
        """The stamps jumped back to ``stamp_ns``: masks clearly later than that are of the pass before."""
        kept = [entry for entry in self._entries if entry[0] <= stamp_ns + self.tolerance_ns]
        self._entries.clear()
        self._entries.extend(kept)

    def ahead_of(self, stamp_ns: int) -> int:
        """Number of masks later than an image stamp."""
        return sum(1 for stamp, _ in self._entries if stamp > stamp_ns + self.tolerance_ns)

    def distance_ns(self, stamp_ns: int) -> int | None:
        """From a stamp to that of the nearest mask; None without one."""
        return min((abs(stamp - stamp_ns) for stamp, _ in self._entries if stamp), default=None)

    def judge(self, stamp_ns: int, image_shape: tuple[int, ...], own: np.ndarray | None, starts_chain: bool) -> Verdict:
        """Find the mask of one image.

        Args:
            stamp_ns: the image's stamp.
            image_shape: (H, W, ...).
            own: mask that came with the image (alpha), or None.
            starts_chain: the image would be the first of a chain.
        """
        if own is not None:
            return self._check(own, image_shape, "the alpha channel")
        if self.made or (self.mode == "first" and not starts_chain):
            return Verdict(settled=True)
        found = self._newest(stamp_ns) if self.mode == "latest" else self._nearest(stamp_ns)
        if found is not None:
            return self._check(found, image_shape, "the mask")
        if any(stamp > stamp_ns + self.tolerance_ns for stamp, _ in self._entries):
            return Verdict(drop="no_mask")
        return Verdict()

    def _newest(self, stamp_ns: int) -> np.ndarray | None:
        for stamp, mask in reversed(self._entries):
            if stamp <= stamp_ns + self.tolerance_ns:
                return mask
        return None

    def _nearest(self, stamp_ns: int) -> np.ndarray | None:
        best, best_distance = None, self.tolerance_ns + 1
        for stamp, mask in self._entries:
            distance = 0 if stamp == 0 else abs(stamp - stamp_ns)
            if distance < best_distance:
                best, best_distance = mask, distance
        return best

    def _check(self, mask: np.ndarray, image_shape: tuple[int, ...], what: str) -> Verdict:
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
