"""From a process's start to its first window: ``python -m attnchain_ros.lab.bench.startup WINDOW.npz``.

A process of its own computes one window with the package's small checkpoint as the node does (the numeric libraries set
up first, then torch, our modules, the weights, a first mesh by Stage 0) and tells the processor time of each step. Time
of the processor and not of the clock: other work on the machine makes the latter longer.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...rollout.window import Window

FIRST_WINDOW_S, LOADING_S = 8.0, 3.0
"""Budgets: from the start to the end of the first window, and of everything after torch until images may come."""
PATIENCE_S = 300.0


@dataclass(frozen=True)
class Startup:
    """Processor seconds of a start, by step.

    Attributes:
        torch: the interpreter, the numeric libraries' settings and torch.
        modules: importing ours and what else they need.
        weights: reading the small checkpoint.
        window: the first window, with the first mesh.
    """

    torch: float
    modules: float
    weights: float
    window: float

    @property
    def loading(self) -> float:
        """What ``configure`` does after torch is there."""
        return self.modules + self.weights

    @property
    def total(self) -> float:
        """From the start of the process to the end of its first window."""
        return self.torch + self.loading + self.window


def measure_startup(window: Window, device: str = "cpu") -> Startup:
    """Start a process that computes one window.

    Args:
        window: of 16 frames; its images, masks and stamps are used.
        device: where the networks run.
    Raises:
        RuntimeError: the process failed.   subprocess.TimeoutExpired: it took five minutes.
    """
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "window.npz"
        np.savez(path, images=window.images, masks=window.masks, stamps=window.stamps_ns)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", __name__, str(path), device],
            capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the process that computes a first window ended with {done.returncode}: {done.stderr}")
    return Startup(**json.loads(done.stdout.splitlines()[-1]))


def main(words: Sequence[str]) -> int:
    """Compute one window and print the seconds of the processor as a JSON line."""
    from ...threads import prepare

    laps = [0.0]
    prepare()
    import torch  # noqa: F401

    laps.append(time.process_time())
    import numpy as np

    from ...backbone import load_backbone
    from ...options import resolve
    from ...rollout import Rollout, Window

    laps.append(time.process_time())
    backbone = load_backbone(None, words[1])
    rollout = Rollout(backbone, resolve(backbone, {}))
    laps.append(time.process_time())
    with np.load(words[0]) as arrays:
        window = Window(arrays["images"], arrays["masks"], arrays["stamps"])
    rollout.run(window)
    laps.append(time.process_time())
    steps = ("torch", "modules", "weights", "window")
    took = {name: after - before for name, before, after in zip(steps, laps, laps[1:], strict=False)}
    sys.stdout.write(json.dumps(took) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
