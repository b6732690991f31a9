"""The longest sequence of poses that can follow one another, by trying all sequences (``camera.gate``)."""

from __future__ import annotations

import math
from itertools import combinations, pairwise

import numpy as np

from ...camera.gate import NOISE_ZOOM, PoseSeen
from ...config import GateConfig


def consistent_frames(seen: PoseSeen, config: GateConfig) -> np.ndarray:
    """Rows [k] of the longest sequence; of equally long ones that with the least turn. For a dozen poses at most."""
    count = len(seen)
    for length in range(count, 0, -1):
        best: tuple[float, tuple[int, ...]] | None = None
        for rows in combinations(range(count), length):
            steps = list(pairwise(rows))
            if all(_fits(seen, one, two, config) for one, two in steps):
                total = sum(_turn_deg(seen, one, two) for one, two in steps)
                if best is None or total < best[0] - 1e-9:
                    best = total, rows
        if best is not None:
            return np.array(best[1], np.int64)
    return np.zeros(0, np.int64)


def _fits(seen: PoseSeen, one: int, two: int, config: GateConfig) -> bool:
    seconds = float(seen.stamps_ns[two] - seen.stamps_ns[one]) * 1e-9
    near, far = sorted(float(np.linalg.norm(seen.place[row])) for row in (one, two))
    turned = _turn_deg(seen, one, two) <= config.noise_deg + config.turn_deg_s * seconds
    return turned and far / near <= NOISE_ZOOM * config.zoom_s**seconds


def _turn_deg(seen: PoseSeen, one: int, two: int) -> float:
    between = seen.turn[one].T @ seen.turn[two]
    return math.degrees(math.acos(max(-1.0, min(1.0, (float(np.trace(between)) - 1.0) / 2.0))))
