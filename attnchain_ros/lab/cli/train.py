"""``attnchain train``: make the small demonstration checkpoint, stage by stage."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from ...errors import ConfigError
from .. import check_extra

_STAGES = ("data", "vae", "image-encoder", "temporal", "image-to-3d", "study", "export")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("stage", choices=_STAGES, help="what to run; the order is that of this list")
    parser.add_argument("--recipe", type=Path, required=True, help="JSON file (recipes/small.json)")
    parser.add_argument("--work", type=Path, required=True, help="working folder for data, checkpoints and logs")
    parser.add_argument("--resume", action="store_true", help="go on from the stage's last checkpoint")
    parser.add_argument("--threads", type=int, default=1, help="threads of a process (default 1)")
    parser.add_argument("--processes", type=int, default=1, help="processes that share their gradients (default 1)")
    parser.add_argument("--minutes", type=float, default=None, help="stop after so many minutes; a checkpoint is left")
    parser.add_argument("--out", type=Path, default=None, help="export: folder to write the checkpoint to")


def check_arguments(args: argparse.Namespace) -> None:
    """Check what can be checked before anything is loaded.

    Raises:
        ConfigError: an argument cannot be used.
    """
    check_extra()
    for name in ("threads", "processes"):
        if getattr(args, name) < 1:
            raise ConfigError(f"--{name} is {getattr(args, name)}, must be at least 1")
    if args.minutes is not None and args.minutes <= 0:
        raise ConfigError(f"--minutes is {args.minutes}, must be above 0")
    if not args.recipe.is_file():
        raise ConfigError(f"--recipe {args.recipe} is no file; recipes/small.json comes with the package")
    if args.stage == "export" and args.out is None:
        raise ConfigError("export needs --out, the folder to write the checkpoint to")


def run(args: argparse.Namespace) -> int:
    """Run one stage; 0 when it ended well."""
    from tqdm import tqdm

    from ..training.export import export_checkpoint  # torch and transformers load only when training
    from ..training.recipe import load_recipe
    from ..training.stages import run_stage
    from ..training.study import run_study

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    recipe = load_recipe(args.recipe)
    if args.stage == "study":
        run_study(recipe, args.work)
    elif args.stage == "export":
        export_checkpoint(recipe, args.work, args.out)
    else:
        with tqdm(desc="shards", unit="shard", disable=args.stage != "data") as bar:

            def show(done: int, total: int) -> None:
                bar.total, bar.n = total, done
                bar.refresh()

            run_stage(
                args.stage,
                recipe,
                args.work,
                resume=args.resume,
                minutes=args.minutes,
                threads=args.threads,
                processes=args.processes,
                progress=show,
            )
    return 0
