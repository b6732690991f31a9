"""Points carried from one picture to the next by Lucas-Kanade, with a check back."""

from __future__ import annotations

import cv2
import numpy as np

BACK_PX = 0.7
"""A point is given up where the way back misses its start by more, small pixels."""

WINDOW, LEVELS = 11, 3
"""Side of the square around a point that is looked for, and levels of the pyramid above the picture itself."""


def carry_pixels(first: np.ndarray, second: np.ndarray, points_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Follow points from one picture to another.

    Args:
        first, second: [h, w] uint8 grey, of one size.
        points_px: [n, 2] finite, in the first.
    Returns:
        [n, 2] float64 where they are in the second, and [n] bool whether that holds: found, inside the picture, and
        the way back meets the start.
    """
    if not len(points_px):
        return np.zeros((0, 2)), np.zeros(0, bool)
    start = np.ascontiguousarray(points_px, np.float32)[:, None]
    found, there = _lucas_kanade(first, second, start)
    returned, back = _lucas_kanade(second, first, found)
    onward = found[:, 0].astype(np.float64)
    held = there & back & (np.linalg.norm(returned[:, 0] - start[:, 0], axis=1) < BACK_PX)
    height, width = second.shape
    inside = (onward >= -0.5) & (onward < (width - 0.5, height - 0.5))
    return onward, held & inside.all(axis=1)


def _lucas_kanade(first: np.ndarray, second: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where points [n, 1, 2] of a picture are in another [n, 1, 2] float32, and [n] bool whether they were found."""
    nothing: np.ndarray = np.empty_like(points)
    found, status, _ = cv2.calcOpticalFlowPyrLK(
        first, second, points, nothing, winSize=(WINDOW, WINDOW), maxLevel=LEVELS
    )
    return np.asarray(found), np.asarray(status).ravel() == 1
