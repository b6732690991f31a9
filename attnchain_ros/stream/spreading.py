"""Which of many frames to leave out, so that the others lie evenly in time."""

from __future__ import annotations

from collections.abc import Sequence


def most_crowded(stamps_ns: Sequence[int]) -> int:
    """The one whose neighbours are nearest to one another; never the last, and the first where there are only two.

    Args:
        stamps_ns: at least two, in order.

    >>> most_crowded([0, 10, 12, 20, 30])
    2
    """
    if len(stamps_ns) < 3:
        return 0
    return min(range(1, len(stamps_ns) - 1), key=lambda place: stamps_ns[place + 1] - stamps_ns[place - 1])


def spread(stamps_ns: Sequence[int], count: int) -> list[int]:
    """Places of ``count`` stamps that lie about evenly in time, the last one among them.

    Args:
        stamps_ns: in order.
        count: at least 1; where there are no more, all places.

    >>> spread([0, 10, 20, 30, 40, 50], 3)
    [0, 2, 5]
    """
    places = list(range(len(stamps_ns)))
    while len(places) > max(1, count):
        del places[most_crowded([stamps_ns[place] for place in places])]
    return places
