"""Twin of camera.background: Sampson's distance as it is printed, one pair of rays at a time."""

from __future__ import annotations

import math

import numpy as np


def epipolar_misses(turn: np.ndarray, shift: np.ndarray, first: np.ndarray, second: np.ndarray) -> list[float]:
    """x2^T E x1 / sqrt((E x1)_1^2 + (E x1)_2^2 + (E^T x2)_1^2 + (E^T x2)_2^2), with E = [t]x R."""
    essential = np.stack([np.cross(shift, column) for column in turn.T], axis=1)
    found = []
    for one, two in zip(first, second, strict=True):
        line, other = essential @ one, essential.T @ two
        found.append(float(two @ line) / math.sqrt(line[0] ** 2 + line[1] ** 2 + other[0] ** 2 + other[1] ** 2))
    return found
