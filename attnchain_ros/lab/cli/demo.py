"""``attnchain demo``: the demonstration, the same as ``python -m attnchain_ros.lab.demo``."""

from __future__ import annotations

import argparse

from ..demo import main as demonstration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    demonstration.add_arguments(parser)


def check_arguments(args: argparse.Namespace) -> None:
    """Check what can be checked before anything is started.

    Raises:
        ConfigError: an argument cannot be used.
    """
    demonstration.check_arguments(args)


def run(args: argparse.Namespace) -> int:
    """Run it; 0 if every frame came and everything was written."""
    return demonstration.run(args)
