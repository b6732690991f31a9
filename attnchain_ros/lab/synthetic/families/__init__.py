"""Families of articulated things: each draws its proportions, colours and motion at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ....errors import ConfigError
from ..model import Model
from ..motion import Motion
from . import box, creature, door, drawer, hand, lamp, sheet


@dataclass(frozen=True)
class Family:
    """How things of one kind are drawn.

    Attributes:
        part_names: in the order of every part axis; all things of a family have the same parts.
        draw_model: neutral pose from a source of randomness.
        draw_motion: motion from a source of randomness and the model.
    """

    part_names: tuple[str, ...]
    draw_model: Callable[[np.random.Generator], Model]
    draw_motion: Callable[[np.random.Generator, Model], Motion]


FAMILIES = {
    "creature": Family(creature.PART_NAMES, creature.draw_model, creature.draw_motion),
    "door": Family(door.PART_NAMES, door.draw_model, door.draw_motion),
    "drawer": Family(drawer.PART_NAMES, drawer.draw_model, drawer.draw_motion),
    "box": Family(box.PART_NAMES, box.draw_model, box.draw_motion),
    "hand": Family(hand.PART_NAMES, hand.draw_model, hand.draw_motion),
    "sheet": Family(sheet.PART_NAMES, sheet.draw_model, sheet.draw_motion),
    "lamp": Family(lamp.PART_NAMES, lamp.draw_model, lamp.draw_motion),
}
"""All families by name."""

HELD_OUT_FAMILIES = ("lamp",)
"""Never trained on: they tell how far a checkpoint carries to things of a kind it has not seen."""

TRAINED_FAMILIES = tuple(name for name in FAMILIES if name not in HELD_OUT_FAMILIES)


def find_family(name: str) -> Family:
    """The family of a name.

    Raises:
        ConfigError: there is none.
    """
    if name not in FAMILIES:
        raise ConfigError(f"family is {name!r}, must be one of {', '.join(FAMILIES)}: name one of them")
    return FAMILIES[name]


def part_offset(name: str) -> int:
    """Number of the first part of a family when the parts of all families are counted through, trained ones first."""
    find_family(name)
    order = (*TRAINED_FAMILIES, *HELD_OUT_FAMILIES)
    return sum(len(FAMILIES[other].part_names) for other in order[: order.index(name)])


TRAINED_PARTS = sum(len(FAMILIES[name].part_names) for name in TRAINED_FAMILIES)
"""Parts of all trained families together."""

MOST_PARTS = max(len(FAMILIES[name].part_names) for name in TRAINED_FAMILIES)
"""Parts of the trained family that has most."""
