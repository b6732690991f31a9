"""Twin of ``synthetic.rays``: one ray at a time, float64; every surface of a solid is tried, the nearest hit kept."""

from __future__ import annotations

import math

import numpy as np


def meet_box(center: np.ndarray, axes: np.ndarray, half: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Smallest t at which rays [n, 3] from the origin meet one of the six faces of a box, infinite: none; [n]."""
    found = np.full(len(rays), math.inf)
    for row, ray in enumerate(np.asarray(rays, np.float64)):
        origin, slope = -axes.T @ center, axes.T @ ray
        for axis in range(3):
            for side in (-half[axis], half[axis]):
                if slope[axis] == 0:
                    continue
                t = (side - origin[axis]) / slope[axis]
                place = origin + t * slope
                others = [i for i in range(3) if i != axis]
                if t > 0 and all(abs(place[i]) <= half[i] for i in others):
                    found[row] = min(found[row], t)
    return found


def meet_capsule(start: np.ndarray, end: np.ndarray, radius: float, rays: np.ndarray) -> np.ndarray:
    """Smallest t at which rays [n, 3] from the origin meet the side or one of the two balls of a capsule; [n]."""
    found = np.full(len(rays), math.inf)
    length = float(np.linalg.norm(end - start))
    axis = (end - start) / length
    for row, ray in enumerate(np.asarray(rays, np.float64)):
        across, origin = ray - (ray @ axis) * axis, -start + (start @ axis) * axis
        for t in _roots(across @ across, 2 * across @ origin, origin @ origin - radius**2):
            if 0 <= (t * ray - start) @ axis <= length:
                found[row] = min(found[row], t)
        for centre in (start, end):
            for t in _roots(ray @ ray, -2 * ray @ centre, centre @ centre - radius**2):
                found[row] = min(found[row], t)
    return found


def _roots(a: float, b: float, c: float) -> list[float]:
    """Real roots of a t^2 + b t + c."""
    inside = b * b - 4 * a * c
    if inside < 0:
        return []
    return [(-b - math.sqrt(inside)) / (2 * a), (-b + math.sqrt(inside)) / (2 * a)]
