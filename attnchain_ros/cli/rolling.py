"""What ``run`` and ``replay`` share: their options, and windows from a clip through the rollout into files."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from ..config import RolloutConfig, replace
from ..errors import AttnChainError, Cancelled, ConfigError
from ..files.meshes import read_mesh
from ..files.results import ResultOptions, ResultWriter, counted
from ..notes import Note
from ..stream.config import StreamConfig
from ..stream.source import FrameSource
from .arguments import add_network_arguments, check_output, describe_settings, parse_intrinsics, parse_settings
from .main import INTERRUPTED, OK

if TYPE_CHECKING:
    from ..backbone import Backbone
    from ..rollout import Rollout
    from ..rollout.window import WindowResult
    from ..stream.standing import FixedFrame
    from ..stream.windows import ClipWindow

OnResult = Callable[["ClipWindow", "WindowResult"], None]


def add_rollout_arguments(parser: argparse.ArgumentParser) -> None:
    """Where results go, what computes them, and the options of the method."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    add_network_arguments(parser)
    parser.add_argument(
        "--anchor", type=Path, metavar="MESH",
        help="mesh of the object in frame 0 (glb, ply, obj); with --instance all {id} in its name is the object's",
    )  # fmt: skip
    parser.add_argument("--intrinsics", metavar="FX,FY,CX,CY", help="camera in pixels (default: the bag's, or assumed)")
    parser.add_argument(
        "--fixed-frame", metavar="FRAME",
        help="frame of the bag's TF that stands still, such as odom: the object's pose and tracks are given in it too",
    )  # fmt: skip
    parser.add_argument("--max-windows", type=int, metavar="N", help="stop after N windows")
    parser.add_argument("--per-frame-meshes", action="store_true", help="also write meshes/frame_00000.ply and so on")


def fixed_frame_of(args: argparse.Namespace) -> FixedFrame | None:
    """What ``--fixed-frame`` asks for.

    Raises:
        ConfigError: the clip is no bag.   FileFormatError: its TF does not hold the frame.
    """
    if args.fixed_frame is None:
        return None
    from ..files.bag_frames import read_frames
    from ..stream.standing import FixedFrame

    return FixedFrame(args.fixed_frame, read_frames(_place(args), args.fixed_frame))


def _place(args: argparse.Namespace) -> Path:
    return Path(args.input) if hasattr(args, "input") else Path(args.bag)


def check_rollout_arguments(args: argparse.Namespace) -> None:
    """Check what can be checked before the networks are loaded."""
    if args.fixed_frame is not None:
        from ..files.bag_frames import check_has_frames

        check_has_frames(_place(args))
    check_output(args.out, _place(args))
    if args.max_windows is not None and args.max_windows < 1:
        raise ConfigError(f"--max-windows is {args.max_windows}, the least is 1")
    parse_intrinsics(args.intrinsics)
    replace(RolloutConfig(), parse_settings(args.settings)).readout.check_mesh(args.anchor is not None)


@dataclass(frozen=True)
class Clip:
    """What is run: a clip, how its frames become windows, and what tells where the camera stood."""

    source: FrameSource
    config: StreamConfig
    fixed: FixedFrame | None = None


@dataclass(frozen=True)
class Outcome:
    """How a run with at least one finished window, or stopped before its first, ended.

    Attributes:
        interrupted: stopped by Ctrl-C.
        failure: what ended it early; the windows before were written.
        folders: with results, one a chain.
    """

    interrupted: bool = False
    failure: AttnChainError | None = None
    folders: tuple[Path, ...] = ()

    def exit_code(self) -> int:
        """0, or 130 after Ctrl-C; raises the failure if there was one."""
        if self.failure is not None:
            raise self.failure
        return INTERRUPTED if self.interrupted else OK


@dataclass(frozen=True)
class Networks:
    """What computes, loaded once for all objects, and its options.

    Attributes:
        backbone: the networks.
        config: options in force.
        changes: those that were given.
    """

    backbone: Backbone
    config: RolloutConfig
    changes: dict[str, Any]


def load_networks(args: argparse.Namespace) -> Networks:
    """The networks and options of ``add_rollout_arguments``."""
    # torch takes seconds to import; arguments are checked before.
    from ..backbone import load_backbone
    from ..options import resolve

    changes = parse_settings(args.settings)
    asked = replace(RolloutConfig(), changes)
    backbone = load_backbone(args.weights, args.device, args.dtype, asked.low_memory, asked.kernels)
    return Networks(backbone, resolve(backbone, changes), changes)


