"""How far the points of an animated surface are from where they should be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ...shapes import check_shape

MOVED_SHARE = 0.25
"""A point has moved in a frame if it is farther than this share of the object's radius from its first place."""


def object_radius(points: np.ndarray) -> float:
    """Radius of an object: largest distance of its points [n, 3] from the centre of their bounding box.

    >>> object_radius(np.array([[0.0, 0, 0], [6, 0, 0], [3, 4, 0]]))
    3.605551275463989
    """
    check_shape("points", points, "n 3")
    places = np.asarray(points, np.float64)
    centre = 0.5 * (places.min(axis=0) + places.max(axis=0))
    return float(np.linalg.norm(places - centre, axis=1).max())


def point_errors(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """[F, P] float64 distances between points found and true, both [F, P, 3] in the same frame and units.

    Raises:
        ShapeError: sizes disagree.   InputError: a point found is not finite (nothing is left out in silence).
    """
    axes = check_shape("truth", truth, "F P 3")
    check_shape("found", found, "F P 3", "give the same points in the same frames", **axes)
    distances: np.ndarray = np.linalg.norm(np.asarray(found, np.float64) - np.asarray(truth, np.float64), axis=2)
    if not np.isfinite(distances).all():
        raise InputError(f"{int((~np.isfinite(distances)).sum())} of the points found or true are not finite")
    return distances


def moved_points(truth: np.ndarray, radius: float) -> np.ndarray:
    """[F, P] bool: the true point is more than ``MOVED_SHARE`` of the radius away from its place in frame 0."""
    check_shape("truth", truth, "F P 3")
    places = np.asarray(truth, np.float64)
    moved: np.ndarray = np.linalg.norm(places - places[0], axis=2) > MOVED_SHARE * radius
    return moved


@dataclass(frozen=True)
class RegionMeans:
    """Mean error over four sets of points; None where a set is empty.

    Attributes:
        last_all, last_moved: at the last frame.
        frames_all, frames_moved: over all frames after the first, each point of each frame counting once.
    """

    last_all: float | None
    last_moved: float | None
    frames_all: float | None
    frames_moved: float | None


def region_means(errors: np.ndarray, moved: np.ndarray) -> RegionMeans:
    """Mean of errors [F, P] over all points and over those that moved [F, P] bool.

    Samples drawn with equal chance per area weigh every part of the surface by its area. The first frame is the anchor
    and is left out of ``frames_*``; with one frame only, all four are about that frame.
    """
    axes = check_shape("errors", errors, "F P")
    check_shape("moved", moved, "F P", **axes)
    later = slice(1 if axes["F"] > 1 else 0, None)
    return RegionMeans(
        _mean(errors[-1]), _mean(errors[-1][moved[-1]]), _mean(errors[later]), _mean(errors[later][moved[later]])
    )


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if values.size else None
