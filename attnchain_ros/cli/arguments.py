"""Values that several verbs take, from text to arrays, with errors that name the argument."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any

import numpy as np

from ..config import RolloutConfig, flatten, parse_numbers, replace
from ..errors import ConfigError, FileFormatError
from ..files.images import ClipOptions, is_bag, open_frames
from ..stream.config import StreamConfig
from ..stream.config import parse_box as parse_named_box
from ..stream.objects import ALL_OBJECTS
from ..stream.source import FrameSource
from ..threads import MOST_THREADS
from .prompting import KEPT, add_prompt_arguments, check_prompt_arguments, is_prompted

SYNTHETIC = "synthetic:"


def instance_of(text: str) -> int:
    """The value of ``--instance``.

    >>> instance_of("3"), instance_of("all") == ALL_OBJECTS
    (3, True)
    """
    if text == "all":
        return ALL_OBJECTS
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no number, and not all") from error


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
    return None if text is None else parse_named_box(text, "--box")


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


def add_input_arguments(parser: argparse.ArgumentParser, *, prompts: bool = False) -> None:
    """The clip and its masks; ``prompts``: these may be made from what is pointed at."""
    parser.add_argument(
        "input", metavar="INPUT", help=f"image folder, video, rosbag2 folder, or {SYNTHETIC}SEED (a held-out clip)"
    )
    add_any_clip_arguments(parser, prompts=prompts)


def add_any_clip_arguments(parser: argparse.ArgumentParser, *, prompts: bool = False) -> None:
    """What is said about a clip of whatever kind, whose name is taken elsewhere."""
    parser.add_argument("--fps", type=float, help="frames per second (default: the video's own; 30 for images)")
    add_clip_arguments(parser, prompts=prompts)


def add_clip_arguments(parser: argparse.ArgumentParser, *, prompts: bool = False) -> None:
    """Masks, a bag's topics, and how the object is cut out; ``prompts``: also by what is pointed at."""
    parser.add_argument(
        "--masks", type=Path, metavar="PLACE",
        help="folder with a mask per image, or a mask video (default: masks/, NAME_mask.png, alpha, the bag's topic)",
    )  # fmt: skip
    parser.add_argument(
        "--instance", "--mask-instance", type=instance_of, default=0, metavar="ID", dest="instance",
        help="value of the object in masks that hold several objects; all: one after another, a folder for each",
    )  # fmt: skip
    for name in ("image", "mask", "depth", "camera-info"):
        none = "" if name == "image" else "; none: not used"
        parser.add_argument(
            f"--{name}-topic", metavar="TOPIC", help=f"of a bag (default: found by type and name{none})"
        )
    parser.add_argument(
        "--image-rectified",
        action="store_true",
        help="images are rectified: camera_info's P is used, its distortion not",
    )
    if prompts:
        add_prompt_arguments(parser)
        parser.add_argument(
            "--keep-masks", action="store_true", help=f"leave the masks that SAM 2 made in DIR/{KEPT} (with --out DIR)"
        )
    add_foreground_arguments(parser, prompts=prompts)


def add_foreground_arguments(parser: argparse.ArgumentParser, *, prompts: bool = False) -> None:
    """Cutting the object out, and frames left out; ``prompts``: SAM 2 may be asked for."""
    how = "how to cut out the object of a clip without masks: GrabCut from a box, or not at all (an error)"
    box = "where GrabCut starts (default: the middle 70 %%)"
    if prompts:
        how += "; sam2: from --point, --box or --first-mask, whatever masks there are"
        box += "; with sam2 a box around the object in the first image, with --instance all several, ';' between them"
    methods = ("grabcut", "none", "sam2") if prompts else ("grabcut", "none")
    parser.add_argument("--foreground", choices=methods, default="grabcut", help=how)
    parser.add_argument("--box", metavar="X,Y,W,H", help=box)
    parser.add_argument("--stride", type=int, default=1, metavar="N", help="use every N-th frame (default 1)")


