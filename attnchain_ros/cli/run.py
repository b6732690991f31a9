"""``attnchain run INPUT --out DIR``: an animated mesh, tracks, cameras and a contact sheet from one clip."""

from __future__ import annotations

import argparse

from .arguments import add_input_arguments, check_foreground_arguments, open_input, stream_config
from .prompting import with_masks
from .rolling import Clip, add_rollout_arguments, check_rollout_arguments, roll


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    add_input_arguments(parser, prompts=True)
    add_rollout_arguments(parser)


def check_arguments(args: argparse.Namespace) -> None:
    """Check what can be checked before anything is loaded.

    Raises:
        ConfigError, FileFormatError: an argument cannot be used.
    """
    check_foreground_arguments(args)
    check_rollout_arguments(args)


def run(args: argparse.Namespace) -> int:
    """Run the rollout on the clip; 0 when all windows are done, 130 when stopped by Ctrl-C."""
    with with_masks(open_input(args), args) as source:
        outcome = roll(Clip(source, stream_config(args)), args)
    return outcome.exit_code()
