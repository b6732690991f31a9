"""Runs the demonstration: both runs, files, table, summary."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from ... import __version__
from ...errors import AttnChainError, ConfigError
from ...node.profiles import profile_environment
from ..synthetic import CAMERAS
from .processes import Child, free_domain, isolated_environment

if TYPE_CHECKING:
    from ..synthetic import Clip
    from ..table import Figures
    from .recorder import Recorder, Recording

_STRAGGLERS_S = 5.0
_OBJECT_FRAME = "object_1"
_TITLES = {"given": "anchor mesh given", "image": "from the first image alone"}


class _Incomplete(AttnChainError):
    """Something did not come."""


@dataclass(frozen=True)
class _Heard:
    """One run: what was recorded and how long it took.

    Attributes:
        recording: everything heard.
        seconds: from one window's mesh to the next, the first from the start of the node.
    """

    recording: Recording
    seconds: tuple[float, ...]


class _Lines:
    """Progress lines with the time since the start."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def say(self, text: str) -> None:
        """One line."""
        sys.stdout.write(f"[{time.monotonic() - self._started:5.1f} s] {text}\n")
        sys.stdout.flush()


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        ConfigError: an argument cannot be used.
    """
    parser = argparse.ArgumentParser(
        prog="python -m attnchain_ros.lab.demo",
        description="Animate a synthetic clip that was never trained on, over real ROS topics, and measure the result.",
    )
    add_arguments(parser)
    args = parser.parse_args(words)
    check_arguments(args)
    return args


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--out", type=Path, default=Path("demo_output"), help="folder for the results (default demo_output)"
    )
    parser.add_argument(
        "--bag", type=Path, default=None, metavar="DIR",
        help="do not run anything: leave the clip as a small MCAP bag (image, mask, camera_info, depth, TF)",
    )  # fmt: skip
    parser.add_argument("--objects", type=int, choices=(1, 2), default=1, help="with --bag: in one picture")
    parser.add_argument("--camera", choices=CAMERAS, default="static", help="with --bag: how the camera moves")
    parser.add_argument("--frames", type=int, default=61, help="frames of the clip (default 61: four windows of 16)")
    parser.add_argument("--seed-index", type=int, default=0, help="which held-out clip (default 0)")
    parser.add_argument(
        "--anchor", choices=("given", "image", "both"), default="both", help="which runs (default both)"
    )
    parser.add_argument("--rate", type=float, default=15.0, help="images per second (default 15)")
    parser.add_argument(
        "--weights", type=Path, default=None, help="checkpoint folder; the small one of the package without"
    )
    parser.add_argument(
        "--param", action="append", default=[], metavar="NAME:=VALUE", help="a parameter of the node; may be repeated"
    )
    parser.add_argument(
        "--timeout", type=float, default=300.0, help="longest wait for a window in seconds (default 300)"
    )


def check_arguments(args: argparse.Namespace) -> None:
    """Check what can be checked before anything is started.

    Raises:
        ConfigError: an argument cannot be used.
    """
    for name, least in (("frames", 2), ("seed_index", 0)):
        if getattr(args, name) < least:
            raise ConfigError(f"--{name.replace('_', '-')} is {getattr(args, name)}, must be at least {least}")
    for name, most in (("rate", 1000.0), ("timeout", 1e6)):
        if not 0 < getattr(args, name) <= most:
            raise ConfigError(f"--{name} is {getattr(args, name)}, must be above 0 and at most {most:g}")
    if args.weights is not None and not args.weights.is_dir():
        raise ConfigError(f"--weights {args.weights} is no folder")
    for text in args.param:
        if ":=" not in text:
            raise ConfigError(f"--param {text!r}: wanted NAME:=VALUE, such as sampling.steps:=8")
    if args.out.exists() and not args.out.is_dir():
        raise ConfigError(f"--out {args.out} is a file, wanted a folder")
    if args.bag is not None and args.bag.exists():
        raise ConfigError(f"--bag {args.bag} exists already: choose another name or remove it first")
    if args.bag is None and args.camera != "static":
        raise ConfigError(f"--camera {args.camera} is for --bag")
    if args.objects > 1 and (args.bag is None or args.camera != "static"):
        raise ConfigError(f"--objects {args.objects} is for --bag with a camera that stands still")


def main(words: Sequence[str] | None = None) -> int:
    """Run the demonstration.

    Returns:
        0 if every frame came on every topic and everything was written, 1 if not, 2 for arguments that cannot be used,
        130 after Ctrl-C.
    """
    try:
        args = parse_arguments(words)
    except ConfigError as error:
        sys.stderr.write(f"demo: {error}\n")
        return 2
    return run(args)


def run(args: argparse.Namespace) -> int:
    """The demonstration with checked arguments; see ``main``."""
    # The default of SIGTERM would leave the other processes behind.
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _show(args)
    except KeyboardInterrupt:
        sys.stderr.write("demo: interrupted\n")
        return 130
    except AttnChainError as error:
        sys.stderr.write(f"demo: {error}\n")
        return 1
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _show(args: argparse.Namespace) -> int:
    lines = _Lines()
    if args.bag is not None:
        return _leave_bag(args, lines)
    try:
        import rclpy  # noqa: F401
    except ImportError as error:
        raise AttnChainError(
            f"the demonstration needs ROS 2 ({error}): source a distribution in which this package is built, or run it "
            "with bash scripts/demo"
        ) from error
    out: Path = args.out
    out.mkdir(parents=True, exist_ok=True)
    domain = free_domain(random.Random())
    os.environ.update(isolated_environment(domain) | profile_environment())
    lines.say(f"clip synthetic:{args.seed_index} (never trained on), {args.frames} frames, ROS domain {domain}")
    anchors: tuple[str, ...] = ("given", "image") if args.anchor == "both" else (args.anchor,)
    runs: dict[str, _Heard] = {}
    faults: list[str] = []
    for anchor in anchors:
        heard = _listen(args, anchor, domain, lines)
        found = _check(heard.recording, args.frames)
        faults += [f"{_TITLES[anchor]}: {fault}" for fault in found]
        if not found:
            runs[anchor] = heard
            lines.say(f"{_TITLES[anchor]}: all {args.frames} frames came on mesh, tracks, poses and TF")
    _measure(args, runs, lines)
    for fault in faults:
        sys.stderr.write(f"demo: {fault}\n")
    return 1 if faults else 0


def _leave_bag(args: argparse.Namespace, lines: _Lines) -> int:
    """The clip as a bag, without ROS."""
    from .bag import ANCHOR, OWN_ANCHOR, write_demo_bag, write_two_objects
    from .clip import demo_clip

    folder: Path = args.bag
    if args.objects == 2:
        clips = demo_clip(args.seed_index, args.frames), demo_clip(args.seed_index + 1, args.frames)
        write_two_objects(folder, clips, args.rate)
        lines.say(f"{folder}: {args.frames} frames of two objects, ids 1 and 2 in the mask, meshes {OWN_ANCHOR}")
        anchors = folder / OWN_ANCHOR
        text = [
            "Try:",
            f"  attnchain replay {folder} --instance all --anchor '{anchors}' --out out/",
            f"  ros2 launch attnchain_ros replay.launch.py bag:={folder} max_objects:=2",
        ]
        sys.stdout.write("\n".join(text) + "\n")
        return 0
    write_demo_bag(folder, demo_clip(args.seed_index, args.frames, args.camera), args.rate)
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    lines.say(
        f"{folder}: {args.frames} frames of synthetic:{args.seed_index}, {size:.1f} MB; the mesh is {ANCHOR} in it"
    )
    text = ["Try:", f"  attnchain replay {folder} --anchor {folder / ANCHOR} --out out/"]
    text += [f"  ros2 bag play {folder}      (topics /image /mask /camera_info /depth /tf)"]
    sys.stdout.write("\n".join(text) + "\n")
    return 0


def _check(recording: Recording, frames: int) -> list[str]:
    from .results import missing_parts

    return missing_parts(recording, frames)


def _listen(args: argparse.Namespace, anchor: str, domain: int, lines: _Lines) -> _Heard:
    """Start the node and the camera, and record until the last frame's mesh came."""
    folder: Path = args.out / anchor
    folder.mkdir(parents=True, exist_ok=True)
    environment = isolated_environment(domain)
    namespace = f"/demo_{anchor}"
    parameters = {
        "weights": "" if args.weights is None else str(args.weights.resolve()),
        # The clip is shorter than this, so that the camera never waits and no frame is dropped.
        "overflow_policy": "block",
        "queue_size": str(max(64, args.frames + 16)),
    }
    if anchor == "given":
        parameters["anchor_mesh"] = str(_write_anchor(args).resolve())
    words = ["--ros-args", "-r", f"__ns:={namespace}"]
    for name, value in parameters.items():
        words += ["-p", f"{name}:='{value}'" if name in ("weights", "anchor_mesh") else f"{name}:={value}"]
    for text in args.param:
        words += ["-p", text]
    camera_words = [str(args.seed_index), str(args.frames), str(args.rate), namespace]
    started = time.monotonic()
    with Child("node", "attnchain_ros.node.main", words, environment, folder / "node.log") as node:
        lines.say(f"{_TITLES[anchor]}: node started (process {node.pid})")
        # Here and not above: while the node loads its own modules, these cost no time.
        from .recorder import Recorder

        began = time.monotonic()
        with (
            Recorder(namespace, domain, _OBJECT_FRAME) as recorder,
            # It waits by itself until the node listens.
            Child(
                "camera", "attnchain_ros.lab.demo.camera", camera_words, environment, folder / "camera.log"
            ) as camera,
        ):
            windows = 0
            while not _finished(recorder.recording, args.frames):
                came = _wait(recorder, windows, args.timeout, (node, camera))
                for number in range(windows, came):
                    came_s = recorder.recording.arrived_s[number] + began - started
                    text = f"window {number + 1} came {came_s:.1f} s after the node was started"
                    lines.say(f"{_TITLES[anchor]}: {text}")
                windows = came
            recorder.wait(lambda heard: not _check(heard, args.frames), _STRAGGLERS_S)
            arrived = [0.0, *(moment + began - started for moment in recorder.recording.arrived_s)]
            seconds = tuple(later - earlier for earlier, later in itertools.pairwise(arrived))
            return _Heard(recorder.recording, seconds)