def check_foreground_arguments(args: argparse.Namespace) -> None:
    """Check what can be checked before anything is read."""
    if args.stride < 1:
        raise ConfigError(f"--stride is {args.stride}, the least is 1")
    if args.instance != ALL_OBJECTS and not 0 <= args.instance <= 65535:
        raise ConfigError(f"--instance is {args.instance}, wanted 0 to 65535, or all")
    if args.box is not None and args.foreground == "none":
        raise ConfigError("--box is for --foreground grabcut")
    if is_prompted(args):
        check_prompt_arguments(args)
    else:
        parse_box(args.box)
        if getattr(args, "keep_masks", False):
            raise ConfigError("--keep-masks is for masks that are made: give --point, or a box with --foreground sam2")


def open_input(args: argparse.Namespace) -> FrameSource:
    """The clip of ``add_input_arguments``.

    Raises:
        ConfigError: all objects are asked for, of a clip that holds one.
    """
    text = str(args.input)
    if text.startswith(SYNTHETIC):
        if args.instance == ALL_OBJECTS:
            raise ConfigError(f"{text} holds one object: leave out --instance all")
        if args.masks is not None or any(clip_options(args).topics):
            raise ConfigError(f"{text} has its own masks and no topics: leave out --masks and topics")
        return synthetic_source(text.removeprefix(SYNTHETIC), args.fps)
    return open_frames(Path(text), clip_options(args))


def open_source(text: str, fps: float | None = None) -> FrameSource:
    """A clip by what ``run`` takes as INPUT, without masks or topics of its own."""
    if text.startswith(SYNTHETIC):
        return synthetic_source(text.removeprefix(SYNTHETIC), fps)
    path = Path(text)
    return open_frames(path, ClipOptions(fps=None if is_bag(path) else fps))


def clip_options(args: argparse.Namespace) -> ClipOptions:
    """What ``add_clip_arguments`` says of a clip."""
    topics = (args.image_topic, args.mask_topic, args.depth_topic, args.camera_info_topic)
    return ClipOptions(getattr(args, "fps", None), args.masks, args.instance, topics)


def stream_config(args: argparse.Namespace, **options: Any) -> StreamConfig:
    """How the clip's frames become windows, by ``add_foreground_arguments``; ``options``: others of the stream."""
    made = is_prompted(args)  # then masks come with the frames
    box = "" if args.box is None or made else str(args.box)
    return StreamConfig(
        stride=args.stride,
        foreground="none" if made else args.foreground,
        foreground_box=box,
        image_rectified=args.image_rectified,
        **options,
    )


def synthetic_source(text: str, fps: float | None = None, **options: Any) -> FrameSource:
    """A clip that the laboratory draws: see ``lab.clips.synthetic_source``, which takes ``options``.

    Raises:
        ConfigError: the laboratory is not installed, or there is no such clip.
    """
    try:
        # By name: the laboratory lies above the command line, which starts it only when asked.
        clips = importlib.import_module("attnchain_ros.lab.clips")
    except ImportError as error:
        raise ConfigError(f"{SYNTHETIC}{text} needs the extra 'lab' of this package: {error}") from error
    source: FrameSource = clips.synthetic_source(text, fps, **options)
    return source


def check_output(path: Path, source: Path | None = None) -> None:
    """Refuse an output folder that is a file, a bag, or the input itself, before hours are spent on it."""
    if path.exists() and not path.is_dir():
        raise FileFormatError(f"--out {path} is a file, wanted a folder")
    if path.is_dir() and is_bag(path):
        raise FileFormatError(f"--out {path} is a bag: results would lie among its files, give another folder")
    if source is not None and source.is_dir() and path.resolve() == source.resolve():
        raise FileFormatError(f"--out {path} is the input: results would be read as images the next time")


def describe_settings(changes: dict[str, Any]) -> str:
    """The changed options in one line."""
    return ", ".join(f"{name}={value}" for name, value in changes.items())
