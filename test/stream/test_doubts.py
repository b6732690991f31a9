"""When a chain without a trusted pose begins anew, and how often."""

from __future__ import annotations

from itertools import pairwise

import pytest

from attnchain_ros.notes import Note
from attnchain_ros.stream.doubts import CAUSE, WHOLE_WINDOW, Doubts

DOUBT = (Note("poses_doubtful", "no camera pose of this window is trusted"),)
FINE = (Note("poses_gated", "2 of 16 camera poses are not trusted"),)


def restarts(doubts: Doubts, windows: list[tuple[Note, ...]]) -> list[int]:
    """Numbers of the windows after which the chain starts anew."""
    found, begins = [], True
    for number, notes in enumerate(windows):
        doubts.saw(notes, begins)
        begins = doubts.due() == CAUSE
        if begins:
            found.append(number)
        assert doubts.due() is None, "it is said once"
    return found


def test_each_time_in_vain_takes_twice_as_long() -> None:
    assert restarts(Doubts(3), [DOUBT] * 24) == [2, 8, 20]
    far = restarts(Doubts(1), [DOUBT] * 400)
    assert [later - earlier for earlier, later in pairwise(far)] == [2, 4, 8, 16, 32, *[64] * 5]


def test_a_trusted_window_ends_the_count_and_the_waiting() -> None:
    assert restarts(Doubts(3), [DOUBT, DOUBT, FINE] * 5) == []
    assert restarts(Doubts(2), [DOUBT] * 2 + [DOUBT] * 2 + [()] + [DOUBT] * 2) == [1, 6]


def test_a_chain_that_begins_for_another_reason_is_given_its_time() -> None:
    doubts = Doubts(3)
    for begins in (True, False, True, False):
        doubts.saw(DOUBT, begins)
        assert doubts.due() is None
    doubts.saw(DOUBT, begins=False)
    assert doubts.due() == CAUSE


@pytest.mark.parametrize("code", sorted(WHOLE_WINDOW))
def test_never(code: str) -> None:
    assert restarts(Doubts(0), [(Note(code, ""),)] * 50) == []
    assert restarts(Doubts(1), [(Note(code, ""),)] * 2) == [0]