def _finished(recording: Recording, frames: int) -> bool:
    """Whether the mesh of the last frame came."""
    from .recorder import stamp_ns

    if len(recording.intrinsics) < frames or not recording.meshes:
        return False
    return stamp_ns(recording.meshes[max(recording.meshes)].stamps[-1]) == max(recording.intrinsics)


def _wait(recorder: Recorder, windows: int, timeout: float, children: tuple[Child, ...]) -> int:
    """Wait for another window; returns how many came so far.

    Raises:
        _Incomplete: it did not come in time, or a process ended with an error; the message has the end of its log.
    """
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        if recorder.wait(lambda heard: len(heard.arrived_s) > windows, 0.5):
            return len(recorder.recording.arrived_s)
        for child in children:
            if child.status not in (None, 0):
                raise _Incomplete(f"the {child.name} ended with status {child.status}:\n{child.last_lines()}")
    logs = "\n".join(f"--- {child.name}\n{child.last_lines()}" for child in children)
    raise _Incomplete(f"window {windows + 1} did not come within {timeout:g} s\n{logs}")


def _write_anchor(args: argparse.Namespace) -> Path:
    """The true mesh of the first frame as a file for the node."""
    from ...files.meshes import write_mesh
    from ..evaluation.anchors import clip_mesh
    from .clip import demo_clip

    path: Path = args.out / "given" / "anchor.glb"
    write_mesh(path, clip_mesh(demo_clip(args.seed_index, 1)))
    return path


