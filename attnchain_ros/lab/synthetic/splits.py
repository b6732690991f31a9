"""Which clips are trained on and which are held out, by seed and by family.

Seeds of different splits never meet. Half of every split but "unseen" are creatures; the other half goes round the
other trained families. Clips come in pairs of one family, so that even and odd numbers alone, and the first n clips for
any n, have this mixture too. The split "unseen" has only families that are never trained on.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from ...errors import ConfigError
from .clip import Clip, ClipConfig, make_clip
from .families import HELD_OUT_FAMILIES, TRAINED_FAMILIES

Split = Literal["train", "validation", "test", "unseen"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test", "unseen")

_SPLIT_BITS = 30
_OTHERS = TRAINED_FAMILIES[1:]


def split_seed(split: Split, index: int) -> int:
    """Seed of the index-th clip of a split; no two splits share a seed.

    Args:
        split: "train", "validation", "test" or "unseen".
        index: in [0, 2^30).
    Raises:
        ConfigError: unknown split or index out of range.

    >>> split_seed("train", 5), split_seed("test", 5) - split_seed("validation", 5) == 2**30
    (5, True)
    """
    if split not in SPLITS:
        raise ConfigError(f"split is {split!r}, must be one of {list(SPLITS)}: name one of them")
    if not 0 <= index < 1 << _SPLIT_BITS:
        raise ConfigError(f"index is {index}, must be in [0, {(1 << _SPLIT_BITS) - 1}]: choose a value in between")
    return (SPLITS.index(split) << _SPLIT_BITS) + index


def split_family(split: Split, index: int) -> str:
    """Family of the index-th clip of a split.

    Raises:
        ConfigError: unknown split or index out of range.

    >>> [split_family("train", index) for index in range(0, 8, 2)]
    ['creature', 'door', 'creature', 'drawer']
    >>> split_family("unseen", 3)
    'lamp'
    """
    split_seed(split, index)
    pair = index // 2
    if split == "unseen":
        return HELD_OUT_FAMILIES[pair % len(HELD_OUT_FAMILIES)]
    return _OTHERS[pair // 2 % len(_OTHERS)] if pair % 2 else TRAINED_FAMILIES[0]


def split_clip(split: Split, index: int, config: ClipConfig | None = None) -> Clip:
    """The index-th clip of a split, of the family that the mixture gives it.

    Args:
        split, index: as for ``split_seed``.
        config: sizes and camera; its family is replaced. None is ``ClipConfig()``.
    Raises:
        ConfigError: unknown split or index out of range.
    """
    config = ClipConfig() if config is None else config
    return make_clip(split_seed(split, index), dataclasses.replace(config, family=split_family(split, index)))
