"""Rigid things of kinds that no family has: what a checkpoint does not know, with the truth beside it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .clip import Clip, ClipConfig, family_clip
from .families import Family
from .model import Model, boxes, capsules, join_solids
from .motion import Motion, Waves
from .solids import Solids
from .splits import Split, split_seed


def _block(rng: np.random.Generator) -> Solids:
    half = rng.uniform(0.2, 0.7, (1, 3))
    return boxes(-half, half)


def _hammer(rng: np.random.Generator) -> Solids:
    length, width = rng.uniform(0.5, 0.9), rng.uniform(0.08, 0.12)
    handle = capsules(np.array([[0, -length, 0]]), np.array([[0, length, 0]]), np.array([width]))
    return join_solids(handle, boxes([[-0.5, length - 0.15, -0.15]], [[0.3, length + 0.15, 0.15]]))


def _cross(rng: np.random.Generator) -> Solids:
    long, up, out = rng.uniform(0.4, 0.9, 3)
    ends = np.array([[long, 0, 0], [0, up, 0], [0, 0, out]])
    return capsules(np.array([[-long, 0, 0], [0, 0, 0], [0, 0, 0]]), ends, rng.uniform(0.08, 0.2, 3))


def _stool(rng: np.random.Generator) -> Solids:
    high, wide = rng.uniform(0.5, 0.8), rng.uniform(0.3, 0.5)
    feet = np.array([[x, -high, z] for x in (-wide, wide) for z in (-wide, wide)])
    tops = feet * [0.8, 0, 0.8] + [0, high - 0.1, 0]
    seat = boxes([[-wide - 0.1, high - 0.1, -wide - 0.1]], [[wide + 0.1, high, wide + 0.1]])
    return join_solids(seat, capsules(feet, tops, np.full(4, 0.06)))


def _arch(rng: np.random.Generator) -> Solids:
    high, wide, thick = rng.uniform(0.4, 0.7), rng.uniform(0.4, 0.7), rng.uniform(0.1, 0.2)
    low = np.array([[-wide, -high, -thick], [wide - 2 * thick, -high, -thick], [-wide - 0.2, high, -thick]])
    top = np.array([[-wide + 2 * thick, high, thick], [wide, high, thick], [wide, high + 2 * thick, thick + 0.1]])
    return boxes(low, top)


STRANGE: dict[str, Callable[[np.random.Generator], Solids]] = {
    "block": _block,
    "hammer": _hammer,
    "cross": _cross,
    "stool": _stool,
    "arch": _arch,
}
"""Kinds by name: how the solids are drawn, the first of which the others are part of."""

FITTED = tuple(STRANGE)[:4]
"""Kinds whose validation clips the covariances of camera poses were fitted on; the others are strange to them, too."""


def strange_kind(index: int) -> str:
    """Kind of the index-th clip."""
    return tuple(STRANGE)[index % len(STRANGE)]


def strange_clip(split: Split, index: int, config: ClipConfig) -> Clip:
    """The index-th clip of a thing that rests, of the kind ``strange_kind``.

    Args:
        split, index: as for ``split_seed``.
        config: sizes and camera; its family is not looked at.
    Raises:
        ConfigError: unknown split or index out of range.
    """

    def draw_model(rng: np.random.Generator) -> Model:
        solids = STRANGE[strange_kind(index)](rng)
        count = len(solids.radii)
        colors = rng.integers(40, 230, (count, 3)).astype(np.uint8)
        return Model(solids, (-1, *[0] * (count - 1)), np.zeros((count, 3)), colors, soft=False)

    def rest(rng: np.random.Generator, model: Model) -> Motion:
        return Motion(Waves.still(len(model.parents)), Waves.still(len(model.parents)))

    return family_clip(split_seed(split, index), config, Family((), draw_model, rest))
