"""What the node measures about itself; thread-safe. ROS-free."""

from __future__ import annotations

import os
import resource
import sys
import threading
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from ..rollout.window import WindowResult

_RECENT = 200


@dataclass(frozen=True)
class Snapshot:
    """Figures at one moment; times in seconds (``last_...`` = ago), rates per second, NaN = nothing measured yet."""

    image_rate_hz: float
    last_image_s: float
    window_rate_hz: float
    windows: int
    failed_windows: int
    last_failure_s: float
    window_p50_s: float
    window_p95_s: float
    delay_p50_s: float
    delay_p95_s: float
    publish_p95_s: float
    callback_p95_s: float
    last_error: str
    last_stage: str
    overlap: float
    poses: float
    withheld: int
    timings_s: dict[str, float] = field(default_factory=dict)


class Statistics:
    """Collects rates, latencies and errors. ``now_s`` arguments are seconds of one steady clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._images: deque[float] = deque(maxlen=_RECENT)
        self._ends: deque[float] = deque(maxlen=_RECENT)
        self._callbacks: deque[float] = deque(maxlen=_RECENT)
        self._windows: deque[float] = deque(maxlen=_RECENT)
        self._delays: deque[float] = deque(maxlen=_RECENT)
        self._publishing: deque[float] = deque(maxlen=_RECENT)
        self._count = self._failed = self._withheld = 0
        self._failure_s = float("nan")
        self._error = self._stage = ""
        self._timings: dict[str, float] = {}
        self._overlap = self._poses = float("nan")

    def image(self, now_s: float, callback_s: float) -> None:
        """An image came in; its callback took so long."""
        with self._lock:
            self._images.append(now_s)
            self._callbacks.append(callback_s)

    def window(self, now_s: float, compute_s: float, delay_s: float, publish_s: float, result: WindowResult) -> None:
        """A window was published: its computation, its newest frame's delay since it came in, its publishing."""
        with self._lock:
            self._count += 1
            self._ends.append(now_s)
            self._windows.append(compute_s)
            self._delays.append(delay_s)
            self._publishing.append(publish_s)
            self._timings = dict(result.timings_s)
            self._overlap = result.silhouette_iou
            self._poses = float(np.mean(result.camera.valid))
            # A shared frame was counted with its first window.
            self._withheld += int(np.count_nonzero(~result.camera.valid[int(result.shared_first) :]))

    def failed(self, now_s: float, text: str) -> None:
        """A window failed."""
        with self._lock:
            self._failed += 1
            self._failure_s = now_s
            self._error = text

    def error(self, text: str) -> None:
        """Something else went wrong."""
        with self._lock:
            self._error = text

    def stage(self, text: str) -> None:
        """What the worker is doing."""
        with self._lock:
            self._stage = text

    def snapshot(self, now_s: float) -> Snapshot:
        """All figures at ``now_s``; rates are those of the last ten seconds (images) and minute (windows)."""
        with self._lock:
            return Snapshot(
                image_rate_hz=_rate(self._images, now_s - 10.0),
                last_image_s=now_s - self._images[-1] if self._images else float("nan"),
                window_rate_hz=_rate(self._ends, now_s - 60.0),
                windows=self._count,
                failed_windows=self._failed,
                last_failure_s=now_s - self._failure_s,
                window_p50_s=_quantile(self._windows, 0.5),
                window_p95_s=_quantile(self._windows, 0.95),
                delay_p50_s=_quantile(self._delays, 0.5),
                delay_p95_s=_quantile(self._delays, 0.95),
                publish_p95_s=_quantile(self._publishing, 0.95),
                callback_p95_s=_quantile(self._callbacks, 0.95),
                last_error=self._error,
                last_stage=self._stage,
                overlap=self._overlap,
                poses=self._poses,
                withheld=self._withheld,
                timings_s=dict(self._timings),
            )


def _rate(moments: deque[float], since_s: float) -> float:
    """Events per second from the first to the last one since a moment; 0 with fewer than two."""
    recent = [moment for moment in moments if moment >= since_s]
    return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 and recent[-1] > recent[0] else 0.0


def _quantile(values: deque[float], share: float) -> float:
    return float(np.quantile(np.array(values), share)) if values else float("nan")


def memory_mb() -> dict[str, float]:
    """Memory of this process in MB: ``resident`` now, ``peak`` so far, ``gpu`` where torch uses one."""
    found = {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            found["resident"] = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:  # not Linux: the peak has to do
        pass
    # Another thread may be in the middle of importing torch: then the attribute is not there yet.
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    is_initialized = getattr(cuda, "is_initialized", None)
    if cuda is not None and is_initialized is not None and is_initialized():
        found["gpu"] = cuda.memory_allocated() / 2**20
    return found
