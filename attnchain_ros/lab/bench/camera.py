"""A synthetic camera's work as a process: ``python -m attnchain_ros.lab.bench.camera WIDTH HEIGHT HZ``, until killed.

It draws images and masks and copies them as often as a driver, the middleware and a decoder do; without ROS.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import numpy as np

COPIES = 3


def main(words: Sequence[str]) -> int:
    """Film for ever."""
    width, height, rate_hz = int(words[0]), int(words[1]), float(words[2])
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    due = time.monotonic()
    while True:
        image = np.roll(image, 1, axis=1)
        mask = image[..., 0] > 127
        for part in (image, mask):
            for _ in range(COPIES):
                part = part.copy()
        due = max(due + 1 / rate_hz, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
