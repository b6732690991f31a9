"""Say each cause once, then count: a fault at 30 Hz must not hide everything else in the log. ROS-free."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

_MOST_CAUSES = 1000


class LogOnce:
    """Passes the first message of each key on; counts all.

    Args:
        write: takes one line of log.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def __call__(self, key: str, text: str) -> None:
        """Log ``text`` if nothing was logged under ``key`` yet."""
        with self._lock:
            if key not in self._counts and len(self._counts) >= _MOST_CAUSES:
                key = "further causes"
            self._counts[key] += 1
            first = self._counts[key] == 1
        if first:
            self._write(text)

    def counts(self) -> dict[str, int]:
        """How often each key came."""
        with self._lock:
            return dict(self._counts)

    def clear(self) -> None:
        """Say everything once more."""
        with self._lock:
            self._counts.clear()
