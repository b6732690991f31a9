"""Twin of ``evaluation/tapvid.py``."""

from __future__ import annotations

import math

import numpy as np


def score_tapvid(
    found: np.ndarray,
    found_visible: np.ndarray,
    truth: np.ndarray,
    visible: np.ndarray,
    query_frame: np.ndarray,
    mode: str,
) -> tuple[float, float, float]:
    """(AJ, delta_avg, OA), counted point by point."""
    jaccards, deltas, right, counted = [], [], 0, 0
    for threshold in (1, 2, 4, 8, 16):
        true_positive = false_positive = seen = near = 0
        for f in range(len(truth)):
            for q in range(truth.shape[1]):
                if f == query_frame[q] or (mode == "first" and f < query_frame[q]):
                    continue
                distance = math.dist(found[f, q], truth[f, q])
                within = distance < threshold
                if visible[f, q]:
                    seen += 1
                    near += within
                    true_positive += within and found_visible[f, q]
                if found_visible[f, q] and not (visible[f, q] and within):
                    false_positive += 1
                if threshold == 1:
                    counted += 1
                    right += bool(visible[f, q]) == bool(found_visible[f, q])
        jaccards.append(true_positive / (seen + false_positive))
        deltas.append(near / seen)
    return sum(jaccards) / 5, sum(deltas) / 5, right / counted
