"""Experiment 7: the preset "full" with one piece at a time left out, from a given and from a generated mesh."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..evaluation.cameras import rotation_errors_deg
from ..evaluation.clip_scores import track_figures
from ..evaluation.flow import Tracks
from ..evaluation.sequences import roll
from ..report import Section, failure_lines, table_lines, titles
from ..table import Figures, Measured, concat, select
from .bench import Bench, Experiment, Task
from .presets import Sequence3D, baselines, preset_config

if TYPE_CHECKING:
    import pandas as pd

    from ..synthetic import Camera

WINDOWS = 2
"""How long a clip is: what a first window leaves behind is seen in the second."""

CAMERAS: tuple[Camera, ...] = ("static", "orbit")

PIECES: dict[str, dict[str, Any]] = {
    "paper": {"preset": "paper"},
    "full": {},
    "no second read": {"parts.reads": "previous"},
    "landmarks in every frame": {"parts.match_every": 1},
    "no parts, no pixels": {"parts.rigid": False},
    "no pixels": {"parts.pixels": False},
    "cameras not from pixels": {"parts.cameras": False},
    "one key picture": {"parts.keyframes": 1},
    "2D tracks by the mesh": {"parts.tracks": False},
    "no network": {"readout.source": "none"},
}
"""Variants by the options that they change; all but the first on top of ``preset: full``."""

GENERATED: dict[str, dict[str, Any]] = {"paper": {"preset": "paper"}, "full": {}}
"""Variants from a mesh that Stage 0 makes of the first image."""

_FIGURES = {
    "all": "all points",
    "all_last": "all points, last window",
    "moved": "points that moved",
    **titles("aj", "delta_avg", "oa", "rotation_deg", "seconds"),
}
_MADE = titles("aj", "delta_avg", "oa", "rotation_deg", "seconds")


def group_of(camera: Camera) -> str:
    """Name of what is measured under a camera, from the true mesh."""
    return f"mesh given, camera {camera}"


FROM_IMAGE = "mesh from the first image"


def run(bench: Bench, task: Task) -> pd.DataFrame:
    """One clip: every variant under both cameras, then both presets from a generated mesh."""
    return concat([*(given(bench, task, camera) for camera in CAMERAS), from_image(bench, task)])


def given(bench: Bench, task: Task, camera: Camera) -> pd.DataFrame:
    """Every variant and the baselines on a clip of ``WINDOWS`` windows."""
    size = bench.config.frames
    scene = bench.scene(task, camera, frames=WINDOWS * (size - 1) + 1)
    played = Sequence3D.of(scene, np.arange(len(scene.clip.images)), size)
    tables = []
    for name, changes in PIECES.items():

        def measure(changes: dict[str, Any] = changes) -> Measured:
            config = preset_config(bench, {"preset": "full", **changes})
            return played.figures(*played.roll(bench, config), in_camera=True)

        tables.append(scene.subject.measure(group_of(camera), name, measure))
    return concat([*tables, baselines(played, group_of(camera), in_camera=True)])


def from_image(bench: Bench, task: Task) -> pd.DataFrame:
    """Both presets on a window, the mesh made from its first image: what does not need the true triangles."""
    scene = bench.scene(task)
    played = Sequence3D.of(scene, np.arange(bench.config.frames), bench.config.frames)
    tables = []
    for name, changes in GENERATED.items():

        def measure(changes: dict[str, Any] = changes) -> Figures:
            config = preset_config(bench, {"preset": "full", **changes})
            rolled = roll(bench.backbone, config, *played.pictures, scene.clip.intrinsics, played.queries)
            found, truth, kept = rolled.motion, scene.truth, played.kept
            tracks = Tracks(found.points_px[:, kept], found.points_visible[:, kept])
            figures = track_figures(tracks, played.true, kept, truth.size)
            errors = rotation_errors_deg(found.camera_from_object, truth.camera_from_object[played.order])
            figures["rotation_deg"] = float(np.median(errors))
            figures["seconds"] = float(np.mean(rolled.seconds))
            return figures

        tables.append(scene.subject.measure(FROM_IMAGE, name, measure))
    return concat(tables)


def describe(bench: Bench, table: pd.DataFrame) -> Section:
    """A table for each camera, and one for generated meshes."""
    frames = WINDOWS * (bench.config.frames - 1) + 1
    lines = [
        f"{frames} frames, {WINDOWS} windows, from the true mesh of the first frame; each row is the preset `full` "
        "with one thing changed. Errors are those in the camera's frame, where it does not matter who is said to turn. "
        "Poses are used whether trusted or not.",
        "",
    ]
    for camera in CAMERAS:
        own = select(table, group=group_of(camera))
        lines += [f"### {group_of(camera).capitalize()}", "", *table_lines(own, _FIGURES, "variant")]
    lines += [
        f"### {FROM_IMAGE.capitalize()}", "",
        f"One window of {bench.config.frames} frames under a camera that stands still; Stage 0 makes the mesh, in a "
        "frame of its own.",
        "", *table_lines(select(table, group=FROM_IMAGE), _MADE, "variant"),
    ]  # fmt: skip
    return Section(EXPERIMENT.title, [*lines, *failure_lines(table)])


EXPERIMENT = Experiment("pieces", 'What each piece of "full" is worth', run, describe, first=(0, 2, 6, 10, 14, 18))
