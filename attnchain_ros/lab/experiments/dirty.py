"""Experiment 6: both presets on pictures and masks as cameras and segmenters in the field give them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ...stream.objects import clean_mask
from ..report import Section, cell, failure_lines, markdown, scalar
from ..synthetic.dirt import DIRTS, Dirt, soil
from ..table import Measured, concat, mean_of, median_of, names_of, select, spread_of
from .bench import Bench, Experiment, Task
from .presets import PRESETS, Sequence3D, baselines, preset_config

if TYPE_CHECKING:
    import pandas as pd

WINDOWS = 2
"""How long a clip is: what a dirty first window leaves behind is seen in the second."""

_FIGURES = {
    "all": "all points, object units",
    "moved": "points that moved, object units",
    "delta_avg": "delta_avg",
    "oa": "OA",
    "rotation_deg": "camera rotation, median [deg]",
}


def run(bench: Bench, task: Task) -> pd.DataFrame:
    """One clip with every kind of dirt, by both presets."""
    return concat(run_dirt(bench, task, name) for name in DIRTS)


def run_dirt(bench: Bench, task: Task, name: str) -> pd.DataFrame:
    """One clip with one kind of dirt."""
    size = bench.config.frames
    scene = bench.scene(task, frames=WINDOWS * (size - 1) + 1)
    played = dirty_sequence(Sequence3D.of(scene, np.arange(len(scene.clip.images)), size), DIRTS[name])
    tables = []
    for preset, changes in PRESETS.items():

        def measure(changes: dict[str, object] = changes) -> Measured:
            return played.figures(*played.roll(bench, preset_config(bench, changes)))

        tables.append(scene.subject.measure(name, preset, measure))
    return concat([*tables, baselines(played, name)])


def dirty_sequence(played: Sequence3D, dirt: Dirt) -> Sequence3D:
    """A clip from its first to its last frame, with dirt; masks are freed of specks and holes as a stream's are."""
    shown = soil(played.scene.clip, dirt)
    return replace(played, shown=shown._replace(masks=np.stack([clean_mask(mask).mask for mask in shown.masks])))


def describe(bench: Bench, table: pd.DataFrame) -> Section:
    """A table for each figure: kinds of dirt by presets and baselines."""
    frames = WINDOWS * (bench.config.frames - 1) + 1
    lines = [
        f"{frames} frames under a camera that stands still, from the true mesh of the first. Pictures and masks are "
        "dirty in one way each, the truth is that of the clean clip. Masks are freed of specks and holes as every "
        "stream's are.",
        "",
    ]
    variants = names_of(table, "variant")
    for metric, title in _FIGURES.items():
        shown = [name for name in variants if mean_of(select(table, variant=name), metric) is not None]
        rows = []
        for kind in names_of(table, "group"):
            own = [select(table, group=kind, variant=name) for name in shown]
            if metric == "rotation_deg":
                # One clip that is seen from the wrong side weighs a lot in a mean.
                rows.append([kind, *(scalar(median_of(part, metric), ".1f") for part in own)])
            else:
                rows.append([kind, *(cell(spread_of(part, metric)) for part in own)])
        told = f"{title}, median over clips" if metric == "rotation_deg" else title
        lines += [f"### {told}", "", *markdown(["dirt", *shown], rows)]
    return Section(EXPERIMENT.title, [*lines, *failure_lines(table)])


EXPERIMENT = Experiment("dirty", "Dirty pictures and masks", run, describe, first=(0, 2, 6, 10, 14, 18))
