"""Twin of camera.crop: one output pixel at a time, float64."""

from __future__ import annotations

import math

import numpy as np

from ...camera.crop import Crop


def union_crop(masks: np.ndarray, padding: float) -> tuple[float, float, float]:
    """(x0, y0, side) of the padded square around every mask pixel, pixel by pixel."""
    left = upper = math.inf
    right = lower = -math.inf
    for mask in masks:
        for y in range(mask.shape[0]):
            for x in range(mask.shape[1]):
                if mask[y, x]:
                    left, right = min(left, x - 0.5), max(right, x + 0.5)
                    upper, lower = min(upper, y - 0.5), max(lower, y + 0.5)
    longer = max(right - left, lower - upper)
    side = longer + 2 * padding * longer
    return (left + right) / 2 - side / 2, (upper + lower) / 2 - side / 2, side


def prepare_images(images: np.ndarray, masks: np.ndarray, crop: Crop) -> np.ndarray:
    """Unrounded [F, size, size, 3]: every output pixel a sum over every frame pixel; white elsewhere."""
    frames, height, width, _ = images.shape
    prepared = np.zeros((frames, crop.size, crop.size, 3))
    for frame in range(frames):
        for v in range(crop.size):
            for u in range(crop.size):
                colour, share = np.zeros(3), 0.0
                for y in range(height):
                    down = _weight(v, y, crop.y0, crop)
                    for x in range(width):
                        weight = down * _weight(u, x, crop.x0, crop) if down else 0.0
                        seen = images[frame, y, x].astype(np.float64) if masks[frame, y, x] else np.full(3, 255.0)
                        colour, share = colour + weight * seen, share + weight
                prepared[frame, v, u] = np.clip(colour + (1.0 - share) * 255.0, 0.0, 255.0)
    return prepared


def _weight(output: int, pixel: int, edge: float, crop: Crop) -> float:
    """Share of one frame pixel in one output pixel along one axis."""
    step = crop.side / crop.size
    low, high = edge + output * step, edge + (output + 1) * step
    if step >= 1:
        return max(min(high, pixel + 0.5) - max(low, pixel - 0.5), 0.0) / step
    away = abs((low + high) / 2 - pixel)
    if away < 1:
        return 1.5 * away**3 - 2.5 * away**2 + 1
    if away < 2:
        return -0.5 * away**3 + 2.5 * away**2 - 4 * away + 2
    return 0.0
