"""The real node beside a real camera, and beside other work: each a process of its own, as on a robot.

Three situations follow one another in every round, so that whatever else happens on the machine meets all of them:
quiet (the camera sends one window's frames and rests until the mesh is there), camera (it films without end), and
load (so do some busy processes beside it).
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from attnchain_ros.lab.demo.processes import Child, free_domain, isolated_environment
from attnchain_ros.msg import AnimatedMesh
from attnchain_ros.srv import GetMesh

NODE = "/attnchain_node"
SITUATIONS = ("quiet", "camera", "load")
BUSY = "while True: pass"
FRAMES = 16
PATIENCE_S = 300.0
MISSING_S = 5.0


@dataclass(frozen=True)
class Setting:
    """What stands beside the node.

    Attributes:
        width, height, rate_hz: of the camera.   reliable: what it offers.
        load: busy processes.
        rounds: how often the three situations are gone through.
        quiet_windows: windows of the quiet one in a round.
        seconds: how long the other two last in a round.
    """

    width: int
    height: int
    rate_hz: float
    reliable: bool = True
    load: int = 0
    rounds: int = 2
    quiet_windows: int = 4
    seconds: float = 30.0


@dataclass
class Found:
    """What one situation showed, over all rounds; seconds.

    Attributes:
        span_s: how long it lasted.
        windows: computing each window; in a list for each round.
        delays: from a window's last image to its mesh.
        tf_ages: of the object's newest transform, looked at ten times a second.
        live_delays: from an image's stamp until its transform of the live lane is here, with both ways on.
        live: the node's own p95 from an image's arrival to its transform of the live lane.
        first_tf: from the situation's start to its first transform.
        services: from request to answer.
        published: images sent; received: images that the node took in; late: images sent more than a period late;
            refused: images that the camera's middleware did not take.
        callbacks: the node's own p95 of its image callback.
        stride: of its windows.
    """

    span_s: float = 0.0
    windows: list[list[float]] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    tf_ages: list[float] = field(default_factory=list)
    live_delays: list[float] = field(default_factory=list)
    live: list[float] = field(default_factory=list)
    first_tf: list[float] = field(default_factory=list)
    services: list[float] = field(default_factory=list)
    published: int = 0
    received: int = 0
    late: int = 0
    refused: int = 0
    callbacks: list[float] = field(default_factory=list)
    stride: list[int] = field(default_factory=list)

    def count(self, sent: dict[str, int]) -> None:
        """Add what the camera reports."""
        self.published += sent["published"]
        self.late += sent["late"]
        self.refused += sent["refused"]

    def all_windows(self) -> list[float]:
        """Seconds of every window."""
        return [second for one in self.windows for second in one]


class Observer:
    """Listens to the node from this process and asks its services now and then."""

    def __init__(self, domain: int) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("benchmark_observer", context=self.context)
        self.found = Found()
        self.status: dict[str, str] = {}
        self.meshes = 0
        self.object_frame = "object_1"
        self._count = ""
        self._started = self._newest_tf = 0.0
        self._lock = threading.Lock()
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.node.create_subscription(DiagnosticStatus, f"{NODE}/status", self._on_status, latched)
        self.node.create_subscription(AnimatedMesh, f"{NODE}/mesh", self._on_mesh, 5)
        self.node.create_subscription(TFMessage, "/tf", self._on_tf, QoSProfile(depth=200))
        self.node.create_timer(0.1, self._look)
        self._get_mesh = self.node.create_client(GetMesh, f"{NODE}/get_mesh")
        self._parameters = self.node.create_client(SetParameters, f"{NODE}/set_parameters")
        self._reset = self.node.create_client(Trigger, f"{NODE}/reset")
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def start(self, found: Found) -> None:
        """What comes from now on belongs to ``found``; the node starts a new chain."""
        self.call(self._reset, Trigger.Request())
        with self._lock:
            self.found, self._started, self._newest_tf = found, time.time(), 0.0
            found.windows.append([])

    def ask(self, number: int) -> None:
        """Call two services that do not disturb the window under way, and note how long they took."""
        value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=0.02 + 0.001 * (number % 2))
        changed = Parameter(name="tracks.visibility_margin", value=value)
        for client, request in (
            (self._get_mesh, GetMesh.Request()),
            (self._parameters, SetParameters.Request(parameters=[changed])),
        ):
            seconds = self.call(client, request)
            self.found.services.append(seconds)

    def call(self, client: Any, request: Any) -> float:
        """Seconds until the answer.

        Raises:
            TimeoutError: it does not come.
        """
        if not client.wait_for_service(timeout_sec=PATIENCE_S):
            raise TimeoutError(f"no service {client.srv_name}")
        answered = threading.Event()
        started = time.perf_counter()
        client.call_async(request).add_done_callback(lambda future: answered.set())
        if not answered.wait(PATIENCE_S):
            raise TimeoutError(f"{client.srv_name} did not answer in {PATIENCE_S:g} s")
        return time.perf_counter() - started

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self._thread.join(5.0)
        self.context.shutdown()

    def _on_status(self, message: DiagnosticStatus) -> None:
        self.status = {item.key: item.value for item in message.values}
        count = self.status.get("windows", "")
        with self._lock:
            if count != self._count and self.found.windows:
                stages = [float(value) for key, value in self.status.items() if key.startswith("time: ")]
                if stages:
                    self.found.windows[-1].append(sum(stages))
                    self.found.stride.append(int(self.status["stride"]))
            self._count = count

    def _on_mesh(self, message: AnimatedMesh) -> None:
        now, last = time.time(), message.stamps[-1]
        stamp = last.sec + 1e-9 * last.nanosec
        with self._lock:
            self.meshes += 1
            if stamp > self._started:  # else it belongs to the situation before
                self.found.delays.append(now - stamp)

    def _on_tf(self, message: TFMessage) -> None:
        now = time.time()
        with self._lock:
            for one in message.transforms:
                stamp = one.header.stamp.sec + 1e-9 * one.header.stamp.nanosec
                if stamp < self._started:
                    continue
                if one.child_frame_id == self.object_frame:
                    if not self._newest_tf:
                        self.found.first_tf.append(now - self._started)
                    self._newest_tf = max(self._newest_tf, stamp)
                elif one.child_frame_id == f"{self.object_frame}_live":
                    self.found.live_delays.append(now - stamp)

    def _look(self) -> None:
        with self._lock:
            if self._newest_tf:
                self.found.tf_ages.append(time.time() - self._newest_tf)


class CameraProcess:
    """``camera.py`` running, and the orders it takes."""

    def __init__(self, setting: Setting, environment: dict[str, str]) -> None:
        words = [str(setting.width), str(setting.height), "reliable" if setting.reliable else "best_effort"]
        self._rate_hz = setting.rate_hz
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("camera.py")), *words],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def play(self) -> None:
        """Film until told otherwise."""
        self._order(f"play {self._rate_hz}")

    def burst(self, count: int) -> dict[str, int]:
        """Film so many frames; returns when they are sent."""
        return self._ask(f"burst {count} {self._rate_hz}")

    def pause(self) -> dict[str, int]:
        """Stop filming."""
        return self._ask("pause")

    def end(self) -> None:
        """End the process."""
        self._process.communicate(timeout=20)

    def _order(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def _ask(self, text: str) -> dict[str, int]:
        self._order(text)
        assert self._process.stdout is not None
        found: dict[str, int] = json.loads(self._process.stdout.readline())
        return found


def measure(
    setting: Setting, parameters: dict[str, Any], folder: Path, environment: dict[str, str] | None = None
) -> dict[str, Found]:
    """Run the node through all situations.

    Args:
        setting: camera and load.
        parameters: of the node.
        folder: gets the node's log.
        environment: of the node's process, beyond this one's (to compare settings of threads).
    Returns:
        what each situation of ``SITUATIONS`` showed; without load, the last one is missing.
    Raises:
        TimeoutError: the node does not answer.
    """
    domain = free_domain(random.Random(os.getpid()))
    around = isolated_environment(domain)
    os.environ.update(around)
    words = ros_words({"max_gap_s": 0.0} | parameters)
    names = SITUATIONS if setting.load else SITUATIONS[:-1]
    found = {name: Found() for name in names}
    with Child("node", "attnchain_ros.node.main", words, around | (environment or {}), folder / "node.log"):
        observer = Observer(domain)
        camera = CameraProcess(setting, around)
        try:
            _wait(lambda: observer.status.get("state") == "active", "the node to be active")
            _quiet(observer, camera, Found(), 2)  # the first windows also warm up
            for _ in range(setting.rounds):
                _quiet(observer, camera, found["quiet"], setting.quiet_windows)
                _film(observer, camera, found["camera"], setting.seconds)
                if setting.load:
                    with Load(setting.load):
                        _film(observer, camera, found["load"], setting.seconds)
        finally:
            camera.end()
            observer.close()
    return found


class Load:
    """So many processes that keep a core busy each."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Load:
        self._processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(self._count)]
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


