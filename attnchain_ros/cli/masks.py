"""``attnchain masks INPUT --point X,Y --out DIR``: the object's mask in every image of a clip, from a click."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from ..errors import ConfigError, FileFormatError, MaskError
from ..files.atomic import folder_then_rename
from ..files.images import ClipOptions, ImageFolder, open_frames, read_mask
from ..stream.frame import Frame
from ..stream.source import FrameSource
from .arguments import parse_numbers
from .main import OK

if TYPE_CHECKING:
    from ..masks import MaskTracker, Prompt

DEFAULT_FOLDER = Path("weights") / "sam2.1-hiera-tiny"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("input", metavar="INPUT", type=Path, help="image folder, video or rosbag2 folder")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder for the masks (PNG)")
    parser.add_argument(
        "--point", action="append", default=[], metavar="X,Y",
        help="a pixel on the object in the first image; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--not-point", action="append", default=[], metavar="X,Y", help="a pixel that does not belong to it"
    )
    parser.add_argument("--box", metavar="X,Y,W,H", help="a box around the object in the first image")
    parser.add_argument("--mask", type=Path, metavar="FILE", help="the object's mask in the first image")
    parser.add_argument("--image-topic", metavar="TOPIC", help="of a bag (default: found by type)")
    parser.add_argument(
        "--model", type=Path, default=DEFAULT_FOLDER, metavar="DIR",
        help=f"folder of SAM 2's video model: config.json, model.safetensors (default: {DEFAULT_FOLDER})",
    )  # fmt: skip
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default auto)")


def check_arguments(args: argparse.Namespace) -> None:
    """Check what can be checked before anything is loaded.

    Raises:
        ConfigError, FileFormatError: an argument cannot be used.
    """
    if not args.point and args.box is None and args.mask is None:
        raise ConfigError("say which object is meant: --point X,Y (a pixel on it), --box X,Y,W,H or --mask FILE")
    if args.out.exists():
        raise FileFormatError(f"--out {args.out} exists already: choose another name or remove it first")
    for name, texts in (("--point", args.point), ("--not-point", args.not_point)):
        for text in texts:
            parse_numbers(text, 2, name)
    if args.box is not None:
        parse_numbers(args.box, 4, "--box")


def run(args: argparse.Namespace) -> int:
    """Write a mask for every image; 0 when it is done."""
    # torch takes seconds to import.
    from ..backbone import choose_device, choose_dtype
    from ..masks import load_tracker

    options = ClipOptions(topics=(args.image_topic, "none", "none", "none")) if args.image_topic else ClipOptions()
    source = open_frames(args.input, options)
    device = choose_device(args.device)
    tracker = load_tracker(args.model, device, choose_dtype("auto", device))
    prompt = _prompt(args)
    with folder_then_rename(args.out, overwrite=False) as folder:
        told = _write(source, tracker, prompt, folder)
    sys.stdout.write(f"{told}\nmasks are in {args.out}: use them with --masks {args.out}\n")
    return OK


def _prompt(args: argparse.Namespace) -> Prompt:
    from ..masks import Prompt

    points, outside = (
        tuple((x, y) for x, y in (parse_numbers(text, 2, name) for text in texts))
        for name, texts in (("--point", args.point), ("--not-point", args.not_point))
    )
    box = None
    if args.box is not None:
        x, y, wide, high = parse_numbers(args.box, 4, "--box")
        box = (x, y, wide, high)
    return Prompt(points, outside, box, None if args.mask is None else read_mask(args.mask))


def _write(source: FrameSource, tracker: MaskTracker, prompt: Prompt, folder: Path) -> str:
    """Follow the object through the clip, a PNG for every image; what to tell the user."""
    import cv2

    from ..masks.tracker import Sight

    folder.mkdir()
    gone: list[int] = []
    count = 0
    names = _names(source)
    frames = (event for event in source.events() if isinstance(event, Frame))
    for frame in tqdm(frames, total=source.count, desc="masks", unit="image", disable=None):
        found = tracker.follow(frame.image) if count else tracker.start(frame.image, prompt)
        path = folder / f"{next(names)}.png"
        if not cv2.imwrite(str(path), found.mask.astype(np.uint8) * 255):
            raise FileFormatError(f"{path} cannot be written")
        if found.sight in (Sight.LOST, Sight.EMPTY):
            gone.append(count)
        count += 1
    if len(gone) == count:
        raise MaskError(
            f"the object was found in none of {count} images, nothing was written: is the point on it in the first one?"
        )
    told = f"{count} images, the object seen in {count - len(gone)}"
    if gone:
        back = tracker.counts[Sight.BACK]
        told += f"; not seen in {len(gone)} (first: image {gone[0]}), seen again {back} times: those masks are empty"
    return told


def _names(source: FrameSource) -> Iterator[str]:
    """Names of the masks without ending: those of the images, so that they are found by name; else numbers."""
    if isinstance(source, ImageFolder):
        yield from (path.stem for path in source.files)
    number = 0
    while True:
        yield f"frame_{number:06d}"
        number += 1
