"""Check the node's budgets on this machine: ``python benchmarks/node.py [--device auto] [--threads 2] [--only NAME]``.

    start      the node's process in seconds of the processor: until its first window, with the first mesh, 8;
               configure, beyond what loading torch alone takes: 3
    callback   the image callback with 1920 x 1080 rgb8 images at 30 Hz while windows are computed: p95 5 ms
    services   reset, enable, get_mesh, save_mesh and set_parameters from another process meanwhile: 200 ms
    outputs    a window of 16 x 20,000 vertices with a subscriber in another process: ~/mesh 5 ms, ~/tracks 10 ms,
               ~/markers 100 ms (build, serialise and hand to the middleware; median)
    live       the live lane with 500 points at 640 x 480 and 30 Hz while windows are computed: from an image's arrival
               to its transform p95 20 ms; its thread's time at most one core
    window     a window in the node, from its last image to all is published, over the same window in the library: 1.05
    camera     only with ``--camera 1280x720@30``: a window beside that camera, a process of its own, over a quiet one:
               1.5; with ``--load N`` (default: one a core; 0: none) busy processes as well: 3; in both, image callback
               5 ms, services 200 ms and the live lane 20 ms (p95)

Prints one row each; the exit status is 1 when a budget is not kept. A busy machine measures itself, not the node.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import beside_camera
import numpy as np
import scene
import start
import torch
import yaml
from running_node import RunningNode

from attnchain_ros.node.engine import RolloutEngine
from attnchain_ros.node.parameters import NodeConfig, NodeSettings, PublishConfig
from attnchain_ros.node.profiles import profile_environment
from attnchain_ros.rollout import Rollout
from attnchain_ros.rollout.window import CameraTrack, PointTracks, Window, WindowResult
from attnchain_ros.stream.camera import CameraModel

PARTS = ("start", "callback", "outputs", "live", "window", "camera")
PATIENT = {
    "live_lane.max_age_s": 60.0, "live_lane.store_s": 60.0, "live_lane.store_images": 1800,
    "camera.gate.enabled": False,
}  # fmt: skip
"""What the live lane is measured with: on a slow machine a window may be older than a robot would want, and outlines of
a ball leave its direction of view in doubt; what is measured is the time that an image takes."""
ACROSS, AROUND = 200, 100
VERTICES, FRAMES, TRACKS = ACROSS * AROUND, 16, 1000


@dataclass(frozen=True)
class Row:
    """One budget and what was measured against it."""

    name: str
    budget: float
    figure: float
    unit: str
    remark: str = ""

    @property
    def kept(self) -> bool:
        """Whether the figure is within the budget; one that could not be measured is not."""
        return self.figure <= self.budget


def measure_start(folder: Path, args: argparse.Namespace) -> list[Row]:
    """The node's process from its start to its first window."""
    found = start.measure(_parameters(folder, args) | {"anchor_mesh": ""}, folder)
    parts = f"process {found.process:.1f}, configure {found.configuring:.1f} (of which torch {found.torch:.1f})"
    return [
        Row("start to the first window", 8.0, found.until_window, "CPU s", parts),
        Row("configure after torch", 3.0, found.configuring_after_torch, "CPU s",
            f"with torch {found.configuring_wall:.1f} s of the clock"),
    ]  # fmt: skip