def _quiet(observer: Observer, camera: CameraProcess, found: Found, windows: int) -> None:
    observer.start(found)
    before = _received(observer)
    started = time.monotonic()
    for number in range(windows):
        wanted = observer.meshes + 1
        sent = camera.burst(FRAMES if number == 0 else FRAMES - 1)
        found.count(sent)
        wait_for_window(observer, camera, found, wanted)
        time.sleep(1.2)  # the next status has its times
        observer.ask(number)
    _close(observer, found, before, time.monotonic() - started)


def wait_for_window(observer: Observer, camera: CameraProcess, found: Found, wanted: int) -> None:
    """Wait for a mesh; where images of the burst were lost on a busy machine, send others in their place."""
    end = time.monotonic() + PATIENCE_S
    look = time.monotonic() + MISSING_S
    while observer.meshes < wanted:
        now = time.monotonic()
        if now > end:
            raise TimeoutError(f"waited {PATIENCE_S:g} s for a window in vain: see the node's log")
        if now > look:
            look = now + MISSING_S
            if observer.status.get("frames in flight") == "0":
                found.count(camera.burst(1))
        time.sleep(0.02)


def _film(observer: Observer, camera: CameraProcess, found: Found, seconds: float) -> None:
    observer.start(found)
    before = _received(observer)
    started = time.monotonic()
    camera.play()
    number = 0
    while time.monotonic() - started < seconds:
        time.sleep(1.0)
        observer.ask(number)
        number += 1
    span = time.monotonic() - started
    sent = camera.pause()
    found.count(sent)
    time.sleep(1.2)
    _close(observer, found, before, span)


