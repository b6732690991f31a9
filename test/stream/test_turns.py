"""Whose turn it is: the least served first, nobody starves, nobody saves up."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from attnchain_ros.stream.turns import Turns

COSTS = st.floats(0.1, 10.0)


def serve(turns: Turns, ready: list[int], cost: float) -> int:
    chosen = turns.order(ready)[0]
    turns.charge(chosen, cost)
    return chosen


@given(st.integers(2, 5), st.lists(COSTS, min_size=1, max_size=80))
def test_of_two_that_always_have_work_neither_gets_ahead_by_more_than_a_turn_of_each(who: int, costs: list[float]):
    turns, served = Turns(), dict.fromkeys(range(who), 0.0)
    longest = dict.fromkeys(range(who), 0.0)
    for cost in costs:
        chosen = serve(turns, list(range(who)), cost)
        served[chosen] += cost
        longest[chosen] = max(longest[chosen], cost)
        for one, other in combinations(range(who), 2):
            assert abs(served[one] - served[other]) <= longest[one] + longest[other] + 1e-9


@given(st.lists(st.tuples(st.booleans(), st.booleans(), COSTS), min_size=1, max_size=80))
def test_who_has_work_waits_for_one_turn_of_each_other_at_most(steps: list[tuple[bool, bool, float]]):
    # Object 0 always has something to compute and costs little; the others come and go.
    turns, others = Turns(), 0
    for first, second, cost in steps:
        ready = [0] + [1] * first + [2] * second
        chosen = serve(turns, ready, 0.05 if turns.order(ready)[0] == 0 else cost)
        others = 0 if chosen == 0 else others + 1
        assert others <= 2


def test_equals_take_turns_and_who_waited_longest_is_first():
    turns = Turns()
    assert [serve(turns, [3, 1, 2], 1.0) for _ in range(6)] == [1, 2, 3, 1, 2, 3]


def test_who_was_idle_or_is_new_does_not_get_the_device_for_itself():
    turns = Turns()
    for _ in range(50):
        serve(turns, [1], 1.0)
    late = [serve(turns, [1, 2], 1.0) for _ in range(6)]
    assert late.count(2) in (3, 4) and late[0] == 2


def test_who_is_gone_is_forgotten():
    turns = Turns()
    for number in range(1000):
        turns.charge(number, 1.0)
        turns.keep([number])
    assert len(turns._served) == len(turns._last) == 1