def measure_callback(folder: Path, args: argparse.Namespace) -> list[Row]:
    """The image callback and, from another process, the services: while windows are computed."""
    pictures = [scene.draw_frame(number, 1080, 1920) for number in range(12)]
    messages = [
        (scene.image_message(image, 0), scene.image_message(mask * np.uint8(255), 0)) for image, mask in pictures
    ]
    durations: list[float] = []
    busy: list[float] = []
    with RunningNode(_parameters(folder, args)) as running:
        stop = threading.Event()

        def film() -> None:
            number, due = 0, time.monotonic()
            while not stop.is_set():
                image, mask = messages[number % len(messages)]
                stamp = (number + 1) * scene.STEP_NS
                running.session.inputs.mask.callback(scene.set_stamp(mask, stamp))
                started, worked = time.perf_counter(), time.thread_time()
                running.session.inputs.image.callback(scene.set_stamp(image, stamp))
                ended, rested = time.perf_counter(), time.thread_time()
                if running.session.streams.accounts().in_flight:
                    durations.append(ended - started)
                    busy.append(rested - worked)
                number, due = number + 1, due + 1 / 30
                time.sleep(max(0.0, due - time.monotonic()))

        camera = threading.Thread(target=film, daemon=True)
        camera.start()
        _wait(lambda: running.session.tracks[0].latest is not None, 300)
        durations.clear()
        busy.clear()
        client = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("clients.py")), "services"],
            env=running.environment, capture_output=True, text=True, timeout=280, check=False,
        )  # fmt: skip
        stop.set()
        camera.join(10)
        accounts = running.session.streams.accounts()
    if client.returncode:
        raise RuntimeError(f"the services could not be called: {client.stderr[-2000:]}")
    figures = f"median {1e3 * np.median(durations):.1f} ms, processor time p95 {1e3 * np.quantile(busy, 0.95):.1f} ms"
    remark = f"{len(durations)} images, {figures}, stride {accounts.stride}"
    rows = [Row("image callback 1920x1080 rgb8, p95", 5.0, 1e3 * float(np.quantile(durations, 0.95)), "ms", remark)]
    for name, seconds in json.loads(client.stdout).items():
        rows.append(Row(f"{name}, slowest answer", 200.0, 1e3 * max(seconds), "ms",
                        f"{len(seconds)} calls, median {1e3 * float(np.median(seconds)):.1f} ms"))  # fmt: skip
    return rows


def measure_outputs(folder: Path, args: argparse.Namespace) -> list[Row]:
    """What publishing one large window costs the worker, output by output."""
    result = _large_result()
    none = PublishConfig(**{item.name: False for item in dataclasses.fields(PublishConfig)})
    rows = []
    with RunningNode(_parameters(folder, args)) as running:
        outputs = running.session.outputs
        client = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("clients.py")), "listen"],
            env=running.environment, stdin=subprocess.PIPE,
        )  # fmt: skip
        try:
            for field, topic, budget in (
                ("mesh", "mesh", 5.0),
                ("tracks", "tracks", 10.0),
                ("markers", "markers", 100.0),
            ):
                wanted = dataclasses.replace(none, **{field: True})
                settings = NodeSettings(NodeConfig(publish=wanted, markers_rate_hz=1000.0))
                name = f"{running.node.get_fully_qualified_name()}/{topic}"
                _wait(lambda name=name: running.node.count_subscribers(name) > 0, 30)
                laps = []
                for number in range(25):
                    stamped = dataclasses.replace(result, stamps_ns=result.stamps_ns + number * 10**9)
                    started = time.perf_counter()
                    outputs.publish(stamped, CameraModel(), scene.FRAME_ID, settings)
                    laps.append(1e3 * (time.perf_counter() - started))
                    time.sleep(0.1)  # a window takes longer still
                remark = f"p95 {np.quantile(laps[5:], 0.95):.1f} ms"
                rows.append(
                    Row(f"~/{topic}, {FRAMES} x {VERTICES} vertices", budget, float(np.median(laps[5:])), "ms", remark)
                )
        finally:
            client.communicate(timeout=20)
    return rows


