"""One rigid motion for every part and frame, whatever some of its landmarks say."""

from __future__ import annotations

import numpy as np

from .moments import motion_moments, rigid_motions

ROUNDS = 12
_START, _SHRINK = 4.0, 1.7
"""Graduated robustness: the scale starts this many times as large and falls by this factor a round."""


def fit_parts(
    rest: np.ndarray, places: np.ndarray, weights: np.ndarray, part: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Rigid motions under Geman and McClure's cost, by re-weighted closed forms.

    Args:
        rest: [K, 3] landmarks at rest.   places: [F, K, 3].   weights: [F, K].
        part: [K] integer part of each landmark, from 0.
        scale: distance at which a landmark counts a quarter, units of the places.
    Returns:
        rotations [P, F, 3, 3] and shifts [P, F, 3]: x goes to R x + t.
    Raises:
        ShapeError: shapes disagree.
    Twin: ``lab.reference.parts.fit_part``.
    """
    count = int(part.max()) + 1
    share = np.asarray(weights, np.float64)
    for number in range(ROUNDS):
        turn, shift = rigid_motions(motion_moments(rest, places, share, part, count))
        away = np.linalg.norm(carry_landmarks(rest, part, turn, shift) - places, axis=2)
        width = scale * max(1.0, _START / _SHRINK**number)
        # The floor keeps a part all of whose landmarks are far away from having no motion.
        share = weights / (1 + (away / width) ** 2) ** 2 + 1e-6 * weights
    return turn, shift


def carry_landmarks(rest: np.ndarray, part: np.ndarray, turn: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """[F, K, 3] float64: landmarks [K, 3] under the motions [P, F, ...] of their parts [K]."""
    return np.einsum("kfab,kb->fka", turn[part], rest) + shift[part].swapaxes(0, 1)