def _measure(args: argparse.Namespace, runs: dict[str, _Heard], lines: _Lines) -> None:
    """Write the files of every complete run, and the table."""
    from ...backbone import default_weights
    from ...backbone.backbone import checksum
    from ...files.atomic import write_bytes
    from ..report import LENGTHS, Section, figure_lines, write_report
    from .clip import demo_clip

    if not runs:
        return
    weights = default_weights() if args.weights is None else args.weights
    checkpoint = f"{weights.name} ({checksum(weights)})"
    clip = demo_clip(args.seed_index, args.frames)
    found: dict[str, Figures] = {}
    for anchor, heard in runs.items():
        lines.say(f"{_TITLES[anchor]}: writing animation and contact sheet, measuring")
        found[anchor] = _write_run(args, anchor, heard, clip, checkpoint)
    identity = {
        "attnchain_ros": __version__,
        "checkpoint": checkpoint,
        "clip": f"synthetic:{args.seed_index} (split test, seed {clip.seed}), {args.frames} frames",
        "received": "over ROS topics, every frame of every window",
        "node parameters": ", ".join(args.param) or "defaults",
    }
    shown = figure_lines({_TITLES[anchor]: figures for anchor, figures in found.items()})
    write_report(args.out / "errors.md", "Errors against the truth", identity, LENGTHS, [Section("Figures", shown)])
    data = json.dumps({"identity": identity, "figures": found}, indent=2, allow_nan=False)
    write_bytes(args.out / "errors.json", data.encode() + b"\n")
    lines.say("done")
    _summarise(args.out, found)


