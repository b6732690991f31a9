"""``attnchain probe``: rank the ways to read attention on one's own pictures, without ground truth."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...cli.arguments import (
    add_clip_arguments,
    add_network_arguments,
    check_foreground_arguments,
    clip_options,
    describe_settings,
    parse_intrinsics,
    parse_settings,
    stream_config,
)
from ...cli.main import FAILED, OK
from ...errors import AttnChainError, ConfigError, FileFormatError
from ...files.meshes import read_mesh
from ...stream.objects import ALL_OBJECTS

if TYPE_CHECKING:
    from ...backbone import Backbone
    from ...config import RolloutConfig
    from ...mesh.types import Mesh
    from ...rollout import Rollout
    from ...rollout.state import RolloutState
    from ...rollout.window import Window
    from ..probe import ProbeScores, Reading

# The same names as rollout.probe.GROUPS, which a test compares: help must not load torch.
GROUPS = ("layers", "heads", "steps", "direction", "renormalise")
_CLIP_SIDE = 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.description = (
        "Send landmarks through the attention chain to the other frames of a window and back, once for every way to "
        "read the attention (layers, heads, steps, direction, renormalisation), and print the readings from the best "
        "to the worst. Needs no ground truth; see docs/probe.md for what the scores mean and when to trust them."
    )
    parser.add_argument("input", nargs="?", metavar="INPUT", help="image folder, video or rosbag2 folder")
    parser.add_argument(
        "--clips",
        type=int,
        metavar="N",
        help="instead of INPUT: N held-out synthetic clips, which bring their anchor mesh",
    )
    parser.add_argument(
        "--settings", dest="groups", metavar="GROUPS", default=",".join(GROUPS),
        help=f"what is varied, separated by commas (default {','.join(GROUPS)}); heads are those of the best layer",
    )  # fmt: skip
    parser.add_argument(
        "--windows", type=int, default=1, metavar="N", help="windows of INPUT, one after another (default 1)"
    )
    parser.add_argument("--anchor", type=Path, metavar="MESH", help="mesh of the object in frame 0 (default: Stage 0)")
    parser.add_argument("--fps", type=float, help="frames per second (default: the video's own; 30 for images)")
    parser.add_argument("--intrinsics", metavar="FX,FY,CX,CY", help="camera in pixels (default: the bag's, or assumed)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the scores of every window to a file")
    add_clip_arguments(parser)
    add_network_arguments(parser)


def check_arguments(args: argparse.Namespace) -> None:
    """Check what can be checked before anything is loaded.

    Raises:
        ConfigError, FileFormatError: an argument cannot be used.
    """
    if (args.input is None) == (args.clips is None):
        raise ConfigError("give either INPUT or --clips N")
    if args.clips is not None and args.clips < 1:
        raise ConfigError(f"--clips is {args.clips}, must be at least 1")
    if args.windows < 1:
        raise ConfigError(f"--windows is {args.windows}, must be at least 1")
    if args.anchor is not None and (args.clips is not None or args.windows > 1):
        raise ConfigError("--anchor is the mesh of INPUT's first frame: leave out --clips and --windows")
    if args.json is not None and args.json.is_dir():
        raise FileFormatError(f"--json {args.json} is a folder, wanted the name of a file")
    parse_groups(args.groups)
    check_foreground_arguments(args)
    parse_intrinsics(args.intrinsics)
    parse_settings(args.settings)


def parse_groups(text: str) -> list[str]:
    """Groups of readings by name.

    Raises:
        ConfigError: an unknown name, or heads without layers.

    >>> parse_groups("steps,layers")
    ['layers', 'steps']
    """
    asked = [word.strip() for word in text.split(",")]
    unknown = [word for word in asked if word not in GROUPS]
    if unknown:
        raise ConfigError(f"--settings names {unknown[0]!r}; there are {', '.join(GROUPS)}")
    if "heads" in asked and "layers" not in asked:
        raise ConfigError("--settings heads are those of the best layer: ask for layers as well")
    return [group for group in GROUPS if group in asked]


def run(args: argparse.Namespace) -> int:
    """Print the rankings; 0 if every reading of every window has a score, 1 if one failed."""
    # Here, because torch takes seconds to load and wrong arguments should be told at once.
    import json

    from ...backbone import load_backbone
    from ...files.atomic import write_bytes
    from ...options import resolve
    from ..probe import head_readings, readings

    backbone = load_backbone(args.weights, args.device, args.dtype)
    changes = {**parse_settings(args.settings), "reinforce.mode": "off"}
    config = resolve(backbone, changes)
    scores = _Scores(backbone, config)
    for window, mesh, canonical in _windows(args, config):
        scores.add(window, mesh, canonical)
    sys.stdout.write(
        f"{backbone.name} ({backbone.checksum}) on {backbone.device}, seed {config.sampling.seed}, "
        f"{len(scores.windows)} window(s) of {config.frames} frames"
        + (f", options {describe_settings(parse_settings(args.settings))}" if args.settings else "")
        + "\n"
    )
    for group in parse_groups(args.groups):
        if group == "heads":
            best = scores.best_layer()
            ways = [] if best is None else head_readings(backbone, best)
            title = f"heads of layer {best}"
        else:
            ways, title = readings(backbone, config, [group]), group
        scores.measure(ways)
        sys.stdout.write(scores.ranking(title, ways))
        sys.stdout.flush()
    if args.json is not None:
        write_bytes(args.json, (json.dumps(scores.as_json(), indent=2, allow_nan=False) + "\n").encode())
    for failure in scores.failures:
        sys.stderr.write(f"attnchain: {failure}\n")
    return FAILED if scores.failures else OK


class _Scores:
    """Scores of every reading on every window; one reading's maps at a time are held."""

    def __init__(self, backbone: Backbone, config: RolloutConfig) -> None:
        self.backbone, self.config = backbone, config
        self.windows: list[Window] = []
        self.starts: list[tuple[Rollout, RolloutState]] = []
        self.found: dict[Reading, list[ProbeScores | None]] = {}
        self.failures: list[str] = []

    def add(self, window: Window, mesh: Mesh | None, canonical: bool) -> None:
        """One more window; its anchor is the mesh, or made from its first image.

        Raises:
            AttnChainError: there is no anchor.
        """
        from ...rollout import Rollout

        rollout = Rollout(self.backbone, self.config, mesh, anchor_is_canonical=canonical)
        self.starts.append((rollout, rollout.start(window)))
        self.windows.append(window)

    def measure(self, ways: Iterable[Reading]) -> None:
        """Score readings; a failure becomes a line."""
        from ..probe import probe_window

        ways = list(ways)
        for number, way in enumerate(ways):
            sys.stderr.write(f"\r{way.group}: {number + 1} of {len(ways)}" + ("\n" if number + 1 == len(ways) else ""))
            sys.stderr.flush()
            own: list[ProbeScores | None] = []
            for place, (window, (rollout, start)) in enumerate(zip(self.windows, self.starts, strict=True)):
                try:
                    own += probe_window(rollout, window, start, [way])
                except AttnChainError as error:
                    own.append(None)
                    self.failures.append(f"window {place}, {way.name}: {error}")
            self.found[way] = own

    def mean(self, way: Reading, name: str) -> float | None:
        """Mean of a score over the windows that have it."""
        values = [getattr(score, name) for score in self.found[way] if score is not None]
        return sum(values) / len(values) if values else None

    def ranked(self, ways: Iterable[Reading]) -> list[tuple[float, Reading]]:
        """Readings with a score, the best first; equal ones keep their order."""
        known = [(score, way) for way in ways if (score := self.mean(way, "both")) is not None]
        return sorted(known, key=lambda pair: pair[0])

    def best_layer(self) -> str | None:
        """The single layer with the best score, as an option; None if none has one."""
        singles = [way for way in self.found if way.group == "layers" and way.name.startswith("layer ")]
        order = self.ranked(singles)
        return str(dict(order[0][1].changes)["readout.layers"]) if order else None

    def ranking(self, title: str, ways: list[Reading]) -> str:
        """A table of readings, the best first."""
        lines = [f"\n{title}", f"  {'probe':>8} {'cycle':>8} {'distort':>8}  reading"]
        for score, way in self.ranked(ways):
            cycle, distortion = self.mean(way, "cycle"), self.mean(way, "distortion")
            options = " ".join(f"{name}={_text(value)}" for name, value in way.changes)
            lines.append(f"  {score:8.4f} {cycle:8.4f} {distortion:8.4f}  {way.name} ({options})")
        if len(lines) == 2:
            lines.append("  no reading has a score")
        return "\n".join(lines) + "\n"

    def as_json(self) -> dict[str, Any]:
        """All scores."""
        return {
            "checkpoint": self.backbone.name,
            "checksum": self.backbone.checksum,
            "seed": self.config.sampling.seed,
            "readings": [
                {
                    "group": way.group,
                    "name": way.name,
                    "options": dict(way.changes),
                    "windows": [
                        None if score is None else {"cycle": score.cycle, "distortion": score.distortion}
                        for score in own
                    ],
                }
                for way, own in self.found.items()
            ],
        }


