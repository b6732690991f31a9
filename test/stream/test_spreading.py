"""Frames that are left out leave the others evenly in time."""

from __future__ import annotations

import numpy as np
import pytest

from attnchain_ros.stream.spreading import most_crowded, spread


def test_the_first_goes_where_there_are_two() -> None:
    assert most_crowded([5]) == 0 and most_crowded([5, 6]) == 0


@pytest.mark.parametrize("count", [1, 2, 7, 15, 31, 32, 40])
def test_places_are_even_and_end_with_the_last(count: int) -> None:
    stamps = [100 * number for number in range(32)]
    places = spread(stamps, count)
    assert len(places) == min(count, 32) and places[-1] == 31 and places == sorted(set(places))
    if 2 < count < 32:
        gaps = np.diff([stamps[place] for place in places])
        assert gaps.max() <= 3 * gaps.min() and gaps.max() <= 2 * (3100 / (count - 1))


def test_a_queue_that_is_thinned_again_and_again_stays_even() -> None:
    kept: list[int] = []
    for stamp in range(1000):
        if len(kept) == 32:
            del kept[most_crowded(kept)]
        kept.append(stamp)
    gaps = np.diff(kept)
    assert kept[0] == 0 and kept[-1] == 999 and gaps.max() <= 4 * 1000 / 31
