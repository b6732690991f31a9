"""One place where stamps are matched: against a search written out, and through jumps back."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from attnchain_ros.stream.stamps import StampBook


def book(tolerance: int, *stamps: int) -> StampBook[int]:
    """A book whose things are the numbers of their arrival."""
    made: StampBook[int] = StampBook(tolerance, capacity=100)
    for number, stamp in enumerate(stamps):
        made.add(stamp, number)
    return made


@given(st.lists(st.integers(0, 30), max_size=12), st.integers(1, 30), st.integers(0, 8))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_lookups_are_a_plain_search(stamps: list[int], wanted: int, tolerance: int) -> None:
    made = book(tolerance, *stamps)
    rows = list(enumerate(stamps))
    near = [(abs(stamp - wanted), -number) for number, stamp in rows if stamp and abs(stamp - wanted) <= tolerance]
    always = [number for number, stamp in rows if stamp == 0]
    assert made.nearest(wanted) == (-min(near)[1] if near else always[-1] if always else None)
    early = [number for number, stamp in rows if stamp <= wanted + tolerance]
    assert made.newest(wanted) == (early[-1] if early else None)
    assert made.later_than(wanted) == len([1 for _, stamp in rows if stamp > wanted + tolerance])
    held = [(stamp, number) for number, stamp in rows if stamp <= wanted]
    assert made.holding(wanted) == (max(held)[1] if held else 0 if stamps else None)
    assert made.distance_ns(wanted) == min((abs(stamp - wanted) for _, stamp in rows if stamp), default=None)


def test_only_the_newest_are_remembered() -> None:
    made: StampBook[int] = StampBook(0, capacity=2)
    for stamp in (1, 2, 3):
        made.add(stamp, stamp)
    assert [made.nearest(stamp) for stamp in (1, 2, 3)] == [None, 2, 3] and len(made) == 2
    assert made.take_until(2) == [2] and len(made) == 1
    made.clear()
    assert made.nearest(3) is None


def test_after_a_jump_back_what_came_since_counts_and_nothing_of_the_pass_before() -> None:
    # 100 came twice: before the jump as number 0, after it as number 3, and 110 only before.
    made = book(2, 100, 110, 120, 100)
    made.jump_back(100)
    assert [made.nearest(stamp) for stamp in (100, 110, 120)] == [3, None, None]
    # Images jump first: what is clearly later than the image is of the pass before, one at its stamp may be its own.
    made = book(2, 100, 110, 120, 0)
    made.jump_back(101)
    assert [made.nearest(stamp) for stamp in (100, 110)] == [0, 3], "3 has no stamp and belongs to every image"
    # Stamps that wobble within the tolerance have not jumped.
    made = book(5, 100, 110, 107, 120)
    made.jump_back(125)
    assert [made.nearest(stamp) for stamp in (100, 109, 120)] == [0, 1, 3]