def measure_live(folder: Path, args: argparse.Namespace) -> list[Row]:
    """The live lane beside the windows that it goes on from, on pictures that can be followed."""
    pictures = [scene.draw_frame(number, 480, 640) for number in range(60)]
    messages = [
        (scene.image_message(image, 0), scene.image_message(mask * np.uint8(255), 0)) for image, mask in pictures
    ]
    with RunningNode(_parameters(folder, args) | PATIENT) as running:
        (lane,) = (thread for thread in threading.enumerate() if thread.name == "attnchain-live")
        assert lane.ident is not None
        clock = time.pthread_getcpuclockid(lane.ident)
        number, due = 0, time.monotonic()
        began = ends = 0.0
        worked = 0.0
        windows = 0
        while not ends or time.monotonic() < ends:
            image, mask = messages[number % len(messages)]
            stamp = (number + 1) * scene.STEP_NS
            running.session.inputs.mask.callback(scene.set_stamp(mask, stamp))
            running.session.inputs.image.callback(scene.set_stamp(image, stamp))
            number, due = number + 1, due + 1 / 30
            time.sleep(max(0.0, due - time.monotonic()))
            if not ends and running.session.live_figures.poses:
                began, worked = time.monotonic(), time.clock_gettime(clock)
                ends = began + args.seconds
                windows = running.session.statistics.snapshot(began).windows
            elif number > 30 * 300:
                raise TimeoutError("no live pose in 300 s: see the node's log")
        span = time.monotonic() - began
        share = (time.clock_gettime(clock) - worked) / span
        found, figures = running.session.live_figures, running.session.statistics.snapshot(time.monotonic())
    remark = (
        f"{found.poses} poses in {span:.0f} s beside {figures.windows - windows} windows (median "
        f"{figures.window_p50_s:.1f} s), {found.dropped} of {found.images} images dropped, "
        f"lost {found.lost}; load {os.getloadavg()[0]:.1f} on {cores()} cores"
    )
    name = "live lane 640x480"
    return [
        Row(f"{name}, image to transform, p95", 20.0, 1e3 * found.latency_p95_s, "ms", remark),
        Row(
            f"{name}, its thread's share of a core",
            1.0,
            share,
            "",
            f"{1e3 * share * span / max(1, found.poses):.1f} ms a pose",
        ),
    ]


def measure_window(folder: Path, args: argparse.Namespace) -> list[Row]:
    """The same window in the node and in the library, in turns."""
    parameters = _parameters(folder, args) | {"overflow_policy": "block", "max_gap_s": 0.0}
    with RunningNode(parameters) as running:
        settings = running.session.settings
        frames = settings.rollout.frames
        pictures = [scene.draw_frame(number, 256, 256) for number in range(frames)]
        stamps = np.arange(1, frames + 1, dtype=np.int64) * scene.STEP_NS
        messages = [(scene.image_message(image, int(stamp)), scene.image_message(mask * np.uint8(255), int(stamp)))
                    for (image, mask), stamp in zip(pictures, stamps, strict=True)]  # fmt: skip
        window = Window(np.stack([one for one, _ in pictures]), np.stack([one for _, one in pictures]), stamps)
        # An engine of its own, only to load what the node has loaded.
        library: Rollout = RolloutEngine(settings).rollout
        inside, outside = [], []
        for _ in range(args.windows + 1):
            library.reset()
            started = time.perf_counter()
            library.run(window)
            outside.append(time.perf_counter() - started)
            running.session.streams.reset("service")
            done = running.session.streams.accounts().used + frames
            for image, mask in messages:
                running.feed(image, mask)
            started = time.perf_counter()
            _wait(lambda done=done: running.session.streams.accounts().used >= done, 300, step_s=0.005)
            inside.append(time.perf_counter() - started)
    ratios = np.array(inside[1:]) / np.array(outside[1:])  # the first of each warms up
    seconds = f"medians {np.median(inside[1:]):.2f} s and {np.median(outside[1:]):.2f} s"
    remark = f"{len(ratios)} pairs, {seconds}, fastest of each {min(inside[1:]) / min(outside[1:]):.3f}"
    return [Row("window in the node / in the library", 1.05, float(np.median(ratios)), "", remark)]


