"""Run many windows through the real node and look at its memory: ``python benchmarks/soak.py [--windows 200]``.

The whole path: image and mask callbacks, frame buffer, worker, the real pipeline and every publisher with a subscriber,
with the small checkpoint and the environment that the node makes for itself, once in each precision (``--dtype``), each
in a process of its own. ``--tiny`` takes a random checkpoint of a few thousand weights and small grids instead, so that
a window takes a fraction of a second (1,000 windows then). Every fifty windows the stamps jump back, a parameter
changes, the chain is reset, or a mesh is saved. ``--objects 2`` puts two objects with ids into the picture, each of
which goes away for a while and comes again; ``--minutes`` runs for a time instead of a number of windows. Prints one
JSON line each with the resident memory at the start (after five windows), after each tenth and at the end; the exit
status is 1 if it grew by more than ``--limit`` MB over the second half, or a frame is not accounted for.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
import scene
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Path as PathMessage
from rclpy.parameter import Parameter
from running_node import RunningNode
from sensor_msgs.msg import PointCloud2
from visualization_msgs.msg import MarkerArray

from attnchain_ros.msg import AnimatedMesh, Tracks
from attnchain_ros.node.statistics import memory_mb
from attnchain_ros.srv import SaveMesh
from attnchain_ros.threads import prepare

EVENT_EVERY = 50
DTYPES = ("float32", "bfloat16")
SIZE = (48, 64)
PERIOD = 480
"""Frames after which the comings and goings of two objects begin anew."""
QUICK = {
    "sampling.steps": 1, "surface.grid": 16, "surface.coarse_grid": 8, "surface.n_surface": 128,
    "surface.candidate_grid": 16, "encode_points": 128, "animation.landmarks": 16, "tracks.max_queries": 20,
    "camera.iterations": 20, "reinforce.mode": "off",
}  # fmt: skip


@dataclass(frozen=True)
class Report:
    """What a soak found; memory in MB of resident set after a garbage collection, ``curve_mb`` after each tenth.

    ``objects``: admitted, retired, turned away; ``windows_seen``: by object, while it was there to be asked.
    """

    dtype: str
    windows: int
    failed: int
    resets: int
    seconds: float
    start_mb: float
    curve_mb: list[float]
    half_mb: float
    end_mb: float
    frames_in: int
    frames_used: int
    frames_dropped: dict[str, int]
    unaccounted: int
    threads_left: int
    objects: dict[str, int] = field(default_factory=dict)
    windows_seen: dict[int, int] = field(default_factory=dict)

    @property
    def growth_mb(self) -> float:
        """Over the second half of the windows: before, caches fill (about 15 MB in the first 300 windows)."""
        return self.end_mb - self.half_mb


@dataclass(frozen=True)
class Length:
    """How long a soak lasts: ``windows``, or ``minutes`` where that is not 0."""

    windows: int
    minutes: float = 0.0

    def tenths(self, windows: int, seconds: float) -> int:
        """How many tenths are over."""
        return int(10 * (seconds / (60 * self.minutes) if self.minutes else windows / self.windows))


def frames_of(objects: int) -> list[tuple[Any, Any]]:
    """Messages of images and masks, periodic; two objects stand side by side, and each is away at times of its own."""
    pictures = [scene.draw_frame(number, *SIZE) for number in range(60)]
    if objects == 1:
        return [
            (scene.image_message(image, 0), scene.image_message(mask * np.uint8(255), 0)) for image, mask in pictures
        ]
    found = []
    for number in range(PERIOD):
        (image, mask), (other, others) = pictures[number % 60], pictures[(number + 30) % 60]
        # Each is away once for longer than max_missing_s, and object 1 once for six frames.
        here = mask & (not (24 <= number < 64 or 400 <= number < 406)), others & (not 300 <= number < 360)
        ids = np.concatenate([here[0] * np.uint8(1), here[1] * np.uint8(2)], axis=1)
        found.append((scene.image_message(np.concatenate([image, other], axis=1), 0), scene.image_message(ids, 0)))
    return found


def soak(length: Length, weights: Path | None, folder: Path, settings: dict[str, Any], objects: int = 1) -> Report:
    """Run a node for so long.

    Args:
        length: at least 10 windows.
        weights: checkpoint folder, None = the package's small one.
        folder: for the anchor mesh and saved meshes.
        settings: parameters, such as QUICK.
        objects: in the picture.
    """
    parameters = {
        "weights": str(weights or ""),
        "device": "cpu",
        "anchor_mesh": str(scene.write_anchor(folder / "anchor.ply", subdivisions=2)),
        "output_dir": str(folder / "out"),
        "overflow_policy": "block",
        "path_length": 100,
        "markers_rate_hz": 1000.0,
        "max_objects": objects,
        **({"max_missing_s": 1.0, "max_gap_s": 0.5} if objects > 1 else {}),
        **settings,
    }
    messages = frames_of(objects)
    empty = scene.image_message(np.zeros((SIZE[0], objects * SIZE[1]), np.uint8), 0)
    started = time.monotonic()
    with RunningNode(parameters) as running:
        listener = rclpy.create_node("listener")
        running.executor.add_node(listener)
        outputs = ((AnimatedMesh, "mesh"), (Tracks, "tracks_window"), (PointCloud2, "tracks"), (MarkerArray, "markers"),
                   (PoseWithCovarianceStamped, "camera_pose"), (PathMessage, "camera_path"))  # fmt: skip
        for kind, name in outputs:
            listener.create_subscription(kind, f"{running.node.get_fully_qualified_name()}/{name}", _ignore, 10)
        session = running.session
        start_mb: float | None = None
        curve_mb: list[float] = []
        stamp = number = 0
        done = events = 0
        by_object: Counter[int] = Counter()
        seen: dict[int, int] = {}
        while len(curve_mb) < 10:
            image, mask = messages[number % len(messages)]
            stamp, number = stamp + scene.STEP_NS, number + 1
            running.session.inputs.mask.callback(scene.set_stamp(mask, stamp))
            running.session.inputs.image.callback(scene.set_stamp(image, stamp))
            done = session.statistics.snapshot(0.0).windows
            if start_mb is None and done >= 5:
                start_mb = _resident()
            for track in session.tracks:
                if track.windows > seen.get(track.member.number, 0):
                    by_object[track.object_id] += track.windows - seen.get(track.member.number, 0)
                    seen[track.member.number] = track.windows
            if length.tenths(done, time.monotonic() - started) > len(curve_mb):
                curve_mb.append(round(_resident(), 1))
                sys.stderr.write(f"{done} windows: {curve_mb[-1]} MB resident\n")
            if done >= (events + 1) * EVENT_EVERY:
                events += 1
                stamp = _make_trouble(running, events, empty, stamp)
        end_mb = _resident()
        found = session.statistics.snapshot(0.0)
        listener.destroy_node()
    accounts = session.streams.accounts()
    dropped = sum(accounts.dropped.values())
    return Report(
        dtype=str(session.settings.node.dtype),
        windows=found.windows,
        failed=found.failed_windows,
        resets=sum(accounts.resets.values()),
        seconds=round(time.monotonic() - started, 1),
        start_mb=round(start_mb or float("nan"), 1),
        curve_mb=curve_mb,
        half_mb=curve_mb[4],
        end_mb=round(end_mb, 1),
        frames_in=accounts.received,
        frames_used=accounts.used,
        frames_dropped=accounts.dropped,
        unaccounted=accounts.received - accounts.used - dropped - accounts.in_flight - accounts.waiting,
        threads_left=running.threads_left(),
        objects=session.streams.counts(),
        windows_seen=dict(by_object),
    )


def _make_trouble(running: RunningNode, events: int, empty: Any, stamp: int) -> int:
    """One of the things that happen to a node; returns the stamp to go on from."""
    kind = events % 4
    if kind == 0:
        return 0  # a bag that starts again
    if kind == 1:
        running.node.set_parameters([Parameter("tracks.visibility_margin", value=0.02 + 0.001 * events)])
    elif kind == 2:
        running.session.streams.reset("service")
    else:
        # An image whose mask is empty is dropped and told; then the mesh so far is written.
        running.session.inputs.mask.callback(scene.set_stamp(empty, stamp + scene.STEP_NS // 2))
        running.node._on_save_mesh(SaveMesh.Request(path="soak.glb", overwrite=True), SaveMesh.Response())
    return stamp


def _resident() -> float:
    gc.collect()
    # glibc keeps freed memory for each thread: what it could give back is not a leak.
    ctypes.CDLL(None).malloc_trim(0)
    return memory_mb()["resident"]


def _ignore(message: Any) -> None:
    """Taking messages is enough."""


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, choices=(1, 2), default=1, help="in the picture (default 1)")
    parser.add_argument("--minutes", type=float, default=0.0, help="run for so long instead")
    parser.add_argument("--windows", type=int, help="how many (default 200, with --tiny 1000)")
    parser.add_argument("--weights", type=Path, help="checkpoint folder (default: the package's small one)")
    parser.add_argument("--tiny", action="store_true", help="a tiny random checkpoint and small grids")
    parser.add_argument("--dtype", choices=DTYPES, help="only this precision (default: one after the other)")
    parser.add_argument("--limit", type=float, default=5.0, help="MB of growth over the second half (default 5)")
    args = parser.parse_args()
    if args.dtype is None:
        # A process each: the first one's caches would hide how the second one's grow.
        again = [sys.executable, *sys.argv]
        return max(subprocess.run([*again, "--dtype", dtype], check=False).returncode for dtype in DTYPES)
    # As the node does; here the tiny checkpoint's maker loads torch before it.
    prepare()
    windows = args.windows or (1000 if args.tiny else 200)
    settings: dict[str, Any] = {"dtype": args.dtype, **(QUICK if args.tiny else {})}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = args.weights
        if args.tiny:
            sys.path.insert(0, str(Path(__file__).parents[1] / "test"))
            from tiny import write_tiny_checkpoint

            weights = write_tiny_checkpoint(folder / "tiny")
        report = soak(Length(windows, args.minutes), weights, folder, settings, args.objects)
    sys.stdout.write(json.dumps(asdict(report)) + "\n")
    return 1 if report.growth_mb > args.limit or report.unaccounted or report.threads_left else 0


if __name__ == "__main__":
    sys.exit(main())
