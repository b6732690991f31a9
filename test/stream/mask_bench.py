"""Pictures of a red and a green square for whatever makes masks in a live stream, and what feeds them to it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from attnchain_ros.stream.config import StreamConfig
from attnchain_ros.stream.frame import Frame

STEP_NS = 10**8
RED, GREEN = (220, 40, 30), (30, 200, 60)


def image(number: int, *, red: bool = True, green: bool = False, size: tuple[int, int] = (24, 40)) -> np.ndarray:
    """A red square at x = 4 to 12 and a green one at x = 28 to 36, as far as they are there."""
    found = np.full((*size, 3), (20, 60, 160), np.uint8)
    if red:
        found[8:16, 4:12] = RED
    if green:
        found[8:16, 28:36] = GREEN
    found[0, 0] = number % 256, 0, 0
    return found


class MaskBench:
    """Feeds images to ``maker`` and, by ``arrive``, to where they await their masks; keeps a clock of its own."""

    config: StreamConfig
    arrive: Callable[[Frame], object]

    def __init__(self):
        self.now = 0.0
        self.told: list[tuple[str, str]] = []
        self.number = 0

    @property
    def surroundings(self) -> dict:
        """Policy, log and clock of a maker."""
        return {
            "lossless": lambda: self.config.overflow_policy == "block",
            "tell": lambda code, text: self.told.append((code, text)),
            "clock": lambda: self.now,
        }

    def push(self, count: int = 1, **scene) -> None:
        for _ in range(count):
            self.number += 1
            frame = Frame(image(self.number, **scene), None, self.number * STEP_NS, frame_id="camera")
            self.maker.see(frame)
            self.arrive(frame)

    def work(self) -> None:
        self.maker.work(lambda: False)

    def feed(self, count: int, **scene) -> None:
        """One image after another, each masked as it comes."""
        for _ in range(count):
            self.push(1, **scene)
            self.work()