def measure_camera(folder: Path, args: argparse.Namespace) -> list[Row]:
    """The node's process beside a camera's and busy ones."""
    width, height, rate_hz = parse_camera(args.camera)
    setting = beside_camera.Setting(
        width, height, rate_hz,
        reliable=not args.best_effort,
        load=cores() if args.load is None else args.load,
        rounds=args.rounds,
        seconds=args.seconds,
    )  # fmt: skip
    parameters = _parameters(folder, args) | PATIENT | dict(parse_parameter(text) for text in args.param)
    if args.threads:
        parameters["threads"] = args.threads
    if args.profile:
        os.environ.update(profile_environment())
    found = beside_camera.measure(setting, parameters, folder)
    quiet, rows = found["quiet"], []
    budgets = {"camera": 1.5, "load": 3.0}
    names = {"camera": f"beside a camera of {args.camera}", "load": f"and {setting.load} busy processes"}
    describe = beside_camera.describe
    for name, one in found.items():
        sys.stdout.write(
            f"{name}: {len(one.all_windows())} windows in {one.span_s:.0f} s (median / p95 / most): "
            f"a window {describe(one.all_windows())}; its mesh after its last image {describe(one.delays)}; "
            f"age of TF {describe(one.tf_ages)}, first after {describe(one.first_tf)}; "
            f"services {describe(one.services, 'ms')}; stride {max(one.stride, default=0)}; "
            f"{one.received} of {one.published} images came, {one.late} were sent late, {one.refused} refused\n"
        )
        if name in budgets:
            title = names[name]
            remark = (
                f"medians {np.median(one.all_windows() or [np.nan]):.2f} s and {np.median(quiet.all_windows()):.2f} s"
            )
            rows.append(Row(f"window {title} / quiet", budgets[name], beside_camera.ratio(one, quiet), "", remark))
            rows.append(Row(f"image callback {title}, p95", 5.0, 1e3 * max(one.callbacks), "ms"))
            slow = 1e3 * float(np.quantile(one.services, 0.95)) if one.services else float("nan")
            rows.append(Row(f"services {title}, p95", 200.0, slow, "ms", f"{len(one.services)} calls"))
            if not parameters.get("live", True):
                continue
            whole = describe(one.live_delays, "ms")
            whole = f"{len(one.live_delays)} poses, from the camera's process to another {whole}"
            live = 1e3 * max(one.live, default=float("nan"))
            rows.append(Row(f"live lane {title}, image to transform, p95", 20.0, live, "ms", whole))
    return rows


def parse_camera(text: str) -> tuple[int, int, float]:
    """Width and height in pixels and images per second.

    >>> parse_camera("1280x720@30")
    (1280, 720, 30.0)
    """
    found = re.fullmatch(r"(\d+)x(\d+)@(\d+(?:\.\d+)?)", text)
    if found is None or not all(float(part) > 0 for part in found.groups()):
        raise SystemExit(f"--camera is {text!r}, wanted WIDTHxHEIGHT@HZ such as 1280x720@30")
    return int(found[1]), int(found[2]), float(found[3])


