"""``attnchain evaluate``: errors against the truth on held-out synthetic clips."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import ConfigError
from .arguments import describe_settings, parse_settings
from .main import FAILED, OK

SUMMARY = "measure the errors on held-out synthetic clips"

_ANCHORS = ("given", "image", "both")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.description = (
        "Animate held-out synthetic clips, with the anchor mesh given and from one image, and write a table of errors "
        "against the truth, against a mesh that stays still and against the nearest point of the true surface."
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for errors.md and errors.json")
    parser.add_argument("--clips", type=int, default=20, help="number of clips (default 20)")
    parser.add_argument("--first", type=int, default=0, help="number of the first clip in the split 'test' (default 0)")
    parser.add_argument(
        "--frames", type=int, default=16, help="frames of a clip (default 16; 61 are four windows of 16)"
    )
    parser.add_argument("--anchor", choices=_ANCHORS, default="both", help="which runs (default both)")
    parser.add_argument("--image-size", type=int, default=256, help="side of the pictures in pixels (default 256)")
    parser.add_argument(
        "--weights", type=Path, default=None, help="checkpoint folder; the small one of the package without"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16")
    parser.add_argument(
        "--set",
        dest="settings",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="an option of the method, such as sampling.steps=8; may be repeated",
    )


def check_arguments(args: argparse.Namespace) -> None:
    """Check what can be checked before anything is loaded.

    Raises:
        ConfigError: an argument cannot be used.
    """
    for name, least in (("clips", 1), ("first", 0), ("frames", 2), ("image_size", 16)):
        value = getattr(args, name)
        if value < least:
            raise ConfigError(f"--{name.replace('_', '-')} is {value}, must be at least {least}")
    parse_settings(args.settings)


def run(args: argparse.Namespace) -> int:
    """Print the table; 0 if every run succeeded, 1 if one failed."""
    # Here, because torch takes seconds to load and wrong arguments should be told at once.
    import dataclasses
    from typing import cast

    from .. import __version__
    from ..backbone import load_backbone
    from ..evaluation.report import write_report
    from ..evaluation.synthetic import ANCHORS, Anchor, evaluate_clips
    from ..rollout.pipeline import config_for

    backbone = load_backbone(args.weights, args.device, args.dtype)
    changes = parse_settings(args.settings)
    config = config_for(backbone, changes)
    anchors = ANCHORS if args.anchor == "both" else (cast(Anchor, args.anchor),)
    clips = range(args.first, args.first + args.clips)

    def progress(done: int, total: int) -> None:
        sys.stderr.write(f"\r{done} of {total} runs" + ("\n" if done == total else ""))
        sys.stderr.flush()

    outcomes = evaluate_clips(backbone, config, clips, anchors, args.frames, args.image_size, progress)
    identity = {
        "attnchain_ros": __version__,
        "checkpoint": backbone.name,
        "checksum": backbone.checksum,
        "device": f"{backbone.device}, {str(backbone.dtype).removeprefix('torch.')}",
        "clips": f"split test, {clips.start} to {clips.stop - 1}, {args.frames} frames of {args.image_size} px",
        "seed": config.sampling.seed,
        "changed options": describe_settings(changes) or "none",
        "config": dataclasses.asdict(config),
    }
    sys.stdout.write(write_report(args.out, outcomes, identity))
    return FAILED if any(outcome.failure for outcome in outcomes) else OK
