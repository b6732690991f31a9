"""A chest with a lower block and an upper drawer that slides out towards the front."""

from __future__ import annotations

import numpy as np

from ..model import Model, boxes, capsules, join_solids, tinted
from ..motion import Motion, Waves
from .swing import swing

PART_NAMES = (
    "block",
    "wall_left",
    "wall_right",
    "wall_back",
    "top",
    "block_handle",
    "tray_bottom",
    "tray_left",
    "tray_right",
    "tray_back",
    "front",
    "handle",
)

_PARENTS = (-1, 0, 0, 0, 0, 0, 0, 6, 6, 6, 6, 10)
_COLORS = np.array(
    [
        (120, 85, 60),
        (150, 105, 70),
        (170, 125, 90),
        (95, 70, 60),
        (190, 140, 95),
        (60, 60, 70),
        (95, 150, 140),
        (110, 180, 165),
        (140, 205, 190),
        (75, 125, 120),
        (60, 130, 205),
        (245, 225, 110),
    ]
)
_GAP = 0.02
_LAP = 0.02
"""Parts that are fixed to one another overlap by this much, so that no seam shows."""


def draw_model(rng: np.random.Generator) -> Model:
    """Draw proportions and colours; the chest is about one unit wide and stands with its lower edge at y = 0."""
    wide, deep = 0.5 * rng.uniform(1.0, 1.25), 0.5 * rng.uniform(0.8, 0.95)
    high, low = rng.uniform(0.9, 1.05), rng.uniform(0.32, 0.4)
    wall, tray = rng.uniform(0.12, 0.14), rng.uniform(0.11, 0.125)
    under = high - wall
    chest = boxes(
        [
            (-wide, 0, -deep),
            (-wide, low - _LAP, -deep),
            (wide - wall, low - _LAP, -deep),
            (-wide + wall - _LAP, low - _LAP, -deep),
            (-wide, under, -deep),
        ],
        [
            (wide, low, deep),
            (-wide + wall, under + _LAP, deep),
            (wide, under + _LAP, deep),
            (wide - wall + _LAP, under + _LAP, -deep + wall),
            (wide, high, deep),
        ],
    )
    inner, floor, rim = wide - wall - _GAP, low + _GAP, under - rng.uniform(0.08, 0.14)
    back, front = -deep + wall + _GAP, deep + _GAP + _LAP
    out = 0.5 * rng.uniform(0.5, 0.68)
    drawer = boxes(
        [
            (-inner, floor, back),
            (-inner, floor + tray - _LAP, back),
            (inner - tray, floor + tray - _LAP, back),
            (-inner + tray - _LAP, floor + tray - _LAP, back),
            (-wide + 0.02, low + 0.01, deep + _GAP),
        ],
        [
            (inner, floor + tray, front),
            (-inner + tray, rim, front),
            (inner, rim, front),
            (inner - tray + _LAP, rim, back + tray),
            (wide - 0.02, under - 0.01, deep + _GAP + wall),
        ],
    )
    radius, reach = rng.uniform(0.062, 0.075), np.array([rng.uniform(0.12, 0.24), 0.0, 0.0])
    middles = np.array(
        [(0.0, 0.5 * low, deep + 0.6 * radius), (0.0, 0.5 * (low + under), deep + _GAP + wall + 0.6 * radius)]
    )
    grips = capsules(middles - reach, middles + reach, np.array([radius, radius]))
    solids = join_solids(chest, grips.take(np.array([0])), drawer, grips.take(np.array([1])))
    solids.centers[PART_NAMES.index("tray_bottom") :, 2] += out
    pivots = np.zeros((len(PART_NAMES), 3))
    pivots[PART_NAMES.index("tray_bottom"), 2] = out
    return Model(solids, _PARENTS, pivots, tinted(_COLORS, rng), soft=False)


def draw_motion(rng: np.random.Generator, model: Model) -> Motion:
    """Draw how the drawer slides: from nearly shut to the model's full way."""
    parts = len(model.parents)
    slides, tray = Waves.still(parts), PART_NAMES.index("tray_bottom")
    swing(slides, tray, 2, model.pivots[tray, 2] * rng.uniform(0.85, 0.98), rng)
    return Motion(Waves.still(parts), slides)
