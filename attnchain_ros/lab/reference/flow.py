"""Twin of ``evaluation/flow.py``: point by point."""

from __future__ import annotations

import math

import numpy as np


def _read(flow: np.ndarray, x: float, y: float) -> tuple[float, float]:
    height, width = flow.shape[:2]
    x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
    total = np.zeros(2)
    for row in range(height):
        for column in range(width):
            weight = max(0.0, 1 - abs(x - column)) * max(0.0, 1 - abs(y - row))
            total += weight * flow[row, column]
    return float(total[0]), float(total[1])


def chain_flow(
    flows: list[tuple[np.ndarray, np.ndarray]], queries_px: np.ndarray, back_px: float, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """([F, Q, 2] positions, [F, Q] visible)."""
    height, width = size

    def inside(x: float, y: float) -> bool:
        return -0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5

    tracks, seen = [], []
    for start in queries_px.astype(np.float64):
        x, y = float(start[0]), float(start[1])
        way, shown = [(x, y)], [inside(x, y)]
        for there, back in flows:
            dx, dy = _read(there, x, y)
            bx, by = _read(back, x + dx, y + dy)
            good = math.hypot(dx + bx, dy + by) <= back_px and inside(x + dx, y + dy)
            x, y = x + dx, y + dy
            way.append((x, y))
            shown.append(shown[-1] and good)
        tracks.append(way)
        seen.append(shown)
    return np.array(tracks).swapaxes(0, 1), np.array(seen).T
