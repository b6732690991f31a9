"""BADJA: joints of animals, tracked from the first frame (segA and delta-3px)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ...shapes import check_shape
from ..table import Figures

RASTER = (384, 512)
"""Height and width of the picture in whose pixels errors are measured."""
AREA_SHARE = 0.2
CLOSE_PX = 3.0


@dataclass(frozen=True)
class BadjaScores:
    """Figures of one video, shares from 0 to 1.

    Attributes:
        seg_a: joints closer than 0.2 times the square root of the mask's area in their frame.
        delta_3px: joints closer than 3 pixels.
        joints: number of visible joints in the frames after the first.
    """

    seg_a: float
    delta_3px: float
    joints: int

    @property
    def figures(self) -> Figures:
        """By metric."""
        return {"seg_a": self.seg_a, "delta_3px": self.delta_3px}


def score_badja(found: np.ndarray, truth: np.ndarray, visible: np.ndarray, mask_area: np.ndarray) -> BadjaScores:
    """Measure joints in all frames after the first, where they are visible in truth.

    Args:
        found: [F, J, 2] raster coordinates (``tapvid.to_raster`` with ``RASTER``); NaN = absent, counts as far away.
        truth: [F, J, 2]; visible: [F, J] bool, False also in frames without an annotation.
        mask_area: [F] pixels of the object's mask in the raster.
    Raises:
        ShapeError: sizes differ.   InputError: no joint is visible after the first frame.
    """
    axes = check_shape("truth", truth, "F J 2")
    check_shape("found", found, "F J 2", **axes)
    check_shape("visible", visible, "F J", **axes)
    check_shape("mask_area", mask_area, "F", **axes)
    counts = np.asarray(visible, bool).copy()
    counts[:1] = False
    if not counts.any():
        raise InputError(f"no joint is visible after the first of {axes['F']} frames: there is nothing to measure")
    error = np.linalg.norm(np.asarray(found, np.float64) - truth, axis=2)
    limit = AREA_SHARE * np.sqrt(np.asarray(mask_area, np.float64))[:, None]
    return BadjaScores(
        seg_a=float((error < limit)[counts].mean()),
        delta_3px=float((error < CLOSE_PX)[counts].mean()),
        joints=int(counts.sum()),
    )
