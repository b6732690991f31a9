"""The start of the node's process, in seconds of the processor: until it is configured, and until its first window.

Time of the processor and not of the clock: other work on the machine makes the latter longer.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beside_camera import (
    FRAMES,
    NODE,
    PATIENCE_S,
    CameraProcess,
    Found,
    Observer,
    Setting,
    ros_words,
    wait_for_window,
)
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState

from attnchain_ros.lab.demo.processes import Child, free_domain, isolated_environment

WIDTH, HEIGHT, RATE_HZ = 320, 240, 30.0
MEETING_S = 1.0
"""Until publishers and subscriptions have found one another."""
TORCH = (
    "from attnchain_ros.threads import prepare; prepare(); import time; "
    "before = time.process_time(); import torch; print(time.process_time() - before)"
)


@dataclass(frozen=True)
class Start:
    """Seconds.

    Attributes:
        until_window: of the processor, from the process's start until its first window is published, with the first
            mesh, the camera's images and all that runs beside.
        process: of the processor until the node answers, unconfigured; configuring: of ``configure``, with torch.
        torch: of the processor, loading torch alone.
        configuring_wall: of the clock.
    """

    until_window: float
    process: float
    configuring: float
    torch: float
    configuring_wall: float

    @property
    def configuring_after_torch(self) -> float:
        """What ``configure`` takes where torch is loaded."""
        return self.configuring - self.torch


def measure(parameters: dict[str, Any], folder: Path) -> Start:
    """Start the node's process and a camera's, step by step.

    Args:
        parameters: of the node.
        folder: gets the node's log.
    Raises:
        TimeoutError: the node does not answer.   subprocess.CalledProcessError: torch cannot be loaded.
    """
    domain = free_domain(random.Random(os.getpid()))
    around = isolated_environment(domain)
    os.environ.update(around)
    words = ros_words(parameters | {"autostart": False})
    loading = subprocess.run([sys.executable, "-c", TORCH], capture_output=True, text=True, check=True, env=around)
    with Child("node", "attnchain_ros.node.main", words, around, folder / "start.log") as node:
        observer = Observer(domain)
        camera = CameraProcess(Setting(WIDTH, HEIGHT, RATE_HZ), around)
        try:
            client = observer.node.create_client(ChangeState, f"{NODE}/change_state")
            if not client.wait_for_service(timeout_sec=PATIENCE_S):
                raise TimeoutError("the node does not come up: see its log")
            process = _worked(node.pid)
            wall = observer.call(client, _to(Transition.TRANSITION_CONFIGURE))
            configured = _worked(node.pid)
            observer.call(client, _to(Transition.TRANSITION_ACTIVATE))
            time.sleep(MEETING_S)
            camera.burst(FRAMES)
            wait_for_window(observer, camera, Found(), 1)
            return Start(_worked(node.pid), process, configured - process, float(loading.stdout), wall)
        finally:
            camera.end()
            observer.close()


def _to(number: int) -> ChangeState.Request:
    return ChangeState.Request(transition=Transition(id=number))


def _worked(pid: int) -> float:
    """Seconds of the processor that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
