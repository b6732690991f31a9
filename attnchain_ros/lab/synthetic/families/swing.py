"""The motion that things with one main joint share: to and fro between two extremes."""

from __future__ import annotations

import numpy as np

from ..motion import Waves


def swing(
    waves: Waves,
    part: int,
    axis: int,
    amplitude: float,
    rng: np.random.Generator,
    cycles: tuple[int, int] = (6, 9),
    phase: float | None = None,
) -> float:
    """Let one part go to and fro about the middle, with a small overtone.

    A half cycle takes 13 to 20 frames, and frame 0 lies near one of the two extremes, so that the first 16 frames show
    most of the way.

    Args:
        waves: changed in place.
        part, axis: what moves.
        amplitude: largest way from the middle.
        rng: source of all randomness.
        cycles: fewest and most whole cycles per period.
        phase: of the main wave, radians; None draws it near an extreme.
    Returns:
        the phase.
    """
    if phase is None:
        phase = float(rng.choice([-0.5, 0.5]) * np.pi + rng.uniform(-0.7, 0.7))
    overtone = rng.uniform(0.05, 0.15)
    waves.amplitude[:, part, axis] = amplitude * (1 - overtone), amplitude * overtone
    waves.cycles[:, part, axis] = rng.integers(cycles[0], cycles[1] + 1), rng.integers(11, 16)
    waves.phase[:, part, axis] = phase, rng.uniform(0, 2 * np.pi)
    return phase
