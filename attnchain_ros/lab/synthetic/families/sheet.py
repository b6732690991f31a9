"""A cloth-like sheet: a chain of narrow upright plates along x, through which a wave travels."""

from __future__ import annotations

import colorsys

import numpy as np

from ..model import Model, tinted
from ..motion import Motion, Waves
from ..solids import Solids
from .swing import swing

PLATES = 11
PART_NAMES = tuple(f"plate_{number:02d}" for number in range(PLATES))

_ROOT = PLATES // 2
# The middle plate comes first: a parent has to come before its children. Parts are numbered outwards from it, right and
# left by turns.
_PLACES = (0, *(sign * step for step in range(1, _ROOT + 1) for sign in (1, -1)))
_PARENTS = (-1, 0, 0, *range(1, PLATES - 2))
_COLORS = np.array(
    [[255 * level for level in colorsys.hsv_to_rgb((place + _ROOT) / PLATES, 0.65, 0.92)] for place in _PLACES]
)


def draw_model(rng: np.random.Generator) -> Model:
    """Draw length, height and thickness; neutral is flat, its face towards the front."""
    pitch, height, radius = rng.uniform(0.15, 0.18), 0.5 * rng.uniform(0.9, 1.2), rng.uniform(0.068, 0.08)
    places = np.array(_PLACES, dtype=np.float64)
    centers = np.zeros((PLATES, 3))
    centers[:, 0] = pitch * places
    half = np.tile([0.5 * pitch, height, 0.0], (PLATES, 1))
    axes = np.tile(np.eye(3), (PLATES, 1, 1))
    pivots = centers.copy()
    # A plate hangs on its neighbour on the side of the middle.
    pivots[1:, 0] -= 0.5 * pitch * np.sign(places[1:])
    solids = Solids(centers, axes, half, np.full(PLATES, radius))
    return Model(solids, _PARENTS, pivots, tinted(_COLORS, rng), soft=True)


def draw_motion(rng: np.random.Generator, model: Model) -> Motion:
    """Draw a wave that travels through the plates' directions, a slower twist, and a sway of the whole sheet."""
    turns = Waves.still(PLATES)
    places = np.array(_PLACES, dtype=np.float64)
    for axis, steep, length, cycles in (
        (1, rng.uniform(42, 58), rng.uniform(9, 14), rng.integers(6, 9)),
        (0, rng.uniform(8, 20), rng.uniform(16, 24), rng.integers(4, 8)),
    ):
        # Direction of the plate at place s: steep * sin(w t - k s + p); a joint turns by the difference of neighbours.
        number = 2 * np.pi / length * rng.choice([-1.0, 1.0])
        start = rng.uniform(0, 2 * np.pi)
        inner = places[1:] - np.sign(places[1:])
        wave = np.deg2rad(steep) * np.exp(1j * (start - number * places))
        joint = wave[1:] - np.deg2rad(steep) * np.exp(1j * (start - number * inner))
        turns.amplitude[0, :, axis] = np.abs([wave[0], *joint])
        turns.phase[0, :, axis] = np.angle([wave[0], *joint])
        turns.cycles[0, :, axis] = cycles
    swing(turns, 0, 2, np.deg2rad(rng.uniform(4, 10)), rng, phase=rng.uniform(0, 2 * np.pi))
    return Motion(turns, Waves.still(PLATES))
