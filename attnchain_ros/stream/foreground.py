"""Masks for clips that have none: GrabCut from a rectangle, carried from frame to frame. Asked for by name only."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import cv2
import numpy as np

from ..errors import ConfigError, MaskError
from ..notes import Notes
from .frame import Frame

_LOG = logging.getLogger(__name__)
_WORK_SIDE = 320
"""Longer side, in pixels, of the image that GrabCut sees."""
_LEAST_SHARE = 0.002
"""A mask below this share of the image counts as lost."""
_JUMP = 2.5
"""A mask that grows or shrinks by more than this factor between frames is reported."""
_FIRST_ITERATIONS = 6
_ITERATIONS = 2


def centred_box(height: int, width: int) -> tuple[int, int, int, int]:
    """x, y, width, height of a rectangle over the middle 70 % of the image, in pixels."""
    return round(width * 0.15), round(height * 0.15), round(width * 0.7), round(height * 0.7)


class GrabCut:
    """Fills in the masks that frames lack.

    The first frame without a mask and without a mask before it is cut by GrabCut inside ``box``; every later one
    is cut around the mask of the frame before. This needs one object with colours unlike its background, all of it
    inside the box at first; it fails where colours agree, on fast motion (more than about a tenth of the object a
    frame) and when the object leaves the image. What went wrong is told in ``notes``.
    """

    def __init__(self, box: tuple[int, int, int, int] | None = None) -> None:
        """``box`` is x, y, width, height in pixels of a chain's first frame, None = the middle of it."""
        self.box = box
        self.notes = Notes()

    def fill(self, frames: Sequence[Frame]) -> None:
        """Give every frame of a chain's part a mask; the last one's is what the next part goes on from.

        Args:
            frames: in order; the first has a mask unless it is the first of its chain.
        Raises:
            ConfigError: the box leaves the image.   MaskError: nothing was found in the box.
        """
        before: np.ndarray | None = None
        for frame in frames:
            mask, number = frame.mask, frame.sequence
            if mask is None:
                mask = self._first(frame.image, number) if before is None else self._next(frame.image, before, number)
            before = mask if mask.any() else before
            frame.mask = mask

    def _first(self, image: np.ndarray, number: int) -> np.ndarray:
        height, width = image.shape[:2]
        box = centred_box(height, width) if self.box is None else self.box
        x, y, wide, high = box
        if wide < 2 or high < 2 or x < 0 or y < 0 or x + wide > width or y + high > height:
            raise ConfigError(f"the box {x},{y},{wide},{high} does not lie inside the {width}x{height} image")
        self._tell(
            "masks_by_grabcut",
            f"no masks were given: the object is cut out by GrabCut, starting from the box {x},{y},{wide},{high} in "
            f"frame {number}. It goes by colours: it fails where object and background look alike, on fast motion, and "
            "when the object leaves the picture; look at the outline, and give masks if it is wrong",
        )
        small, factor = _shrink(image)
        trimap = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
        left, top, right, bottom = (round(value * factor) for value in (x, y, x + wide, y + high))
        trimap[top:bottom, left:right] = cv2.GC_PR_FGD
        if (trimap == cv2.GC_PR_FGD).all():
            raise ConfigError(f"the box {x},{y},{wide},{high} covers the whole image: leave some background around it")
        mask = _largest(_cut(small, trimap, _FIRST_ITERATIONS))
        if mask.mean() < _LEAST_SHARE:
            raise MaskError(f"GrabCut found no object inside the box {x},{y},{wide},{high}: give another box, or masks")
        return _grow(mask, image.shape[:2])

    def _next(self, image: np.ndarray, before: np.ndarray, number: int) -> np.ndarray:
        small, _ = _shrink(image)
        old = cv2.resize(before.astype(np.uint8), small.shape[1::-1], interpolation=cv2.INTER_AREA).astype(bool)
        reach = max(3, round(0.1 * float(np.sqrt(old.sum()))))
        inner = cv2.erode(old.astype(np.uint8), _disc(reach)) > 0
        outer = cv2.dilate(old.astype(np.uint8), _disc(reach)) > 0
        trimap = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
        trimap[outer] = cv2.GC_PR_BGD
        trimap[old] = cv2.GC_PR_FGD
        trimap[inner] = cv2.GC_FGD
        if outer.all() or not old.any():
            return before
        mask = _largest(_cut(small, trimap, _ITERATIONS))
        ratio = float(mask.sum()) / float(old.sum())
        if mask.mean() < _LEAST_SHARE:
            self._tell(
                "grabcut_lost", f"GrabCut lost the object in frame {number}: the mask of the frame before is kept"
            )
            return before
        if not 1 / _JUMP <= ratio <= _JUMP:
            self._tell(
                "grabcut_jump", f"the GrabCut mask changed its area by a factor of {ratio:.2f} in frame {number}"
            )
        return _grow(mask, image.shape[:2])

    def _tell(self, code: str, text: str) -> None:
        if self.notes.tell(code, text):
            _LOG.debug(text)  # whoever reads the frames shows the notes


def _shrink(image: np.ndarray) -> tuple[np.ndarray, float]:
    """The image with its longer side at most _WORK_SIDE, BGR or RGB alike, and the factor."""
    factor = min(1.0, _WORK_SIDE / max(image.shape[:2]))
    size = (max(2, round(image.shape[1] * factor)), max(2, round(image.shape[0] * factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), factor


def _grow(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A working mask at image size, cut at one half of the smoothed edge."""
    return np.asarray(cv2.resize(mask.astype(np.float32), shape[::-1], interpolation=cv2.INTER_LINEAR) >= 0.5)


def _cut(image: np.ndarray, trimap: np.ndarray, iterations: int) -> np.ndarray:
    """GrabCut on a prepared trimap; the colour models start from OpenCV's own generator, so it is set first."""
    cv2.setRNGSeed(0)
    behind, front = np.zeros((1, 65), np.float64), np.zeros((1, 65), np.float64)
    try:
        cv2.grabCut(image, trimap, (0, 0, 0, 0), behind, front, iterations, cv2.GC_INIT_WITH_MASK)
    except cv2.error:
        # A trimap without foreground or background samples: nothing can be told apart.
        return np.zeros(trimap.shape, bool)
    return np.asarray((trimap == cv2.GC_FGD) | (trimap == cv2.GC_PR_FGD))


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest connected piece, its pin holes closed."""
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, _disc(2))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=4)
    if count < 2:
        return np.zeros(mask.shape, bool)
    return np.asarray(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])))


def _disc(radius: int) -> np.ndarray:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)))
