"""``attnchain batch CLIP... --out DIR``: ``attnchain run`` for many clips, over the workers of Ray.

DIR holds a folder for each clip, ``logs/``, ``batch.json`` (what is done, by which the same command goes on) and the
table ``batch.md``.
"""

from __future__ import annotations

import argparse
import copy
import glob
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError, FileFormatError
from ..files.atomic import write_bytes
from ..files.results import counted
from . import run as one_clip
from .arguments import SYNTHETIC, add_clip_arguments, check_output
from .batching import Ended, Job, run_jobs
from .main import FAILED, OK
from .rolling import add_rollout_arguments, say

STATE, TABLE, LOGS, NAME = "batch.json", "batch.md", "logs", "{name}"
_OWN = ("clips", "out", "workers", "address", "verb", "debug", "verbose")
"""Arguments that say nothing about a clip's results."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument(
        "clips", nargs="+", metavar="CLIP",
        help="what run takes, a pattern in quotes ('bags/*'), or a .txt file with one of these a line",
    )  # fmt: skip
    parser.add_argument("--fps", type=float, help="frames per second (default: the video's own; 30 for images)")
    parser.add_argument(
        "--workers", type=int, default=0, metavar="N", help="processes (default 0: one a GPU, or one on the CPU)"
    )
    parser.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="of a running Ray cluster; auto: of this machine (default: one is started)",
    )
    add_clip_arguments(parser, prompts=True)
    add_rollout_arguments(parser)
    parser.epilog = f"{NAME} in --masks, --anchor and --first-mask is the clip's own name."


def check_arguments(args: argparse.Namespace) -> None:
    """Check what can be checked before anything is loaded.

    Raises:
        ConfigError, FileFormatError: an argument cannot be used.
    """
    if args.workers < 0:
        raise ConfigError(f"--workers is {args.workers}, the least is 0")
    if args.device.startswith("cuda:"):
        raise ConfigError(f"--device is {args.device}: Ray chooses the GPU of each worker, give cuda")
    check_output(args.out)
    for job in plan(args):
        one_clip.check_arguments(job.args)
    _read_state(args)


def run(args: argparse.Namespace) -> int:
    """Run all clips that are not done yet; 0 if all are done then, 1 if one failed twice."""
    jobs = plan(args)
    state = _read_state(args)
    clips: dict[str, dict[str, Any]] = state["clips"]
    waiting = [job for job in jobs if clips.get(job.name, {}).get("error", "new")]
    if len(waiting) < len(jobs):
        say(f"{counted(len(jobs) - len(waiting), 'clip')} of {len(jobs)} done before")

    def on_end(job: Job, ended: Ended) -> None:
        clips[job.name] = {"error": ended.error, "seconds": round(ended.seconds, 1), "attempts": job.attempt}
        _write_state(args.out, state)
        done = sum(not clips.get(other.name, {"error": "new"})["error"] for other in jobs)
        told = f"failed: {ended.error}" if ended.error else f"{ended.seconds:.0f} s"
        say(f"{job.name}: {told} ({done} of {len(jobs)} done)")

    _write_state(args.out, state)
    run_jobs(waiting, args.workers, args.address, on_end)
    table = _table(jobs, clips)
    write_bytes(args.out / TABLE, f"{table}\n".encode())
    say(f"{table}\nwrote {TABLE} to {args.out}")
    return FAILED if any(clips[job.name]["error"] for job in jobs) else OK


def plan(args: argparse.Namespace) -> list[Job]:
    """A job for each clip, in the order given; patterns in the order of their names.

    Raises:
        ConfigError: no clip, or two of one name.
    """
    jobs: dict[str, Job] = {}
    for clip in _clips(args.clips, Path()):
        name = _name(clip)
        if name in jobs:
            raise ConfigError(
                f"{clip} and {jobs[name].args.input} would both be {name} in {args.out}: put them into two batches, "
                "or rename one"
            )
        own = copy.copy(args)
        own.input, own.out = clip, (args.out / name).absolute()
        for option in ("masks", "anchor", "first_mask"):
            place = getattr(args, option, None)
            if place is not None:
                setattr(own, option, Path(str(place).replace(NAME, name)).absolute())
        jobs[name] = Job(name, own, (args.out / LOGS / f"{name}.txt").absolute())
    return list(jobs.values())


def _clips(words: Sequence[str], folder: Path) -> list[str]:
    """Every clip that words name, with absolute paths; those of a list are relative to it.

    Raises:
        ConfigError: a pattern that fits nothing.   FileFormatError: a list that cannot be read.
    """
    found: list[str] = []
    for word in words:
        place = folder / word
        if word.startswith(SYNTHETIC):
            found.append(word)
        elif place.suffix == ".txt" and place.is_file():
            try:
                lines = place.read_text(encoding="utf-8").splitlines()
            except UnicodeDecodeError as error:
                raise FileFormatError(f"{place} is no list of clips: it is not UTF-8") from error
            found += _clips([line.strip() for line in lines if line.strip() and line[0] != "#"], place.parent)
        elif any(sign in word for sign in "*?[") and not place.exists():
            fitting = sorted(glob.glob(str(place)))
            if not fitting:
                raise ConfigError(f"{word!r} fits no file")
            found += [str(Path(one).absolute()) for one in fitting]
        else:
            found.append(str(place.absolute()))
    return found


def _name(clip: str) -> str:
    """What a clip is called: its file or folder without the ending.

    >>> _name("/data/a.b/walk.mp4"), _name("synthetic:3"), _name("/data/walk/frame_%04d.png")
    ('walk', 'synthetic_3', 'walk')
    """
    if clip.startswith(SYNTHETIC):
        return clip.replace(":", "_")
    path = Path(clip)
    return path.parent.name if "%" in path.name else path.stem if path.suffix else path.name


def _read_state(args: argparse.Namespace) -> dict[str, Any]:
    """What an earlier call of the same command has done, or a new beginning.

    Raises:
        ConfigError: the folder holds a batch with other options.   FileFormatError: its file cannot be read.
    """
    path = args.out / STATE
    mine = {name: str(value) for name, value in sorted(vars(args).items()) if name not in _OWN}
    if not path.is_file():
        return {"arguments": mine, "clips": {}}
    try:
        state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        theirs, _ = state["arguments"], state["clips"]
    except (ValueError, KeyError, TypeError) as error:
        raise FileFormatError(f"{path} is no state of a batch: {error}; remove it to begin anew") from error
    other = next((name for name in sorted({*mine, *theirs}) if mine.get(name) != theirs.get(name)), None)
    if other is not None:
        raise ConfigError(
            f"{args.out} holds a batch with {other} {theirs.get(other)}, now it is {mine.get(other)}: "
            "give another --out"
        )
    return state


def _write_state(out: Path, state: dict[str, Any]) -> None:
    write_bytes(out / STATE, (json.dumps(state, indent=1) + "\n").encode())


def _table(jobs: Sequence[Job], clips: dict[str, dict[str, Any]]) -> str:
    """What became of each clip, in Markdown."""
    lines = ["| clip | frames | windows | overlap | poses | seconds | attempts | |", "|" + "---|" * 8]
    for job in jobs:
        ended = clips[job.name]
        summary = job.args.out / "summary.json"
        told = ["", "", "", ""]
        if not ended["error"] and summary.is_file():
            found = json.loads(summary.read_text(encoding="utf-8"))
            overlap = found["silhouette_iou"]
            told = [
                str(found["frames"]), str(found["windows"]), "" if overlap is None else f"{overlap:.2f}",
                f"{found['camera_poses']}/{found['frames']}",
            ]  # fmt: skip
        error = " ".join(ended["error"].split()).replace("|", "\\|")
        row = [job.name, *told, f"{ended['seconds']:g}", str(ended["attempts"]), error and f"failed: {error}"]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)
