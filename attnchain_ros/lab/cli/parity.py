"""``attnchain parity FOLDER``: check a checkpoint folder against recorded inputs and outputs, entry by entry."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..parity import check_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.description = (
        "Recompute every recorded output of a checkpoint folder (float32, CPU) and print the largest errors."
    )
    parser.add_argument(
        "folder", type=Path, help="checkpoint folder in the published layout that also holds io.safetensors"
    )


def check_arguments(args: argparse.Namespace) -> None:
    """Nothing beyond what argparse checks; the folder's content is checked by reading it."""


def run(args: argparse.Namespace) -> int:
    """Print a line for each entry; 0 if all passed, 1 otherwise."""
    failed = checked = 0
    for row in check_folder(args.folder):
        if row.kind == "input":
            text = "input"
        elif row.kind == "output":
            checked += 1
            text = f"{'ok  ' if row.passed else 'FAIL'} largest error {row.error:.3g} (tolerance {row.tolerance:g})"
        else:
            text = "FAIL"
        failed += not row.passed
        sys.stdout.write(f"{row.key:48s} {text}{': ' + row.note if row.note else ''}\n")
    sys.stdout.write(f"{checked} outputs checked, {failed} failed\n")
    return 0 if failed == 0 and checked > 0 else 1
