"""Slow, literal twins of ``camera.side`` and ``parts.sides``."""

from __future__ import annotations

import numpy as np


def colour_agreement(own: np.ndarray, shown: np.ndarray) -> float:
    """Share of the variance of colours [n, 3] that a line through each channel of others [n, 3] explains.

    A channel whose line would fall explains nothing.
    """
    left = total = 0.0
    for channel in range(3):
        x, y = own[:, channel], shown[:, channel]
        total += float(((y - y.mean()) ** 2).sum())
        slope, level = np.polyfit(x, y, 1) if x.std() >= 0.5 else (0.0, y.mean())
        if slope < 0:
            slope, level = 0.0, y.mean()
        left += float(((y - slope * x - level) ** 2).sum())
    return 1.0 - left / total


def motion_share(moved_px: np.ndarray, expected_px: np.ndarray, away: np.ndarray, agree_px: float) -> float:
    """Share of points [n] nearer than ``agree_px`` to where they are expected; those that move (or should) count."""
    right = all_ = 0.0
    for seen, wanted, miss in zip(moved_px, expected_px, away, strict=True):
        weight = min(1.0, max(seen, wanted) / agree_px) if max(seen, wanted) >= 0.5 else 0.0
        all_ += weight
        right += weight if miss < agree_px else 0.0
    return right / all_ if all_ else 0.0
