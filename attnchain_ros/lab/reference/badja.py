"""Twin of ``evaluation/badja.py``."""

from __future__ import annotations

import math

import numpy as np


def score_badja(
    found: np.ndarray, truth: np.ndarray, visible: np.ndarray, mask_area: np.ndarray
) -> tuple[float, float, int]:
    """(segA, delta-3px, joints), joint by joint."""
    near = close = joints = 0
    for f in range(1, len(truth)):
        for j in range(truth.shape[1]):
            if visible[f, j]:
                error = math.dist(found[f, j], truth[f, j])
                joints += 1
                near += error < 0.2 * math.sqrt(mask_area[f])
                close += error < 3
    return near / joints, close / joints, joints
