"""Windows beside a synthetic camera, and beside other work as well, over windows on a quiet machine."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np

from ...backbone import Backbone
from ...config import RolloutConfig
from ...rollout import Rollout
from ...threads import usable_cores
from .scene import Scene, make_mesh

CAMERA = ("1280", "720", "30")
"""Width, height and images a second."""
BESIDE_CAMERA, BESIDE_WORK = 1.5, 3.0
"""Budgets: how many times as long a window may take."""
_CAMERA = ("-m", f"{__package__}.camera", *CAMERA)
_BUSY = ("-c", "while True: pass")


@dataclass(frozen=True)
class LoadTimes:
    """Seconds of a window, medians.

    Attributes:
        quiet: with nothing else.   camera: beside the camera.   work: and one busy process a core.
    """

    quiet: float
    camera: float
    work: float


def measure_load(backbone: Backbone, config: RolloutConfig, rounds: int) -> LoadTimes:
    """Compute the same window in the three situations, in turns, so that whatever else happens meets all of them.

    Args:
        backbone: that computes.
        config: of the window.
        rounds: how often each situation comes.
    """
    mesh = make_mesh(config)
    window = Scene.of(mesh, config.frames).window
    rollout = Rollout(backbone, config, mesh, anchor_is_canonical=True)
    situations = {"quiet": (), "camera": (_CAMERA,), "work": (_CAMERA, *(_BUSY,) * usable_cores())}
    laps: dict[str, list[float]] = {name: [] for name in situations}
    rollout.run(window)  # warms up
    for _ in range(rounds):
        for name, others in situations.items():
            with beside(others):
                rollout.reset()
                started = time.perf_counter()
                rollout.run(window)
                laps[name].append(time.perf_counter() - started)
    return LoadTimes(**{name: float(np.median(found)) for name, found in laps.items()})


@contextmanager
def beside(others: Sequence[Sequence[str]] = (_CAMERA,)) -> Iterator[None]:
    """Other processes of this interpreter meanwhile.

    Args:
        others: the words of each behind the interpreter's; a synthetic camera, if not given.
    """
    with ExitStack() as stack:
        for words in others:
            process = stack.enter_context(subprocess.Popen([sys.executable, *words]))
            stack.callback(process.kill)
        yield
