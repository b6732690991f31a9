"""How long counted work takes on a device that is not here: peaks of the data sheets, and the share that is met.

A stage takes as long as the slowest of its arithmetic (each precision by itself), its memory traffic and its launches.
"""

from __future__ import annotations

from dataclasses import dataclass

from .counting import Cost

ARITHMETIC, TRAFFIC = 0.6, 0.7
"""Shares of the peaks that large matrix products and streaming kernels reach."""
KEPT = 0.5
"""Of the bytes that kernels read and write: about half of them are still in a cache."""


@dataclass(frozen=True)
class Device:
    """Peaks from the maker's data sheet.

    Attributes:
        name: of the card.
        half, full: 1e12 operations a second, dense: in bfloat16 with tensor cores, and in float32 without.
        traffic: 1e12 bytes of memory a second.   memory: 1e9 bytes.
        launch_us: between two kernels started from Python, at least.
        budget_s: that a window of the published size may take there, None = none is set.
    """

    name: str
    half: float
    full: float
    traffic: float
    memory: float
    launch_us: float = 5.0
    budget_s: float | None = None

    def seconds(self, cost: Cost) -> float:
        """How long a stage takes."""
        arithmetic = cost.half_flops / self.half + cost.full_flops / self.full
        return max(
            1e-12 * arithmetic / ARITHMETIC,
            1e-12 * KEPT * cost.moved_bytes / (self.traffic * TRAFFIC),
            1e-6 * self.launch_us * cost.launches,
        )


DEVICES = (
    Device("H100 SXM", 989.0, 67.0, 3.35, 80.0, budget_s=5.0),
    Device("A100 80 GB", 312.0, 19.5, 2.04, 80.0),
    Device("RTX 4090", 165.0, 82.6, 1.01, 24.0, budget_s=15.0),
    Device("L4", 121.0, 30.3, 0.30, 24.0),
    Device("Jetson AGX Orin 64 GB", 42.5, 5.3, 0.205, 64.0, launch_us=15.0, budget_s=80.0),
)
