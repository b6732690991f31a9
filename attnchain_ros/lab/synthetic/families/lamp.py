"""A desk lamp: base, two arms and a head. This family is never trained on."""

from __future__ import annotations

import numpy as np

from ..model import Model, capsules, join_solids, mirror_solids, tinted
from ..motion import Motion, Waves
from ..solids import Solids
from .swing import swing

PART_NAMES = ("base", "arm_lower", "arm_upper", "head")

_PARENTS = (-1, 0, 1, 2)
_COLORS = np.array([(70, 75, 85), (225, 85, 60), (240, 150, 70), (250, 220, 90)])
_LYING = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
"""Axes of a plate that lies flat: its own z is up."""


def draw_model(rng: np.random.Generator) -> Model:
    """Draw proportions and colours; the lamp is about 1.5 units high and leans in the plane of the picture."""
    thick = rng.uniform(0.065, 0.085)
    base = Solids(
        np.zeros((1, 3)),
        _LYING[None],
        np.array([[rng.uniform(0.26, 0.34), rng.uniform(0.18, 0.26), 0.0]]),
        np.array([thick]),
    )
    corners = [np.array([0.0, 0.8 * thick, 0.0])]
    for length, angle in (
        (rng.uniform(0.5, 0.65), rng.uniform(105, 125)),
        (rng.uniform(0.5, 0.65), rng.uniform(30, 50)),
        (rng.uniform(0.16, 0.24), rng.uniform(-60, -35)),
    ):
        corners.append(corners[-1] + length * np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle)), 0.0]))
    slim = rng.uniform(0.06, 0.075)
    arms = capsules(np.array(corners[:-1]), np.array(corners[1:]), np.array([slim, slim, rng.uniform(0.15, 0.18)]))
    solids, pivots = join_solids(base, arms), np.array([np.zeros(3), *corners[:-1]])
    if rng.random() < 0.5:
        solids, pivots = mirror_solids(solids), pivots * [-1, 1, 1]
    return Model(solids, _PARENTS, pivots, tinted(_COLORS, rng), soft=False)


def draw_motion(rng: np.random.Generator, model: Model) -> Motion:
    """Draw how the arms swing in their plane while the whole arm turns."""
    turns = Waves.still(len(model.parents))
    for part, axis, low, high in ((1, 2, 15, 24), (2, 2, 22, 32), (3, 2, 20, 35), (1, 1, 14, 26)):
        swing(turns, part, axis, np.deg2rad(rng.uniform(low, high)), rng)
    return Motion(turns, Waves.still(len(model.parents)))
