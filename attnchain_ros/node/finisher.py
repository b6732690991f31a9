"""A thread beside the worker: makes and publishes the result of one window while the next is computed. ROS-free."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

_LOG = logging.getLogger(__name__)


class Finisher:
    """Does one piece of work after another, in the order in which they were handed over.

    One is done and none waits: ``hand`` returns when the one before has ended, so that what waits stays bounded. Only
    one thread hands work over.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._work: Callable[[], None] | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None

    def hand(self, work: Callable[[], None]) -> None:
        """Let work be done next; waits for the piece before. After ``stop`` it is done here and now."""
        with self._changed:
            self._changed.wait_for(lambda: self._work is None)
            if not self._stopping:
                if self._thread is None:
                    # A daemon, as the worker is: a program that has to end does not wait for it.
                    self._thread = threading.Thread(target=self._main, name="attnchain-finisher", daemon=True)
                    self._thread.start()
                self._work = work
                self._changed.notify_all()
                return
        work()

    def stop(self, timeout_s: float) -> bool:
        """End the thread after the piece that it does; False if that did not end in time."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
        return thread is None or not thread.is_alive()

    def _main(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._work is not None or self._stopping)
                work = self._work
            if work is None:
                return
            try:
                work()
            except Exception:  # the node has to live on, whatever happens here
                _LOG.exception("a window's result could not be made")
            finally:
                with self._changed:
                    self._work = None
                    self._changed.notify_all()
                # Or the last window's pictures would stay until the next one.
                del work
