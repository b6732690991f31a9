"""A door: a frame of two jambs and a lintel, a panel that swings towards the front, a handle on the panel."""

from __future__ import annotations

import numpy as np

from ..model import Model, boxes, capsules, join_solids, mirror_solids, tinted, turn_solids
from ..motion import Motion, Waves, rotation_matrices
from .swing import swing

PART_NAMES = ("jamb_hinge", "jamb_lock", "lintel", "panel", "handle")

_PARENTS = (-1, 0, 0, 0, 3)
_COLORS = np.array([(110, 75, 50), (150, 120, 80), (85, 100, 60), (215, 90, 60), (250, 215, 60)])
_GAP = 0.02
_OPEN_DEG = (52.0, 60.0)
"""Opening of the neutral pose; the panel swings about it by up to 46 degrees."""


def draw_model(rng: np.random.Generator) -> Model:
    """Draw proportions, the side of the hinge and colours; the door is about two units high."""
    width, height = rng.uniform(0.8, 1.0), rng.uniform(1.45, 1.75)
    jamb, deep = rng.uniform(0.15, 0.2), rng.uniform(0.09, 0.12)
    thick = rng.uniform(0.075, 0.09)
    half, top = 0.5 * width, 0.5 * height
    frame = boxes(
        [(-half - jamb, -top, -deep), (half, -top, -deep), (-half - jamb, top - 0.02, -deep)],
        [(-half, top, deep), (half + jamb, top, deep), (half + jamb, top + jamb, deep)],
    )
    # The panel's front is flush with the frame's, and it turns about its front edge: nothing runs into the jamb.
    panel = boxes([(-half + _GAP, -top, deep - 2 * thick)], [(half - _GAP, top - 0.02 - _GAP, deep)])
    radius = rng.uniform(0.062, 0.075)
    middle = np.array([half - rng.uniform(0.16, 0.22), rng.uniform(-0.15, 0.05), deep + 0.6 * radius])
    reach = np.array([0.0, rng.uniform(0.14, 0.26), 0.0])
    handle = capsules((middle - reach)[None], (middle + reach)[None], np.array([radius]))
    pivot = np.array([-half + _GAP, 0.0, deep])
    opening = np.deg2rad(rng.uniform(*_OPEN_DEG))
    opened = turn_solids(join_solids(panel, handle), rotation_matrices(np.array([0.0, -opening, 0.0])), pivot)
    solids = join_solids(frame, opened)
    pivots = np.array([[0.0, 0, 0], [0, 0, 0], [0, 0, 0], pivot, pivot])
    if rng.random() < 0.5:
        solids, pivots = mirror_solids(solids), pivots * [-1, 1, 1]
    return Model(solids, _PARENTS, pivots, tinted(_COLORS, rng), soft=False)


def draw_motion(rng: np.random.Generator, model: Model) -> Motion:
    """Draw how the panel swings."""
    parts = len(model.parents)
    turns = Waves.still(parts)
    swing(turns, PART_NAMES.index("panel"), 1, np.deg2rad(rng.uniform(38, 46)), rng)
    return Motion(turns, Waves.still(parts))
