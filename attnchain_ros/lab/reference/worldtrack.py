"""Twin of ``evaluation/worldtrack.py``."""

from __future__ import annotations

import math
import statistics

import numpy as np


def score_worldtrack(found: np.ndarray, truth: np.ndarray, visible: np.ndarray) -> float:
    """APD_3D of the dynamic points, point by point."""
    frames = min(64, len(truth))
    chosen = []
    for n in range(truth.shape[1]):
        path = sum(math.dist(truth[f, n], truth[f - 1, n]) for f in range(1, frames))
        if visible[0, n] and path > 0.01:
            chosen.append(n)
    places = [(f, n) for f in range(frames) for n in chosen]
    true_length = statistics.median(math.hypot(*truth[f, n]) for f, n in places)
    found_length = statistics.median(
        math.hypot(*found[f, n]) for f, n in places if not any(math.isnan(v) for v in found[f, n])
    )
    shares = []
    for threshold in (0.1, 0.3, 0.5, 1.0):
        within = 0
        for f, n in places:
            placed = [value * true_length / found_length for value in found[f, n]]
            within += math.dist(placed, truth[f, n]) <= threshold
        shares.append(within / len(places))
    return sum(shares) / 4
