"""``attnchain experiments``: the paper's experiments in small, as raw results, plots and one report."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ...cli.arguments import add_network_arguments, check_output, parse_settings
from ...cli.main import FAILED, OK
from ...errors import ConfigError
from .. import check_extra

if TYPE_CHECKING:
    import pandas as pd

# The same names as experiments.running.EXPERIMENTS, which a test compares: help must not load torch.
NAMES = ("summary", "networks", "steps", "reading", "tracks", "camera", "poses", "sensitivity", "long",
         "dirty", "presets", "motion", "pieces")  # fmt: skip
_DEFAULT_CLIPS = 30
_COUNTS = ("published", "reduced")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.description = (
        "Run the paper's experiments in small on held-out synthetic clips and write every clip's figures "
        "(DIR/NAME/progress.jsonl), plots and one Markdown report. A stopped run goes on with --resume."
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--only", metavar="NAMES", help=f"experiments to run, separated by commas (default all: {','.join(NAMES)})"
    )
    parser.add_argument(
        "--clips", action="append", default=[], metavar="[NAME=]N",
        help=f"clips of each split, for all experiments or one (long=10); may be repeated (default {_DEFAULT_CLIPS})",
    )  # fmt: skip
    parser.add_argument(
        "--processes", type=int, default=1, metavar="N", help="clips at once, one thread each (default 1)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out; failures are tried again")
    parser.add_argument("--report", type=Path, metavar="FILE.md", help="the report (default DIR/results.md)")
    parser.add_argument("--image-size", type=int, default=256, help="side of the pictures in pixels (default 256)")
    parser.add_argument(
        "--counts", choices=_COUNTS, default="reduced",
        help="points and steps of the Chamfer distances: as published, or a hundredth of them (default reduced)",
    )  # fmt: skip
    add_network_arguments(parser)


def check_arguments(args: argparse.Namespace) -> None:
    """Check what can be checked before anything is loaded.

    Raises:
        ConfigError: an argument cannot be used.   FileFormatError: ``--out`` cannot be written to.
    """
    check_extra()
    for name, least in (("processes", 1), ("image_size", 16)):
        if getattr(args, name) < least:
            raise ConfigError(f"--{name.replace('_', '-')} is {getattr(args, name)}, must be at least {least}")
    parse_clips(args.clips, parse_names(args.only))
    check_output(args.out)
    if args.report is not None and (args.report.suffix != ".md" or args.report.is_dir()):
        raise ConfigError(f"--report is {args.report}, wanted the name of a Markdown file, such as results.md")
    parse_settings(args.settings)


def parse_names(text: str | None) -> list[str]:
    """Experiments by name, in the order in which they run; None = all.

    Raises:
        ConfigError: an unknown name.

    >>> parse_names("long,steps")
    ['steps', 'long']
    """
    if text is None:
        return list(NAMES)
    asked = [word.strip() for word in text.split(",")]
    unknown = [word for word in asked if word not in NAMES]
    if unknown:
        raise ConfigError(f"--only names {unknown[0]!r}; there are {', '.join(NAMES)}")
    return [name for name in NAMES if name in asked]


def parse_clips(texts: list[str], names: list[str]) -> dict[str, int]:
    """Clips of each experiment; a number for one experiment wins over the number for all.

    Raises:
        ConfigError: not a number of at least 1, or an experiment that does not run.

    >>> parse_clips(["8", "long=2"], ["steps", "long"])
    {'steps': 8, 'long': 2}
    """
    every, own = _DEFAULT_CLIPS, {}
    for text in texts:
        name, equals, number = text.rpartition("=")
        if equals and name not in names:
            raise ConfigError(f"--clips {text}: {name!r} is not among the experiments that run ({', '.join(names)})")
        if not number.isdecimal() or int(number) < 1:
            raise ConfigError(f"--clips {text}: wanted a number of at least 1, such as 30 or long=10")
        if equals:
            own[name] = int(number)
        else:
            every = int(number)
    return {name: own.get(name, every) for name in names}


def run(args: argparse.Namespace) -> int:
    """Run them; 0 if every setting succeeded on every clip, 1 if one failed."""
    # Here, because torch takes seconds to load and wrong arguments should be told at once.
    from ..evaluation.actionbench_config import PUBLISHED, REDUCED
    from ..evaluation.runs import RunFile, run_identity
    from ..experiments.running import Setup, open_bench, run_experiment, write_results
    from ..experiments.summary import given_baselines
    from ..table import concat, succeeded, write_table

    clips = parse_clips(args.clips, parse_names(args.only))
    counts = PUBLISHED if args.counts == "published" else REDUCED
    changes = tuple(parse_settings(args.settings).items())
    setup = Setup(args.weights, args.device, args.dtype, changes, counts, args.image_size)
    bench = open_bench(setup)
    identity = run_identity(bench.backbone, bench.config, bench.counts, args.settings)
    identity["pictures"] = f"{bench.config.frames} frames of {bench.image_size} px"
    tables: dict[str, pd.DataFrame] = {}
    for name, count in clips.items():
        file = RunFile(args.out / name, {"experiment": name, **identity}, args.resume)
        known = given_baselines(tables.get("summary", concat([])))
        tables[name] = run_experiment(name, setup, count, file, args.processes, _progress(), known)
    told = {key: value for key, value in identity.items() if key != "config"}
    told["clips of each split"] = ", ".join(f"{name} {count}" for name, count in clips.items())
    path = args.report if args.report is not None else args.out / "results.md"
    write_results(path, bench, tables, told)
    rows = args.out / "rows.csv"
    write_table(rows, concat(tables.values()))
    good, total = (sum(counts) for counts in zip(*map(succeeded, tables.values()), strict=True))
    sys.stdout.write(f"{good} of {total} measurements succeeded; wrote {path} and {rows}\n")
    return OK if good == total else FAILED


def _progress() -> Callable[[str, int, int], None]:
    """A line that counts, with the time that is left at the pace so far."""
    started, first = time.monotonic(), None

    def show(name: str, done: int, total: int) -> None:
        nonlocal first
        first = done if first is None else first
        left = ""
        if done > first and done < total:
            seconds = (time.monotonic() - started) / (done - first) * (total - done)
            left = f", about {seconds / 60:.0f} min left"
        sys.stderr.write(f"\r{name}: {done} of {total} clips{left:<24}" + ("\n" if done == total else ""))
        sys.stderr.flush()

    return show
