"""``attnchain fake-camera INPUT``: publish a clip as image, camera_info and mask, as a camera would."""

from __future__ import annotations

import argparse

from ..errors import AttnChainError, ConfigError
from ..stream.objects import ALL_OBJECTS
from .arguments import add_input_arguments, check_foreground_arguments, open_input, parse_intrinsics, stream_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    add_input_arguments(parser)
    parser.add_argument("--rate", type=float, default=10.0, metavar="HZ", help="images per second (default 10)")
    parser.add_argument(
        "--qos",
        choices=("best_effort", "reliable"),
        default="reliable",
        help="offered reliability (default reliable; best_effort is what many drivers offer, and loses large images "
        "where the system's UDP buffers are small)",
    )
    parser.add_argument("--loop", action="store_true", help="start again at the end, with stamps that go on rising")
    parser.add_argument("--namespace", default="", help="ROS namespace of the topics")
    parser.add_argument("--frame-id", default="camera_optical_frame", help="optical frame named in the messages")
    parser.add_argument("--intrinsics", metavar="FX,FY,CX,CY", help="camera in pixels (default: the clip's, or none)")
    parser.add_argument("--no-wait", action="store_true", help="publish at once instead of waiting for a subscriber")


def check_arguments(args: argparse.Namespace) -> None:
    """Check what can be checked before ROS is started.

    Raises:
        ConfigError: an argument cannot be used.
    """
    if not 0 < args.rate <= 1000:
        raise ConfigError(f"--rate is {args.rate}, wanted above 0 and at most 1000 images per second")
    if not args.frame_id:
        raise ConfigError("--frame-id is empty: messages must name the camera's optical frame")
    parse_intrinsics(args.intrinsics)
    if args.instance == ALL_OBJECTS:
        raise ConfigError("--instance all is for run and replay: the camera publishes one object, choose it by its id")
    check_foreground_arguments(args)


def run(args: argparse.Namespace) -> int:
    """Publish until the clip ends (or for ever with ``--loop``); 0 when it ended well."""
    source = open_input(args)
    try:
        # Only here: everything else of the command line works without ROS.
        from ..node import fake_camera
    except ImportError as error:
        raise AttnChainError(
            f"'attnchain fake-camera' needs ROS 2: {error}; source a distribution or use scripts/setup's Python"
        ) from error
    return fake_camera.run(
        source,
        stream_config(args),
        rate_hz=args.rate,
        reliable=args.qos == "reliable",
        loop=args.loop,
        namespace=args.namespace,
        frame_id=args.frame_id,
        intrinsics=parse_intrinsics(args.intrinsics),
        wait_for_subscriber=not args.no_wait,
    )