def parse_parameter(text: str) -> tuple[str, Any]:
    """A parameter of the node given as NAME:=VALUE; the value is YAML."""
    name, between, value = text.partition(":=")
    if not between:
        raise SystemExit(f"--param is {text!r}, wanted NAME:=VALUE such as threads:=1")
    return name, yaml.safe_load(value)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _parameters(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    return {
        "anchor_mesh": str(scene.write_anchor(folder / "anchor.ply")),
        "output_dir": str(folder / "out"),
        "device": args.device,
        "weights": str(args.weights or ""),
        "watchdog_s": 0.0,
    }


def _large_result() -> WindowResult:
    """A window of FRAMES x VERTICES with TRACKS tracks."""
    rng = np.random.default_rng(0)
    across, around = np.meshgrid(np.arange(ACROSS), np.arange(AROUND))  # a torus of ACROSS * AROUND vertices
    turn, tube = 2 * np.pi * across / ACROSS, 2 * np.pi * around / AROUND
    ring = 0.7 + 0.25 * np.cos(tube)
    points = np.stack([ring * np.cos(turn), 0.25 * np.sin(tube), ring * np.sin(turn)], axis=-1).reshape(-1, 3)
    number = (around * ACROSS + across).ravel()
    right = (around * ACROSS + (across + 1) % ACROSS).ravel()
    below, beside = (number + ACROSS) % VERTICES, (right + ACROSS) % VERTICES
    faces = np.concatenate([np.stack([number, below, right], 1), np.stack([right, below, beside], 1)]).astype(np.int32)
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    poses[:, 2, 3] = 3.0
    places = rng.normal(size=(FRAMES, TRACKS, 3)).astype(np.float32)
    return WindowResult(
        index=1, topology_id=0, stamps_ns=np.arange(1, FRAMES + 1, dtype=np.int64) * scene.STEP_NS, shared_first=False,
        vertices=np.repeat(points[None].astype(np.float32), FRAMES, axis=0), faces=faces,
        vertex_colors=rng.integers(0, 256, (len(points), 3)).astype(np.uint8),
        confidence=np.ones(FRAMES, np.float32), landmark_vertices=np.arange(10), landmarks=places[:, :10],
        landmark_valid=np.ones((FRAMES, 10), bool),
        tracks=PointTracks(
            ids=np.arange(TRACKS), points_px=places[..., :2], points_object=places, points_camera=places + 3,
            visible=np.ones((FRAMES, TRACKS), bool), confidence=np.ones((FRAMES, TRACKS), np.float32),
            colors=np.zeros((TRACKS, 3), np.uint8), face=np.zeros(TRACKS, np.int32),
            barycentric=np.zeros((TRACKS, 3), np.float32),
        ),
        camera=CameraTrack(np.eye(3), True, poses, np.ones(FRAMES, bool), np.full(FRAMES, 50, np.int32),
                           np.ones(FRAMES, np.float32)),
        scale=1.0, metric=False, silhouette_iou=1.0,
    )  # fmt: skip


def _wait(condition: Any, timeout_s: float, step_s: float = 0.02) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {timeout_s:g} s in vain: see the node's log")
        time.sleep(step_s)


def print_table(rows: list[Row]) -> None:
    """Name, budget, figure, verdict, remark."""
    width = max(len(row.name) for row in rows)
    for row in rows:
        verdict = "pass" if row.kept else "FAIL"
        budget, figure = f"{row.budget:g} {row.unit}", f"{row.figure:.3g} {row.unit}"
        sys.stdout.write(f"{row.name:<{width}}  {budget:>8}  {figure:>9}  {verdict}  {row.remark}\n")


def main() -> int:
    """Measure and print; 1 when a budget is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, action="append", help="only this part (callback: services too)")
    parser.add_argument("--windows", type=int, default=5, help="pairs of windows compared (default 5)")
    parser.add_argument("--weights", type=Path, help="checkpoint folder (default: the package's small one)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="torch threads (default: all cores)")
    parser.add_argument("--camera", metavar="WxH@HZ", help="only part camera: beside a camera of this size and rate")
    parser.add_argument("--best-effort", action="store_true", help="the camera offers best-effort delivery")
    parser.add_argument("--profile", action="store_true", help="camera and node use config/fastdds.xml")
    parser.add_argument("--load", type=int, metavar="N", help="busy processes beside it (default: one a core)")
    parser.add_argument("--rounds", type=int, default=2, help="how often part camera is gone through (default 2)")
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="of each situation in a round, and of part live (default 30)"
    )
    parser.add_argument("--param", action="append", default=[], metavar="NAME:=VALUE", help="a parameter of the node")
    args = parser.parse_args()
    if "camera" in (args.only or ()) and args.camera is None:
        parser.error("part camera needs --camera, such as 1280x720@30")
    if args.threads:
        torch.set_num_threads(args.threads)
    measure = {
        "start": measure_start, "callback": measure_callback, "outputs": measure_outputs, "live": measure_live,
        "window": measure_window, "camera": measure_camera,
    }  # fmt: skip
    parts = args.only or (("camera",) if args.camera else PARTS[:-1])
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for part in parts:
            rows += measure[part](Path(folder), args)
    print_table(rows)
    return 0 if all(row.kept for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
