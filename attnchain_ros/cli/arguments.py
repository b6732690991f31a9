"""Values that several verbs take, from text to arrays, with errors that name the argument."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any

import numpy as np

from ..config import RolloutConfig, flatten, replace
from ..errors import ConfigError, FileFormatError
from ..files import foreground
from ..files.foreground import GrabCutSource
from ..files.frames import FrameSource, StridedSource
from ..files.images import is_bag, open_frames
from ..threads import MOST_THREADS

SYNTHETIC = "synthetic:"


def parse_numbers(text: str, count: int, name: str) -> list[float]:
    """Comma-separated numbers.

    >>> parse_numbers("500,500,319.5,239.5", 4, "--intrinsics")
    [500.0, 500.0, 319.5, 239.5]
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"{name} is {text!r}, wanted {count} numbers separated by commas") from error
    if len(values) != count or not np.isfinite(values).all():
        raise ConfigError(f"{name} is {text!r}, wanted {count} numbers separated by commas")
    return values


def parse_intrinsics(text: str | None) -> np.ndarray | None:
    """``fx,fy,cx,cy`` in pixels as K [3, 3] float64; None stays None."""
    if text is None:
        return None
    fx, fy, cx, cy = parse_numbers(text, 4, "--intrinsics")
    if fx <= 0 or fy <= 0:
        raise ConfigError(f"--intrinsics has focal lengths {fx:g} and {fy:g}, wanted positive pixels")
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def parse_box(text: str | None) -> tuple[int, int, int, int] | None:
    """``x,y,width,height`` in whole pixels; None stays None."""
    return None if text is None else foreground.parse_box(text, "--box")


def parse_settings(texts: list[str]) -> dict[str, Any]:
    """``name=value`` options of the method, of the types that ``RolloutConfig`` has, checked against their ranges.

    Raises:
        ConfigError: not of this form, unknown, of another type, or out of range.

    >>> parse_settings(["sampling.steps=4", "camera.estimate=false"])
    {'sampling.steps': 4, 'camera.estimate': False}
    """
    known = flatten(RolloutConfig())
    changes: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set {text!r}: wanted name=value, such as sampling.steps=4")
        if name not in known:
            near = [other for other in known if name.rpartition(".")[2] in other] or sorted(known)
            raise ConfigError(f"--set {text!r}: unknown option {name!r}; there are {', '.join(near)}")
        changes[name] = _typed(name, value, type(known[name][1]))
    replace(RolloutConfig(), changes)
    return changes


def _typed(name: str, text: str, kind: type) -> Any:
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ConfigError(f"--set {name}={text}: wanted true or false")
        return text.lower() == "true"
    try:
        return kind(text)
    except ValueError as error:
        raise ConfigError(f"--set {name}={text}: wanted {'a whole number' if kind is int else 'a number'}") from error


def parse_threads(text: str) -> int:
    """A number of threads; it is already in force, see ``cli.main``."""
    if not text.isdecimal() or int(text) > MOST_THREADS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of threads, wanted 0 to {MOST_THREADS}")
    return int(text)


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """The checkpoint, what computes it, and the options of the method."""
    parser.add_argument(
        "--weights", type=Path, metavar="DIR", help="checkpoint folder (default: the package's small one)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default auto)")
    parser.add_argument(
        "--dtype", default="auto", choices=("auto", "float32", "bfloat16", "float16"), help="precision of the networks"
    )
    parser.add_argument(
        "--threads", type=parse_threads, default=0, metavar="N",
        help="threads of the computation on the CPU (default 0: OMP_NUM_THREADS, or one a core)",
    )  # fmt: skip
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="settings",
        help="an option of the method, such as sampling.steps=4; may be repeated",
    )  # fmt: skip


def add_input_arguments(parser: argparse.ArgumentParser) -> None:
    """The clip and its masks."""
    parser.add_argument(
        "input", metavar="INPUT", help=f"image folder, video, rosbag2 folder, or {SYNTHETIC}SEED (a held-out clip)"
    )
    parser.add_argument("--fps", type=float, help="frames per second (default: the video's own; 30 for images)")
    parser.add_argument(
        "--masks", type=Path, metavar="DIR", help="folder with a mask per image (default: alpha, masks/, NAME_mask.png)"
    )
    parser.add_argument("--image-topic", help="topic of the images in a bag (default: found by type)")
    add_foreground_arguments(parser)


def add_foreground_arguments(parser: argparse.ArgumentParser) -> None:
    """Cutting the object out, and frames left out."""
    parser.add_argument(
        "--foreground",
        choices=("grabcut", "none"),
        default="grabcut",
        help="how to cut out the object where there is no mask: GrabCut from a box, or not at all (an error)",
    )
    parser.add_argument("--box", metavar="X,Y,W,H", help="where GrabCut starts (default: the middle 70 %%)")
    parser.add_argument("--stride", type=int, default=1, metavar="N", help="use every N-th frame (default 1)")


def check_foreground_arguments(args: argparse.Namespace) -> None:
    """Check what can be checked before anything is read."""
    if args.stride < 1:
        raise ConfigError(f"--stride is {args.stride}, the least is 1")
    if args.box is not None and args.foreground == "none":
        raise ConfigError("--box is for --foreground grabcut")
    parse_box(args.box)


def open_input(args: argparse.Namespace) -> FrameSource:
    """The clip of ``add_input_arguments``, with masks for every frame unless ``--foreground none``."""
    text = str(args.input)
    if text.startswith(SYNTHETIC):
        if args.masks is not None or args.image_topic is not None:
            raise ConfigError(f"{text} has its own masks and no topics: leave out --masks and --image-topic")
        source: FrameSource = synthetic_source(text.removeprefix(SYNTHETIC), args.fps)
    else:
        source = open_frames(Path(text), fps=args.fps, masks=args.masks, image_topic=args.image_topic)
    return with_foreground(source, args)


def with_foreground(source: FrameSource, args: argparse.Namespace) -> FrameSource:
    """``source`` thinned by ``--stride``, with missing masks made if asked for."""
    thinned = StridedSource(source, args.stride) if args.stride > 1 else source
    return GrabCutSource(thinned, parse_box(args.box)) if args.foreground == "grabcut" else thinned


def synthetic_source(text: str, fps: float | None = None) -> FrameSource:
    """A clip that the laboratory draws: see ``lab.clips.synthetic_source``.

    Raises:
        ConfigError: the laboratory is not installed, or there is no such clip.
    """
    try:
        # By name: the laboratory lies above the command line, which starts it only when asked.
        clips = importlib.import_module("attnchain_ros.lab.clips")
    except ImportError as error:
        raise ConfigError(f"{SYNTHETIC}{text} needs the extra 'lab' of this package: {error}") from error
    source: FrameSource = clips.synthetic_source(text, fps)
    return source


def check_output(path: Path) -> None:
    """Refuse an output folder that is a file or a bag before hours are spent on it."""
    if path.exists() and not path.is_dir():
        raise FileFormatError(f"--out {path} is a file, wanted a folder")
    if path.is_dir() and is_bag(path):
        raise FileFormatError(f"--out {path} is a bag: results would lie among its files, give another folder")


def describe_settings(changes: dict[str, Any]) -> str:
    """The changed options in one line."""
    return ", ".join(f"{name}={value}" for name, value in changes.items())