def _close(observer: Observer, found: Found, before: int, span: float) -> None:
    found.span_s += span
    found.received += _received(observer) - before
    found.callbacks.append(1e-3 * float(observer.status["image callback p95 [ms]"]))
    if found.live_delays:
        found.live.append(1e-3 * float(observer.status["live: latency p95 [ms]"]))


def _received(observer: Observer) -> int:
    return int(observer.status["frames in"])


def ros_words(parameters: dict[str, Any]) -> list[str]:
    """Parameters as the words of a command line."""
    return ["--ros-args", *(word for name, value in parameters.items() for word in ("-p", f"{name}:={_word(value)}"))]


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else str(value)


def _wait(condition: Any, what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {PATIENCE_S:g} s for {what} in vain: see the node's log")
        time.sleep(0.02)


def describe(values: Sequence[float], unit: str = "s") -> str:
    """Median, 95th percentile and largest of some values."""
    if not values:
        return "none"
    scale = 1e3 if unit == "ms" else 1.0
    middle, late = np.quantile(values, (0.5, 0.95))
    return f"{scale * middle:.3g} / {scale * late:.3g} / {scale * max(values):.3g} {unit}"


def ratio(found: Found, quiet: Found) -> float:
    """Median window beside something over the median quiet one of the same round; NaN where a round had none."""
    rounds = [
        float(np.median(beside)) / float(np.median(alone)) if beside and alone else float("nan")
        for beside, alone in zip(found.windows, quiet.windows, strict=True)
    ]
    return float(np.median(rounds)) if rounds else float("nan")
