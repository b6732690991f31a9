"""When a chain that nobody can trust begins anew.

What the first window of a chain is off, all that follow it are off, too, so that one bad beginning (a mask that was
half covered, a view from which the object looks like its back) would leave a robot without poses for good. A new
beginning may be better. Of a thing that the network does not know none is, and each costs the tracks their ids: every
new beginning in vain therefore doubles the time until the next.
"""

from __future__ import annotations

from ..notes import Note

WHOLE_WINDOW = frozenset({"poses_doubtful", "poses_against_live"})
"""Notes of a window none of whose poses is trusted although they were found."""

CAUSE = "doubtful"
"""Of such a reset, in the accounts."""

_MOST_DOUBLINGS = 6


class Doubts:
    """Counts windows in a row without a trusted pose.

    Attributes:
        limit: so many make the chain start anew; 0 = never.
    """

    def __init__(self, limit: int = 0) -> None:
        self.limit = limit
        self._row = 0
        self._in_vain = 0

    def saw(self, notes: tuple[Note, ...], begins: bool) -> None:
        """A window went out.

        Args:
            notes: of its result.
            begins: it is the first of a chain.
        """
        if begins:
            self._row = 0
        if any(note.code in WHOLE_WINDOW for note in notes):
            self._row += 1
        else:
            self._row = self._in_vain = 0

    def due(self) -> str | None:
        """``CAUSE`` where the next window has to start anew (said once), else None."""
        if not 0 < self.limit << self._in_vain <= self._row:
            return None
        self._row = 0
        self._in_vain = min(self._in_vain + 1, _MOST_DOUBLINGS)
        return CAUSE
