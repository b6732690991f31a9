"""Which frames are worth keeping, and from which of them a read promises the least error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .fusion import MOVED_ERROR, OWN_ERROR
from .patches import Patches

VIEW_ERROR = 0.1
"""What a read errs more when the object is seen turned by a radian, object units."""

MOST_DOUBT = 0.012
"""Largest median variance of a frame's landmarks for it to be kept, squared object units."""


def turn_between(one: np.ndarray, other: np.ndarray) -> float:
    """Angle in radians between two rotations [3, 3]."""
    cosine = 0.5 * (float(np.trace(one @ other.T)) - 1.0)
    return float(np.arccos(np.clip(cosine, -1.0, 1.0)))


def view_variance(one: np.ndarray, other: np.ndarray) -> float:
    """Variance that the turn between two views [3, 3] adds to a read, squared object units."""
    return (VIEW_ERROR * turn_between(one, other)) ** 2


def read_error(variance: np.ndarray, kept: np.ndarray, now: np.ndarray, turn: float, patches: Patches) -> float:
    """Root mean square error that a read promises.

    Args:
        variance: [K] of the landmarks where it would be anchored.
        kept, now: [K, 3] landmarks there and in the last frame.
        turn: between the two views, radians.
        patches: of the landmarks, over which displacements are averaged.
    Twin: ``lab.reference.parts.read_error``.
    """
    moved = patches.means(np.linalg.norm(now - kept, axis=1))
    spread = variance + OWN_ERROR**2 + (MOVED_ERROR * moved) ** 2 + (VIEW_ERROR * turn) ** 2
    return float(np.sqrt(spread.mean()))


def worth_keeping(view: np.ndarray, kept: Sequence[np.ndarray], variance: np.ndarray, least_turn: float) -> bool:
    """Whether a frame surely shows the object turned by more than ``least_turn`` radians from all kept views [3, 3]."""
    new = all(turn_between(view, other) > least_turn for other in kept)
    return new and float(np.median(variance)) <= MOST_DOUBT


def least_missed(views: Sequence[np.ndarray]) -> int:
    """Which of the views but the first is most like another one; of equals the earliest."""
    nearest = [
        min(turn_between(view, other) for place, other in enumerate(views) if place != number)
        for number, view in enumerate(views)
    ]
    return 1 + int(np.argmin(nearest[1:]))
