"""Twin of ``evaluation/actionbench.py``: every point asks, in loops."""

from __future__ import annotations

import numpy as np


def cloud_distance(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean nearest distance, both directions summed."""
    there = sum(min(float(np.linalg.norm(p - q)) for q in truth) for p in found) / len(found)
    back = sum(min(float(np.linalg.norm(p - q)) for p in found) for q in truth) / len(truth)
    return there + back


def motion_distance(found: np.ndarray, truth: np.ndarray) -> float:
    """Nearest in frame 0, distances in all frames."""
    total = 0.0
    for ours, others in ((found, truth), (truth, found)):
        sums = 0.0
        for p in range(ours.shape[1]):
            match = min(range(others.shape[1]), key=lambda q: float(np.linalg.norm(ours[0, p] - others[0, q])))
            sums += sum(float(np.linalg.norm(ours[f, p] - others[f, match])) for f in range(len(ours)))
        total += sums / (ours.shape[1] * len(ours))
    return total
