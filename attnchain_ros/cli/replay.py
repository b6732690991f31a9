"""``attnchain replay BAG --out DIR``: the windows of a recorded bag, offline; results as files and as a bag."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import ConfigError, FileFormatError
from ..files.bag_writing import ResultBagWriter
from ..files.images import is_bag, open_frames
from ..stream.config import StreamConfig
from ..stream.objects import ALL_OBJECTS
from .arguments import add_clip_arguments, check_foreground_arguments, clip_options, stream_config
from .objects import roll_all
from .prompting import objects_masked, with_masks
from .rolling import Clip, Networks, Outcome, add_rollout_arguments, check_rollout_arguments, fixed_frame_of, roll

RESULT_BAG = "results_bag"
"""Name of the bag inside the output folder."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("bag", type=Path, metavar="BAG", help="rosbag2 folder (mcap or sqlite3)")
    parser.add_argument(
        "--max-gap", type=float, default=StreamConfig.max_gap_s, metavar="S",
        help="a longer time between two images starts the object anew (default %(default)g; 0: never)",
    )  # fmt: skip
    parser.add_argument("--object-id", type=int, default=1, help="number of the object in messages (default 1)")
    parser.add_argument("--object-frame", help="TF frame of the object (default object_ID)")
    parser.add_argument("--storage", choices=("mcap", "sqlite3"), default="mcap", help="format of the results bag")
    parser.add_argument(
        "--no-scene", action="store_true",
        help="leave the meshes for Foxglove out of the results bag (an mcap has them, a GLB a frame)",
    )  # fmt: skip
    add_clip_arguments(parser, prompts=True)
    add_rollout_arguments(parser)


def check_arguments(args: argparse.Namespace) -> None:
    """Check what can be checked before anything is loaded.

    Raises:
        ConfigError, FileFormatError: an argument cannot be used.
    """
    if not args.bag.exists():
        raise FileFormatError(f"bag {args.bag} does not exist")
    if not is_bag(args.bag):
        raise FileFormatError(
            f"{args.bag} is no rosbag2 folder or file: it holds no metadata.yaml, .mcap or .db3 (attnchain run takes "
            "other clips, 'rosbags-convert' turns ROS 1 bags into rosbag2 folders)"
        )
    if not 0 <= args.max_gap <= 3600:
        raise ConfigError(f"--max-gap is {args.max_gap}, wanted 0 to 3600 seconds")
    if not 0 <= args.object_id < 2**31:
        raise ConfigError(f"--object-id is {args.object_id}, wanted 0 to {2**31 - 1}")
    if args.instance == ALL_OBJECTS and args.object_frame:
        raise ConfigError("--object-frame is one object's: with --instance all frames are named object_ID")
    check_foreground_arguments(args)
    check_rollout_arguments(args)


def run(args: argparse.Namespace) -> int:
    """Run the rollout on the bag; 0 when all windows are done, 130 when stopped by Ctrl-C."""
    if args.instance == ALL_OBJECTS:
        with objects_masked(open_frames(args.bag, clip_options(args)), args) as mine:
            return roll_all(open_frames(mine.bag, clip_options(mine)), mine, _roll_by_id)
    return _roll(args).exit_code()


def _roll_by_id(args: argparse.Namespace, networks: Networks) -> Outcome:
    """One of several objects, under its id."""
    args.object_id, args.object_frame = args.instance, None
    return _roll(args, networks)


def _roll(args: argparse.Namespace, networks: Networks | None = None) -> Outcome:
    """One object, with its results in a bag as well."""
    source = open_frames(args.bag, clip_options(args))
    writer = ResultBagWriter(
        args.out / RESULT_BAG,
        object_id=args.object_id,
        object_frame=args.object_frame or f"object_{args.object_id}",
        fixed_frame=args.fixed_frame or "",
        storage=args.storage,
        scene=not args.no_scene,
        overwrite=True,
    )
    config = stream_config(args, max_gap_s=args.max_gap)
    with with_masks(source, args) as masked, writer as bag:
        clip = Clip(masked, config, fixed_frame_of(args))
        return roll(
            clip, args, lambda part, result: bag.add(result, part.frame_id, part.camera.distort_points), networks
        )