def _write_run(args: argparse.Namespace, anchor: str, heard: _Heard, clip: Clip, checkpoint: str) -> Figures:
    from ...files.results import ResultOptions, ResultWriter
    from ..evaluation.alignment import apply_similarity, fit_similarity
    from ..evaluation.motion import clip_motion, join_windows
    from ..evaluation.scores import score_motion
    from .results import window_results

    # The first one's time is the node's start, not a window's.
    results = [
        replace(result, timings_s={"from window to window": seconds} if number else {})
        for number, (result, seconds) in enumerate(zip(window_results(heard.recording), heard.seconds, strict=True))
    ]
    folder = args.out / anchor
    options = ResultOptions(
        source=f"synthetic:{args.seed_index}",
        anchor=str(folder / "anchor.glb") if anchor == "given" else "first image",
        checkpoint=checkpoint,
    )
    with ResultWriter(folder, options) as writer:
        start = 0
        for result in results:
            rows = slice(start, start + result.frames)
            writer.add(result, clip.images[rows], clip.masks[rows])
            start += result.frames - 1
        writer.finish()
    found, truth = join_windows(results), clip_motion(clip)
    similarity = None
    if anchor == "given":
        # The node centres and scales the mesh it is given; its first frame is that very mesh.
        similarity = fit_similarity(found.vertices[0], truth.vertices[0])
        off = float(abs(apply_similarity(similarity, found.vertices[0]) - truth.vertices[0]).max())
        if off > 1e-3:
            raise _Incomplete(f"the first frame is not the mesh that was given: a vertex is {off:.3g} away from it")
    seconds = heard.seconds[1:] or heard.seconds
    figures = score_motion(found, truth, similarity, anchor == "given")
    return {**figures, "window_seconds": sum(seconds) / len(seconds)}


def _summarise(out: Path, found: dict[str, Figures]) -> None:
    """A short text for whoever started it."""
    text = ["", "Mean distance from the truth of surface points that moved, at the last frame (object units):"]
    for anchor, figures in found.items():
        moved, still = figures["last_moved"], figures["still_last_moved"]
        if moved is None or still is None:
            text.append(f"  {_TITLES[anchor]}: no point moved")
            continue
        text.append(
            f"  {_TITLES[anchor]:<28s} {moved:.3f}, a mesh that stays still {still:.3f} (ratio {moved / still:.2f})"
        )
    text += ["", f"Tables:          {out / 'errors.md'}, {out / 'errors.json'}"]
    for anchor in found:
        folder = out / anchor
        text.append(f"{_TITLES[anchor].capitalize()}:")
        text.append(f"  animation      {folder / 'animation.glb'}   (Blender, or any glTF viewer)")
        text.append(f"  contact sheet  {folder / 'contact_sheet.png'}")
    sys.stdout.write("\n".join(text) + "\n")
