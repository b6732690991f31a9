"""``attnchain masks INPUT --point X,Y --out DIR``: masks for every image of a clip, from clicks."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import ConfigError, FileFormatError
from ..files.images import ClipOptions, open_frames
from ..stream.objects import ALL_OBJECTS
from .arguments import instance_of
from .main import OK
from .prompting import add_prompt_arguments, check_prompt_arguments, prompted, write_ids


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("input", metavar="INPUT", type=Path, help="image folder, video or rosbag2 folder")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder for the masks (PNG)")
    add_prompt_arguments(parser, short=True)
    parser.add_argument(
        "--box", metavar="X,Y,W,H",
        help="a box around the object in the first image; with --instance all several, with ';' between them",
    )  # fmt: skip
    parser.add_argument(
        "--instance", type=instance_of, default=0, metavar="all",
        help="all: each point and each box is an object of its own, whose id (1, 2, ...) the masks hold",
    )  # fmt: skip
    parser.add_argument("--image-topic", metavar="TOPIC", help="of a bag (default: found by type)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default auto)")


def check_arguments(args: argparse.Namespace) -> None:
    """Check what can be checked before anything is loaded.

    Raises:
        ConfigError, FileFormatError, MaskError: an argument cannot be used.
    """
    if args.instance not in (0, ALL_OBJECTS):
        raise ConfigError(f"--instance is {args.instance}: objects are numbered as they are pointed at, say all")
    check_prompt_arguments(args)
    if args.out.exists():
        raise FileFormatError(f"--out {args.out} exists already: choose another name or remove it first")


def run(args: argparse.Namespace) -> int:
    """Write a mask for every image; 0 when it is done."""
    topics = (args.image_topic, "none", "none", "none") if args.image_topic else ClipOptions.topics
    options = ClipOptions(instance=args.instance, topics=topics)
    source, more = open_frames(args.input, options), ""
    if args.instance == ALL_OBJECTS:
        write_ids(source, args, args.out)
        more = " --instance all"
    else:
        with prompted(source, args, args.out) as clip:
            for _ in clip.events():
                pass
    sys.stdout.write(f"masks are in {args.out}: use them with --masks {args.out}{more}\n")
    return OK