def _text(value: object) -> str:
    """A value as ``--set`` takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _windows(args: argparse.Namespace, config: RolloutConfig) -> Iterator[tuple[Window, Mesh | None, bool]]:
    """The windows to probe, with the anchor mesh if there is one and whether it is in the canonical frame."""
    import itertools

    from ...files.images import open_frames
    from ...stream.windows import ClipWindows

    if args.clips is not None:
        from ..evaluation.anchors import clip_mesh
        from ..evaluation.synthetic import SyntheticSet, clip_windows
        from ..synthetic import ClipConfig

        clips = SyntheticSet(clip=ClipConfig(frames=config.frames, image_size=_CLIP_SIDE))
        for index in range(args.clips):
            clip = clips.make(index)
            yield next(clip_windows(clip, config.frames)), clip_mesh(clip), True
        return
    mesh = None if args.anchor is None else read_mesh(args.anchor)
    if args.instance == ALL_OBJECTS:
        raise ConfigError("--instance all is for run and replay: the probe looks at one object, choose it by its id")
    source = open_frames(Path(args.input), clip_options(args))
    windows = ClipWindows(source, stream_config(args), config.frames, parse_intrinsics(args.intrinsics))
    # Only the first chain: another one may have other intrinsics and another object.
    first = itertools.takewhile(lambda part: part.chain == 0, windows)
    count = 0
    for part in itertools.islice(first, args.windows):
        count += 1
        yield part.window, mesh, False
    if not count:
        raise FileFormatError(f"{args.input} has no frames: nothing to probe")
