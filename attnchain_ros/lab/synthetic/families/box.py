"""An open box with thick walls and a lid hinged at the back."""

from __future__ import annotations

import numpy as np

from ..model import Model, boxes, capsules, join_solids, tinted, turn_solids
from ..motion import Motion, Waves, rotation_matrices
from .swing import swing

PART_NAMES = ("bottom", "wall_left", "wall_right", "wall_back", "wall_front", "lid", "knob")

_PARENTS = (-1, 0, 0, 0, 0, 0, 5)
_COLORS = np.array(
    [(70, 70, 110), (80, 120, 200), (60, 90, 170), (45, 60, 120), (95, 150, 230), (235, 120, 170), (250, 235, 120)]
)
_GAP = 0.02
_LAP = 0.02
"""Parts that are fixed to one another overlap by this much, so that no seam shows."""


def draw_model(rng: np.random.Generator) -> Model:
    """Draw proportions and colours; the box is a bit more than one unit wide, its lower edge at y = 0."""
    wide, deep, high = 0.5 * rng.uniform(1.05, 1.35), 0.5 * rng.uniform(0.75, 0.95), rng.uniform(0.45, 0.65)
    wall = rng.uniform(0.135, 0.16)
    side, foot = wide - wall + _LAP, wall - _LAP
    walls = boxes(
        [(-wide, 0, -deep), (-wide, foot, -deep), (wide - wall, foot, -deep), (-side, foot, -deep)],
        [(wide, wall, deep), (-wide + wall, high, deep), (wide, high, deep), (side, high, -deep + wall)],
    )
    front = boxes([(-side, foot, deep - wall)], [(side, high, deep)])
    lid = boxes([(-wide, high + _GAP, -deep)], [(wide, high + _GAP + wall, deep)])
    radius, reach = rng.uniform(0.062, 0.075), np.array([rng.uniform(0.1, 0.2), 0.0, 0.0])
    middle = np.array([0.0, high + _GAP + 0.5 * wall, deep + 0.6 * radius])
    knob = capsules((middle - reach)[None], (middle + reach)[None], np.array([radius]))
    pivot = np.array([0.0, high + _GAP, -deep])
    opening = np.deg2rad(rng.uniform(46, 54))
    lifted = turn_solids(join_solids(lid, knob), rotation_matrices(np.array([-opening, 0.0, 0.0])), pivot)
    pivots = np.zeros((len(PART_NAMES), 3))
    pivots[5:] = pivot
    return Model(join_solids(walls, front, lifted), _PARENTS, pivots, tinted(_COLORS, rng), soft=False)


def draw_motion(rng: np.random.Generator, model: Model) -> Motion:
    """Draw how the lid swings."""
    parts = len(model.parents)
    turns = Waves.still(parts)
    swing(turns, PART_NAMES.index("lid"), 0, np.deg2rad(rng.uniform(36, 43)), rng)
    return Motion(turns, Waves.still(parts))
