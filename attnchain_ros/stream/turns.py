"""Whose window is computed next where several objects share one device: whoever was served least."""

from __future__ import annotations

from collections.abc import Iterable


class Turns:
    """Shares out the device's time; who has nothing to compute saves nothing up.

    Start-time fair queueing: each has a clock that goes on by the time that it was served. The clock of one who comes
    anew, or had nothing to compute, is set to that of the one who was served last. Of two who always have something to
    compute neither is ever ahead of the other by more than the longest turns of both.
    """

    def __init__(self) -> None:
        self._served: dict[int, float] = {}
        self._last: dict[int, int] = {}
        self._now = 0.0
        self._turn = 0

    def order(self, who: Iterable[int]) -> list[int]:
        """In which order to ask them, the least served first; of equals the one who has waited longest."""
        return sorted(who, key=lambda one: (self._clock(one), self._last.get(one, -1), one))

    def charge(self, one: int, seconds: float) -> None:
        """One was served for so long."""
        started = self._clock(one)
        self._now = started
        self._served[one] = started + max(0.0, seconds)
        self._last[one] = self._turn
        self._turn += 1

    def keep(self, who: Iterable[int]) -> None:
        """Forget all others."""
        known = set(who)
        self._served = {one: clock for one, clock in self._served.items() if one in known}
        self._last = {one: turn for one, turn in self._last.items() if one in known}

    def _clock(self, one: int) -> float:
        return max(self._served.get(one, self._now), self._now)
