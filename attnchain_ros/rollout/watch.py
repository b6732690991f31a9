"""How a window is getting on: progress for whoever waits, a way to stop it, and where its time went."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from ..errors import Cancelled

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total)."""


class Watch:
    """Passed along while a window is computed.

    Args:
        device: that computes it.
        progress: called with (stage, done, total).
        cancelled: polled between steps; True stops with ``Cancelled``.
    Attributes:
        laps: seconds by stage.
    """

    def __init__(
        self,
        device: torch.device,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        self.laps: dict[str, float] = {}
        self._device = device
        self._progress = progress
        self._cancelled = cancelled
        self._last = time.perf_counter()

    def report(self, stage: str, done: int = 0, total: int = 1) -> None:
        """Tell where the window is; raises ``Cancelled`` where the caller wants it to stop."""
        if self._cancelled is not None and self._cancelled():
            raise Cancelled(f"stopped in {stage}")
        if self._progress is not None:
            self._progress(stage, done, total)

    def lap(self, stage: str) -> None:
        """The time since the last lap belongs to a stage; waits for the device, so that a stage pays for its own."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        self.laps[stage] = self.laps.get(stage, 0.0) + now - self._last
        self._last = now

    def aside(self) -> Watch:
        """For the rest of the window in another thread: the same laps and the same way to stop, no progress, and no
        waiting for the device, which computes something else by then."""
        found = Watch(torch.device("cpu"), None, self._cancelled)
        found.laps = self.laps
        return found
