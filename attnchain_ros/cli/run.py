"""``attnchain run INPUT --out DIR``: an animated mesh, tracks, cameras and a contact sheet from one clip."""

from __future__ import annotations

import argparse

from ..stream.objects import ALL_OBJECTS
from .arguments import add_input_arguments, check_foreground_arguments, open_input, stream_config
from .objects import roll_all
from .prompting import objects_masked, with_masks
from .rolling import Clip, Networks, Outcome, add_rollout_arguments, check_rollout_arguments, fixed_frame_of, roll


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


def run(args: argparse.Namespace, networks: Networks | None = None) -> int:
    """Run the rollout on the clip; 0 when all windows are done, 130 when stopped by Ctrl-C.

    Args:
        args: of the verb.
        networks: as from ``load_networks``; None loads them.
    """
    if args.instance == ALL_OBJECTS:
        with objects_masked(open_input(args), args) as mine:
            return roll_all(open_input(mine), mine, _roll, networks)
    return _roll(args, networks).exit_code()


def _roll(args: argparse.Namespace, networks: Networks | None = None) -> Outcome:
    """One object."""
    with with_masks(open_input(args), args) as source:
        return roll(Clip(source, stream_config(args), fixed_frame_of(args)), args, networks=networks)
