"""``attnchain evaluate``: errors against the truth, on synthetic clips or on a published benchmark's folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...cli.arguments import check_output, parse_settings
from ...cli.main import FAILED, OK
from ...errors import ConfigError
from .. import check_extra

if TYPE_CHECKING:
    import pandas as pd

    from ...backbone import Backbone
    from ...config import RolloutConfig
    from ..evaluation.actionbench_config import ActionBenchConfig
    from ..report import Section

_ANCHORS = ("given", "image", "both")
_DATASETS = ("synthetic", "actionbench", "tapvid", "badja", "worldtrack")
_COUNTS = ("published", "reduced")
_SYNTHETIC_ONLY = {"split": "test", "family": "", "frames": 16, "anchor": "both", "image_size": 256, "camera": "static"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.description = (
        "Run the method on held-out synthetic clips (with the anchor mesh given and from one image) or on the folder "
        "of a published benchmark, and write tables of errors against the truth, beside the same of baselines, as "
        "errors.md, rows.csv and plots."
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in --out that was stopped; failures are tried again"
    )
    parser.add_argument("--dataset", choices=_DATASETS, default="synthetic", help="what to run on (default synthetic)")
    parser.add_argument("--root", type=Path, metavar="DIR", help="folder of a published benchmark")
    parser.add_argument("--clips", type=int, default=None, help="number of clips (default 20; all of a benchmark)")
    parser.add_argument("--first", type=int, default=0, help="number of the first clip (default 0)")
    synthetic = parser.add_argument_group("synthetic clips")
    synthetic.add_argument("--split", default="test", help="test (default), validation, train or unseen")
    synthetic.add_argument("--family", default="", help="only clips of one family, such as creature or door")
    synthetic.add_argument(
        "--frames", type=int, default=16, help="frames of a clip (default 16; 61 are four windows of 16)"
    )
    synthetic.add_argument(
        "--ping-pong",
        type=int,
        default=0,
        metavar="N",
        help="play N frames forwards and backwards (App. C)",
    )
    synthetic.add_argument("--camera", default="static", help="static (default), orbit or sway")
    synthetic.add_argument("--anchor", choices=_ANCHORS, default="both", help="which runs (default both)")
    synthetic.add_argument("--image-size", type=int, default=256, help="side of the pictures in pixels (default 256)")
    published = parser.add_argument_group("published benchmarks")
    published.add_argument(
        "--query-mode", choices=("first", "strided"), default="first", help="of TAP-Vid (default first)"
    )
    published.add_argument(
        "--foreground", choices=("grabcut", "none"), default="none",
        help="how to cut out the object in videos without masks (default none: the method fails on them)",
    )  # fmt: skip
    parser.add_argument(
        "--counts",
        choices=_COUNTS,
        default=None,
        help="points and steps of CD-3D, CD-4D and CD-M: as published, or a hundredth of them for processors "
        "(default: published for actionbench, reduced for synthetic)",
    )
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
        ConfigError: an argument cannot be used.   FileFormatError: ``--out`` cannot be written to.
    """
    check_extra()
    for name, least in (("clips", 1), ("first", 0), ("frames", 2), ("image_size", 16), ("ping_pong", 0)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise ConfigError(f"--{name.replace('_', '-')} is {value}, must be at least {least}")
    if args.dataset == "synthetic":
        if args.root is not None or args.foreground != "none" or args.query_mode != "first":
            raise ConfigError("--root, --foreground and --query-mode are for published benchmarks: give --dataset")
    else:
        if args.root is None:
            raise ConfigError(f"--dataset {args.dataset} needs its folder: give --root DIR")
        given = [name for name, default in _SYNTHETIC_ONLY.items() if getattr(args, name) != default]
        if given or args.ping_pong:
            names = ", ".join("--" + name.replace("_", "-") for name in given) or "--ping-pong"
            raise ConfigError(f"{names}: only for synthetic clips, not for --dataset {args.dataset}")
    check_output(args.out)
    parse_settings(args.settings)


def run(args: argparse.Namespace) -> int:
    """Print the report; 0 if every run succeeded, 1 if one failed."""
    # Here, because torch takes seconds to load and wrong arguments should be told at once.
    from ...backbone import load_backbone
    from ...options import resolve
    from ..evaluation.actionbench_config import PUBLISHED, REDUCED
    from ..report import CELLS, LENGTHS, write_report
    from ..table import failed, write_table

    synthetic = args.dataset == "synthetic"
    backbone = load_backbone(args.weights, args.device, args.dtype)
    config = resolve(backbone, parse_settings(args.settings))
    counts = PUBLISHED if (args.counts or ("reduced" if synthetic else "published")) == "published" else REDUCED
    run_one = _run_synthetic if synthetic else _run_benchmark
    title, identity, table = run_one(args, backbone, config, counts)
    sections = [_section(group, own) for group, own in table.groupby("group", sort=False)]
    sys.stdout.write(write_report(args.out / "errors.md", title, identity, f"{LENGTHS} {CELLS}", sections))
    write_table(args.out / "rows.csv", table)
    return FAILED if len(failed(table)) else OK


def _progress(noun: str) -> Any:
    def show(done: int, total: int) -> None:
        sys.stderr.write(f"\r{done} of {total} {noun}" + ("\n" if done == total else ""))
        sys.stderr.flush()

    return show


def _section(group: str, table: pd.DataFrame) -> Section:
    """The figures of all methods from one kind of anchor, and their curves."""
    from ..charts import draw_curves
    from ..report import CURVES, Section, method_lines, picture
    from ..table import curves_of, names_of, select

    lines, plots = method_lines(table), {}
    for metric, (against, label) in CURVES.items():
        curves = {name: curves_of(select(table, variant=name), metric) for name in names_of(table, "variant")}
        if any(len(curve) > 1 for own in curves.values() for curve in own):
            name = f"{group}_{metric}".strip("_").replace(" ", "_")
            plots[name] = draw_curves(curves, against, label)
            lines += [picture(name, label), ""]
    return Section(group or "All methods", lines, plots)


def _run_synthetic(
    args: argparse.Namespace, backbone: Backbone, config: RolloutConfig, counts: ActionBenchConfig
) -> tuple[str, dict[str, Any], pd.DataFrame]:
    from ..evaluation.clip_scores import GIVEN, IMAGE, evaluate_clips
    from ..evaluation.runs import RunFile, run_identity
    from ..evaluation.synthetic import SyntheticSet
    from ..synthetic import ClipConfig

    clip = ClipConfig(
        frames=args.frames, image_size=args.image_size, camera=args.camera, ping_pong_frames=args.ping_pong
    )
    clips = SyntheticSet(args.split, args.family, clip)
    indices = range(args.first, args.first + (20 if args.clips is None else args.clips))
    # Unknown splits and families should be told before a checkpoint has run.
    clips.make(indices.start)
    groups = {"given": (GIVEN,), "image": (IMAGE,), "both": (GIVEN, IMAGE)}[args.anchor]
    what = f"split {args.split}, {args.family or 'all families'}, camera {args.camera}"
    what += f", {args.frames} frames of {args.image_size} px"
    what += f", {args.ping_pong} played forwards and backwards" if args.ping_pong else ""
    identity = run_identity(backbone, config, counts, args.settings) | {"clips": what}
    file = RunFile(args.out, identity, args.resume)
    table = evaluate_clips(
        backbone, config, indices, groups=groups, clips=clips, counts=counts, file=file, progress=_progress("runs")
    )
    return "Errors against the truth", {**identity, "numbers": f"{indices.start} to {indices.stop - 1}"}, table


def _run_benchmark(
    args: argparse.Namespace, backbone: Backbone, config: RolloutConfig, counts: ActionBenchConfig
) -> tuple[str, dict[str, Any], pd.DataFrame]:
    from ..evaluation.runs import RunFile, run_identity
    from ..evaluation.videos import BENCHMARKS, VideoOptions, evaluate_videos

    benchmark = BENCHMARKS[args.dataset]
    items = benchmark.list_items(args.root)
    items = items[args.first :] if args.clips is None else items[args.first : args.first + args.clips]
    if not items:
        raise ConfigError(f"--first is {args.first} and {args.root} has fewer items: lower it")
    what = f"{args.dataset}, queries {args.query_mode}, foreground {args.foreground}"
    identity = run_identity(backbone, config, counts, args.settings) | {"clips": what}
    file = RunFile(args.out, identity, args.resume)
    options = VideoOptions(backbone, config, counts, args.query_mode, args.foreground == "grabcut")
    table = evaluate_videos(args.dataset, items, options, file, _progress("items"))
    return benchmark.title, {**identity, "items": f"{len(items)}"}, table