def roll(
    clip: Clip,
    args: argparse.Namespace,
    on_result: OnResult = lambda part, result: None,
    networks: Networks | None = None,
) -> Outcome:
    """Run all windows of a clip and write the results; a new chain starts the object anew, in a folder of its own.

    Ctrl-C stops at the next step of the method and writes what is finished (a second one stops at once). If a later
    window fails, the ones before it are written.

    Args:
        clip: the frames.
        args: of ``add_rollout_arguments``.
        on_result: gets every window as well.
        networks: as from ``load_networks``; None loads them.
    Returns:
        how it ended; a failure in the first window, with nothing to write, is raised instead.
    """
    source = clip.source
    anchor = None if args.anchor is None else read_mesh(args.anchor)
    networks = load_networks(args) if networks is None else networks
    from ..rollout import Rollout
    from ..stream.windows import ClipWindows

    backbone, config = networks.backbone, networks.config
    windows = ClipWindows(source, clip.config, config.frames, parse_intrinsics(args.intrinsics), fixed=clip.fixed)
    options = ResultOptions(
        source=source.name,
        anchor="first image" if args.anchor is None else str(args.anchor),
        checkpoint=f"{backbone.name} ({backbone.checksum})",
        device=str(backbone.device),
        config=config,
        per_frame_meshes=args.per_frame_meshes,
    )
    say(f"{source.name}: windows of {config.frames} frames, weights {options.checkpoint} on {options.device}")
    if networks.changes:
        say(f"options: {describe_settings(networks.changes)}")
    rollout = Rollout(backbone, config, anchor)
    outcome = Outcome()
    folders: list[Path] = []
    total = windows.count if args.max_windows is None else min(windows.count or args.max_windows, args.max_windows)
    with _interrupts() as stop, _Bars(total) as bars:
        parts = itertools.islice(windows, args.max_windows)
        for number, chain in itertools.groupby(parts, key=lambda part: part.chain):
            if stop.is_set():
                break
            rollout.reset()
            folder = args.out if number == 0 else args.out / f"chain_{number + 1}"
            with ResultWriter(folder, options) as writer:
                outcome = _roll_chain(chain, rollout, writer, on_result, bars, stop)
                for note in (*source.notes, *windows.notes):
                    writer.add_note(note)
                if writer.windows:
                    _report(writer.finish(), folder)
                    folders.append(folder)
                elif outcome.failure is not None and number == 0:
                    raise outcome.failure
            if outcome.failure is not None:
                break
    return dataclasses.replace(outcome, folders=tuple(folders))


def _roll_chain(
    chain: Iterator[ClipWindow],
    rollout: Rollout,
    writer: ResultWriter,
    on_result: OnResult,
    bars: _Bars,
    stop: threading.Event,
) -> Outcome:
    """The windows of one chain, until they end, one fails, or Ctrl-C."""
    failure: AttnChainError | None = None
    try:
        for part in chain:
            result = rollout.run(part.window, bars.stage, stop.is_set)
            writer.add(result, part.window.images, part.window.masks)
            on_result(part, result)
            bars.window_done(result.frames)
            if stop.is_set():
                break
    except Cancelled:
        pass
    except AttnChainError as error:
        failure = error
        writer.add_note(Note("window_failed", f"window {writer.windows} failed: {failure}"))
    if stop.is_set():
        writer.add_note(Note("interrupted", f"stopped by Ctrl-C after {counted(writer.windows, 'window')}"))
    return Outcome(stop.is_set(), failure)


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """An event set by the first Ctrl-C; the second one raises KeyboardInterrupt as usual."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        tqdm.write("stopping after this step; Ctrl-C again stops at once", file=sys.stderr)

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


class _Bars:
    """Two progress bars on a terminal (windows, and the stage inside one); one line per window elsewhere."""

    def __init__(self, windows: int | None) -> None:
        self._live = sys.stderr.isatty()
        self._windows = tqdm(total=windows, desc="windows", unit="window", disable=not self._live, position=0)
        layout = "  {desc:<16}{n_fmt}/{total_fmt}"
        self._stage = tqdm(total=1, bar_format=layout, disable=not self._live, position=1)
        self._total = windows
        self._done = 0
        self._since = time.monotonic()

    def __enter__(self) -> _Bars:
        """The bars."""
        return self

    def __exit__(self, *ignored: Any) -> None:
        """Take the bars away."""
        self._stage.close()
        self._windows.close()

    def stage(self, name: str, done: int, total: int) -> None:
        """What the rollout reports."""
        if self._live:
            self._stage.set_description_str(name, refresh=False)
            self._stage.total, self._stage.n = total, done
            self._stage.refresh()

    def window_done(self, frames: int) -> None:
        """One more window is finished."""
        self._windows.update()
        self._done += 1
        now = time.monotonic()
        if not self._live:
            total = "" if self._total is None else f"/{self._total}"
            say(f"window {self._done}{total}: {frames} frames in {now - self._since:.1f} s")
        self._since = now


def _report(summary: dict[str, Any], out: Path) -> None:
    """The run in a few lines."""
    overlap = summary["silhouette_iou"]
    frames = summary["frames"]
    say(
        f"{counted(frames, 'frame')} in {counted(summary['windows'], 'window')}, "
        f"{summary['seconds_per_window']:.1f} s per window; "
        f"{summary['vertices']} vertices, {summary['tracks']} tracks, camera poses {summary['camera_poses']}/{frames}"
        + ("" if overlap is None else f", outline overlap {overlap:.2f}")
    )
    for note in summary["notes"]:
        say(f"note: {note}")
    files = ", ".join(("animation.glb", "tracks.npz", "cameras.npz", "contact_sheet.png", "summary.json"))
    say(f"wrote {files} to {out}")


def say(text: str) -> None:
    """A line on standard output that does not break a progress bar."""
    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()
