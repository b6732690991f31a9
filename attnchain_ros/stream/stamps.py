"""What came when: the one place where stamps are matched. Thread-safe."""

from __future__ import annotations

import threading
from collections import deque
from itertools import pairwise
from typing import Generic, TypeVar

T = TypeVar("T")


class StampBook(Generic[T]):
    """The last things that came, looked up by stamp.

    Of several that are equally near the one that came last counts. Stamp 0 (none was given) belongs to every stamp that
    has nothing of its own.

    Args:
        tolerance_ns: largest distance of what belongs together.
        capacity: how many are remembered; the oldest are forgotten.
    """

    def __init__(self, tolerance_ns: int, capacity: int) -> None:
        self.tolerance_ns = tolerance_ns
        self._lock = threading.Lock()
        self._entries: deque[tuple[int, T]] = deque(maxlen=capacity)

    def add(self, stamp_ns: int, thing: T) -> None:
        """Remember one."""
        with self._lock:
            self._entries.append((stamp_ns, thing))

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._list())

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._entries.clear()

    def nearest(self, stamp_ns: int) -> T | None:
        """The one nearest to a stamp within the tolerance, else the last without a stamp, else None."""
        best, best_distance, always = None, self.tolerance_ns + 1, None
        for stamp, thing in reversed(self._list()):
            distance = abs(stamp - stamp_ns)
            if stamp == 0:
                always = thing if always is None else always
            elif distance < best_distance:
                best, best_distance = thing, distance
        return always if best is None else best

    def newest(self, stamp_ns: int) -> T | None:
        """The last to come of those that are not later than a stamp (and the tolerance)."""
        return next((thing for stamp, thing in reversed(self._list()) if stamp <= stamp_ns + self.tolerance_ns), None)

    def holding(self, stamp_ns: int) -> T | None:
        """What was last set before or at a stamp, else the first one of all; None only where nothing came."""
        entries = self._list()
        held = [entry for entry in enumerate(entries) if entry[1][0] <= stamp_ns]
        if held:
            return max(held, key=lambda entry: (entry[1][0], entry[0]))[1][1]
        return entries[0][1] if entries else None

    def take_until(self, stamp_ns: int) -> list[T]:
        """Those that are not later than a stamp; they are forgotten."""
        with self._lock:
            taken = [thing for stamp, thing in self._entries if stamp <= stamp_ns]
            kept = [entry for entry in self._entries if entry[0] > stamp_ns]
            self._entries.clear()
            self._entries.extend(kept)
            return taken

    def later_than(self, stamp_ns: int) -> int:
        """How many are later than a stamp by more than the tolerance."""
        return sum(stamp > stamp_ns + self.tolerance_ns for stamp, _ in self._list())

    def distance_ns(self, stamp_ns: int) -> int | None:
        """From a stamp to the nearest one's; None without one."""
        return min((abs(stamp - stamp_ns) for stamp, _ in self._list() if stamp), default=None)

    def jump_back(self, stamp_ns: int) -> None:
        """Stamps began anew at ``stamp_ns``: what is of the pass before is forgotten.

        Where the stamps in the book have jumped back themselves, what came after that is of the new pass; where they
        have not, what is clearly later than the stamp is of the pass before.
        """
        with self._lock:
            entries = list(self._entries)
            stamped = [number for number, (stamp, _) in enumerate(entries) if stamp]
            jumps = [
                now for before, now in pairwise(stamped) if entries[now][0] < entries[before][0] - self.tolerance_ns
            ]
            self._entries.clear()
            for number, (stamp, thing) in enumerate(entries):
                kept = number >= jumps[-1] if jumps else stamp <= stamp_ns + self.tolerance_ns
                if kept or stamp == 0:
                    self._entries.append((stamp, thing))

    def _list(self) -> list[tuple[int, T]]:
        with self._lock:
            return list(self._entries)
