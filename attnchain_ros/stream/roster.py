"""Which objects are followed: ids come and go in the masks. No threads, no clock but the stamps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """What one mask image changed.

    Attributes:
        admitted: ids that are followed from now on.
        retired: ids that are followed no longer.
        turned_away: ids that are in the mask, for which there is no room.
    """

    admitted: tuple[int, ...] = ()
    retired: tuple[int, ...] = ()
    turned_away: tuple[int, ...] = ()


class Roster:
    """Admits and retires objects by the ids that masks hold.

    An id keeps its place as long as it is seen, and for ``missing_s`` more; then it is retired. A new one is admitted
    where there is room. Stamps that go back begin the time anew: nobody is retired for a bag that starts again.

    Args:
        most: objects at once.
        missing_s: seconds between stamps after which an object that is in no mask is retired; 0 = never.
    Attributes:
        most, missing_s: may be changed at any time; who is there stays.
        counts: ``admitted``, ``retired``, and ``turned_away``: ids of masks that found no room.
    """

    def __init__(self, most: int, missing_s: float) -> None:
        self.most = most
        self.missing_s = missing_s
        self.counts: Counter[str] = Counter()
        self._seen_ns: dict[int, int] = {}
        self._newest_ns: int | None = None

    @property
    def ids(self) -> tuple[int, ...]:
        """Who is followed, in the order of admission."""
        return tuple(self._seen_ns)

    def see(self, stamp_ns: int, ids: Iterable[int]) -> Change:
        """Take one mask image into account.

        Args:
            stamp_ns: of the mask; 0 = none, then nobody is retired.
            ids: in it; where there is room for some only, the first are admitted.
        """
        seen = tuple(ids)
        if stamp_ns and (self._newest_ns is None or stamp_ns < self._newest_ns):
            self._seen_ns = dict.fromkeys(self._seen_ns, stamp_ns)
        if stamp_ns:
            self._newest_ns = stamp_ns
        now = self._newest_ns or 0
        for one in seen:
            if one in self._seen_ns:
                self._seen_ns[one] = now
        limit_ns = self.missing_s * 1e9
        retired = tuple(one for one, last in self._seen_ns.items() if 0 < limit_ns < now - last)
        for one in retired:
            del self._seen_ns[one]
        strangers = [one for one in seen if one not in self._seen_ns]
        room = max(0, self.most - len(self._seen_ns))
        admitted, away = tuple(strangers[:room]), tuple(strangers[room:])
        self._seen_ns |= dict.fromkeys(admitted, now)
        for cause, who in (("admitted", admitted), ("retired", retired), ("turned_away", away)):
            self.counts[cause] += len(who)
        return Change(admitted, retired, away)

    def clear(self) -> tuple[int, ...]:
        """Retire all; returns who that was."""
        retired = self.ids
        self._seen_ns.clear()
        self._newest_ns = None
        self.counts["retired"] += len(retired)
        return retired
