"""Who is followed: ids are kept, who stays away makes room."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnchain_ros.stream.roster import Change, Roster

S = 10**9


def test_an_id_that_comes_is_admitted_and_kept_while_it_is_seen():
    roster = Roster(2, 1.0)
    assert roster.see(S, [7]) == Change(admitted=(7,))
    assert roster.see(2 * S, [7, 3]) == Change(admitted=(3,))
    assert roster.see(3 * S, [3, 7]) == Change()
    assert roster.ids == (7, 3) and dict(roster.counts) == {"admitted": 2, "retired": 0, "turned_away": 0}


def test_who_is_away_for_longer_is_retired_and_makes_room_in_the_same_mask():
    roster = Roster(1, 1.0)
    roster.see(S, [7])
    assert roster.see(2 * S, [9]) == Change(turned_away=(9,)), "away for the limit itself is not longer"
    assert roster.see(2 * S + 1, [9]) == Change(admitted=(9,), retired=(7,))
    assert roster.see(2 * S + 2, [7]) == Change(turned_away=(7,))


def test_an_absence_below_the_limit_keeps_the_place():
    roster = Roster(1, 1.0)
    roster.see(S, [7])
    assert roster.see(S + S // 2, []) == Change()
    assert roster.see(2 * S, [7]) == Change() and roster.see(3 * S, []) == Change()
    assert roster.ids == (7,)


def test_nobody_is_retired_for_stamps_that_go_back_or_are_missing_or_without_a_limit():
    back = Roster(2, 1.0)
    back.see(100 * S, [1, 2])
    assert back.see(S, [1]) == Change()
    assert back.see(S + S // 2, [1]) == Change(), "object 2 has its time anew"
    assert back.see(2 * S + 2, [1]) == Change(retired=(2,))
    bare = Roster(1, 1.0)
    bare.see(0, [1])
    assert bare.see(0, []) == Change() and bare.see(100 * S, []) == Change(), "the first stamp begins the time"
    never = Roster(1, 0.0)
    never.see(S, [1])
    assert never.see(10**6 * S, []) == Change()


def test_clearing_retires_all_and_time_begins_anew():
    roster = Roster(3, 1.0)
    roster.see(100 * S, [5, 6])
    assert roster.clear() == (5, 6) and roster.ids == ()
    assert roster.see(S, [6]) == Change(admitted=(6,))
    assert roster.counts["retired"] == 2


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(0, 3 * S), st.sets(st.integers(1, 7))), max_size=40),
)
def test_there_are_never_too_many_and_the_counts_balance(most: int, masks: list[tuple[int, set[int]]]):
    roster, stamp, followed = Roster(most, 1.0), S, set()
    last: dict[int, int] = {}
    for step, ids in masks:
        stamp += step
        change = roster.see(stamp, sorted(ids))
        followed = (followed - set(change.retired)) | set(change.admitted)
        last |= dict.fromkeys(ids, stamp)
        assert set(roster.ids) == followed and len(followed) <= most
        assert ids <= followed | set(change.turned_away)
        for one in change.retired:
            assert stamp - last[one] > S
        for one in followed:
            assert stamp - last[one] <= S
    assert roster.counts["admitted"] - roster.counts["retired"] == len(followed)


@pytest.mark.parametrize("most", [1, 3])
def test_where_there_is_not_room_for_all_the_first_come_in(most: int):
    roster = Roster(most, 1.0)
    change = roster.see(S, [30, 10, 20, 40])
    assert change.admitted == (30, 10, 20, 40)[:most] and change.turned_away == (30, 10, 20, 40)[most:]
