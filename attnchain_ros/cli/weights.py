"""``attnchain weights fetch`` and ``attnchain weights check DIR``: the published weights in one command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from ..errors import ConfigError, FetchError
from .main import FAILED, OK

DEFAULT_FOLDER = Path("weights")
PRECISIONS = ("float32", "bfloat16")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    actions = parser.add_subparsers(title="what to do", metavar="ACTION", dest="action", required=True)
    text = "fetch the published weights (13.7 GB), whole and checked, from the Hugging Face hub"
    fetching = actions.add_parser("fetch", help=text, description=text)
    fetching.add_argument(
        "--to", type=Path, default=DEFAULT_FOLDER, metavar="DIR", help="folder for them (default: ./weights)"
    )
    fetching.add_argument(
        "--accept-licences", action="store_true", help="agree to the licences without being asked (they are shown)"
    )
    fetching.add_argument(
        "--dtype",
        choices=PRECISIONS,
        default="float32",
        help="bfloat16: also write a copy of half the size, in DIR/bfloat16 (default: float32, as published)",
    )
    fetching.add_argument(
        "--drop-float32", action="store_true", help="with --dtype bfloat16: keep only the copy; needs less disk"
    )
    fetching.add_argument(
        "--masks", action="store_true",
        help="fetch SAM 2.1's smallest video model (156 MB, Apache-2.0) instead, for masks from a click",
    )  # fmt: skip
    _add_manifest(fetching)
    text = "tell what is in a folder of weights, and whether it would run on this machine"
    checking = actions.add_parser("check", help=text, description=text)
    checking.add_argument("folder", type=Path, metavar="DIR", help="the folder that holds TripoSG/ and ActionMesh/")
    checking.add_argument("--quick", action="store_true", help="compare sizes and headers, not every byte")
    checking.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default auto)")
    checking.add_argument(
        "--dtype", default="auto", choices=("auto", *PRECISIONS, "float16"), help="precision to compute in"
    )
    _add_manifest(checking)


def _add_manifest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--manifest", type=Path, metavar="FILE", help="another list of files, sizes and SHA-256 than the package's"
    )


def check_arguments(args: argparse.Namespace) -> None:
    """Check what can be checked before anything is read.

    Raises:
        ConfigError: arguments do not go together.
    """
    if args.action == "fetch" and args.drop_float32 and args.dtype == "float32":
        raise ConfigError("--drop-float32 is for --dtype bfloat16: nothing else would be left")
    if args.action == "fetch" and args.masks and args.dtype != "float32":
        raise ConfigError(
            f"--dtype {args.dtype} is not for --masks: the masks' model is small, and rounded when loaded"
        )


def run(args: argparse.Namespace) -> int:
    """Fetch, or check; 0 when it is done, or the weights would run."""
    return _fetch(args) if args.action == "fetch" else _check(args)


def _fetch(args: argparse.Namespace) -> int:
    from ..published.fetching import FetchOptions, fetch
    from ..published.manifest import masks_manifest, read_manifest

    listed = masks_manifest() if args.masks and args.manifest is None else args.manifest
    manifest = read_manifest(listed)
    for licence in manifest.licences:
        _say(f"{licence.of}: {licence.name} ({licence.terms})")
    if manifest.licences and not args.accept_licences:
        _ask()
    with _reading("checking and converting") as advance:
        options = FetchOptions(precision=args.dtype, drop_float32=args.drop_float32)
        folder = fetch(manifest, args.to, options, _say, advance)
    if args.masks:
        place = folder / manifest.files[0].folder
        _say(f"done: use it with --masks-weights {place} (found by itself in ./weights and in or beside --weights)")
    else:
        _say(f"done: use them with --weights {folder}")
    return OK


def _ask() -> None:
    """Ask on the terminal whether the licences are agreed to.

    Raises:
        FetchError: they are not, or there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise FetchError("the licences above must be agreed to: call this again with --accept-licences")
    sys.stdout.write("Do you agree to these licences? [y/N] ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise FetchError("the licences were not agreed to: nothing was fetched")


def _check(args: argparse.Namespace) -> int:
    # torch takes seconds to import.
    from ..published.checking import CheckOptions, check, check_masks
    from ..published.manifest import masks_manifest, read_manifest

    manifest = read_manifest(args.manifest)
    options = CheckOptions(hashed=not args.quick, device=args.device, dtype=args.dtype)
    with _reading("reading") as advance:
        masks = check_masks(args.folder, read_manifest(masks_manifest()), options, advance)
        reports = [] if masks and masks.alone else check(args.folder, manifest, options, advance)
    lines = [line for report in reports for line in report.lines()]
    for line in lines + (masks.lines() if masks else []):
        _say(line)
    good = masks.whole if masks and masks.alone else any(report.would_run for report in reports)
    return OK if good else FAILED


@contextmanager
def _reading(what: str) -> Iterator[Callable[[int], object]]:
    """A progress bar on a terminal that counts bytes; it appears with the first ones."""
    bar: tqdm | None = None

    def advance(count: int) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(desc=what, unit="B", unit_scale=True, disable=None, leave=False)
        bar.update(count)

    try:
        yield advance
    finally:
        if bar is not None:
            bar.close()


def _say(line: str) -> None:
    tqdm.write(line, file=sys.stdout)
