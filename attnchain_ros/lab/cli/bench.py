"""``attnchain bench``: seconds, operations, memory and launches of a window, stage by stage, and the budgets."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ...cli.arguments import check_output, parse_threads
from ...cli.main import FAILED, OK
from ...errors import ConfigError

# The same names as bench.sizes.SIZES, which a test compares: help must not load torch.
NAMES = ("tiny", "small", "medium", "published")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.description = (
        "Measure what a window costs, from tiny networks to the published size (random weights, nothing is "
        "downloaded). A CPU only counts the published size: its operations, bytes, launches and memory."
    )
    parser.add_argument(
        "--sizes", default="tiny,small", metavar="NAMES", help=f"of {','.join(NAMES)} (default tiny,small)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default auto)")
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16", "float16"), help="precision")
    parser.add_argument("--repeats", type=int, default=3, help="laps of a stage; the shortest counts (default 3)")
    parser.add_argument(
        "--threads", type=parse_threads, default=0, metavar="N", help="threads on the CPU (default: one a core)"
    )
    parser.add_argument("--no-count", action="store_true", help="only take the time")
    parser.add_argument("--variants", action="store_true", help="also kernels of attention and torch.compile")
    parser.add_argument(
        "--load",
        action="store_true",
        help="also windows beside a synthetic camera of 1280x720 at 30 Hz, and beside one busy process a core as well, "
        "over quiet ones; all else is measured beside that camera",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for bench.json, performance.md and the chart")
    parser.add_argument("--markdown", type=Path, metavar="FILE.md", help="write the document there as well")


def check_arguments(args: argparse.Namespace) -> None:
    """Check what can be checked before anything is loaded.

    Raises:
        ConfigError: an argument cannot be used.   FileFormatError: ``--out`` cannot be written to.
    """
    if args.repeats < 1:
        raise ConfigError(f"--repeats is {args.repeats}, must be at least 1")
    parse_sizes(args.sizes)
    if args.out is not None:
        check_output(args.out)
    if args.markdown is not None and args.markdown.suffix != ".md":
        raise ConfigError(f"--markdown is {args.markdown}, wanted the name of a Markdown file, such as performance.md")


def parse_sizes(text: str) -> list[str]:
    """Sizes by name, smallest first.

    Raises:
        ConfigError: an unknown name.

    >>> parse_sizes("small,tiny")
    ['tiny', 'small']
    """
    asked = [word.strip() for word in text.split(",")]
    unknown = [word for word in asked if word not in NAMES]
    if unknown:
        raise ConfigError(f"--sizes names {unknown[0]!r}; there are {', '.join(NAMES)}")
    return [name for name in NAMES if name in asked]


def run(args: argparse.Namespace) -> int:
    """Measure and print; 1 when a budget is not kept."""
    from ..bench import report as reports
    from ..bench.run import Ask, measure

    found = []
    for name in parse_sizes(args.sizes):
        ask = Ask(
            name, args.device, args.dtype, args.repeats, count=not args.no_count, variants=args.variants, load=args.load
        )
        one = measure(ask)
        found.append(one)
        sys.stdout.write("\n".join(reports.table(one)) + "\n")
        sys.stdout.flush()
    for path in reports.write(found, args.out, args.markdown) if args.out or args.markdown else ():
        sys.stdout.write(f"wrote {path}\n")
    return OK if all(verdict.kept for one in found for verdict in one.verdicts()) else FAILED
