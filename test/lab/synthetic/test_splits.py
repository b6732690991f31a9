"""attnchain_ros.lab.synthetic.splits: seeds that never meet, the mixture of families."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from attnchain_ros.errors import ConfigError
from attnchain_ros.lab.synthetic import (
    HELD_OUT_FAMILIES,
    SPLITS,
    TRAINED_FAMILIES,
    ClipConfig,
    make_clip,
    split_clip,
    split_family,
    split_seed,
)


def test_splits_share_no_seed() -> None:
    last = 2**30 - 1
    ranges = sorted((split_seed(split, 0), split_seed(split, last)) for split in SPLITS)
    for (low, high), (next_low, _) in itertools.pairwise(ranges):
        assert low <= high < next_low
    assert split_seed("train", 7) - split_seed("train", 6) == 1


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("start", [0, 1])
def test_half_are_creatures_and_the_rest_is_spread_evenly(split: str, start: int) -> None:
    # Also among the even and the odd numbers alone.
    found = Counter(split_family(split, index) for index in range(start, 200, 2))  # type: ignore[arg-type]
    assert found == {"creature": 50, **dict.fromkeys(TRAINED_FAMILIES[1:], 10)}


def test_any_first_clips_have_nearly_the_mixture() -> None:
    families = [split_family("test", index) for index in range(100)]
    for count in range(1, 100):
        found = Counter(families[:count])
        assert abs(found["creature"] - count / 2) <= 1
        others = [found[name] for name in TRAINED_FAMILIES[1:]]
        assert max(others) - min(others) <= 2


def test_unseen_has_only_families_that_are_never_trained_on() -> None:
    assert {split_family("unseen", index) for index in range(30)} == set(HELD_OUT_FAMILIES)
    for split in ("train", "validation", "test"):
        assert not {split_family(split, index) for index in range(60)} & set(HELD_OUT_FAMILIES)  # type: ignore[arg-type]


def test_split_clip_is_the_clip_of_that_seed_and_family() -> None:
    config = ClipConfig(frames=2, surface_points=20)
    clip = split_clip("test", 3, config)
    assert clip.config.family == "door" and clip.seed == split_seed("test", 3)
    same = make_clip(clip.seed, ClipConfig(family="door", frames=2, surface_points=20))
    np.testing.assert_array_equal(clip.surface_points, same.surface_points)
    assert split_clip("unseen", 0).config == ClipConfig(family="lamp")


def test_bad_input_is_told() -> None:
    with pytest.raises(ConfigError, match="split is 'dev'"):
        split_seed("dev", 0)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="split is 'dev'"):
        split_family("dev", 0)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="index is 1073741824"):
        split_seed("train", 2**30)
    with pytest.raises(ConfigError, match="index is -1"):
        split_clip("train", -1)
