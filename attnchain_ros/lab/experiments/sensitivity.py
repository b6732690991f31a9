"""Experiment 6: landmarks, skinning, smoothing and outliers, one option at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...config import flatten
from .bench import BASELINE_TABLE, MESH_ONLY, POINTS, Bench, Experiment, Section, Task
from .charts import draw_settings, picture
from .remember import remember
from .rows import Figures, Row, compare_settings, failure_lines, family_lines, names_of, select, table_lines

VALUES: dict[str, tuple[Any, ...]] = {
    "animation.landmarks": (64, 125, 250, 500, 1000, 2000),
    "animation.k_nn": (30, 60, 120, 240),
    "animation.sigma_landmark": (0.0, 0.75, 1.5, 3.0),
    "animation.sigma_final": (0.0, 0.75, 1.5, 3.0),
    "animation.outlier_floor": (0.0, 0.05, 0.1),
}
"""Options and the values tried; the run's own value is tried as well."""


def tried(bench: Bench) -> dict[str, list[Any]]:
    """By option, its values in ascending order, the run's own among them."""
    own = flatten(bench.config)
    return {name: sorted({*values, own[name][1]}) for name, values in VALUES.items()}


def run(bench: Bench, task: Task) -> list[Row]:
    """One clip with every value; the denoiser runs once for all of them, since none of these options is in it."""
    scene = bench.scene(task)
    backbone = remember(bench.backbone)
    own = flatten(bench.config)
    default: Figures | None = None
    rows = []
    for option, values in tried(bench).items():
        for value in values:
            is_default = value == own[option][1]

            def measure(option: str = option, value: Any = value) -> Figures:
                motion = scene.roll(backbone, bench.changed({**MESH_ONLY, option: value}))
                return scene.point_figures(motion.vertices)

            row = scene.subject.row(
                option, f"{value:g}", measure if default is None or not is_default else default.copy
            )
            if is_default and not row.failure:
                default = row.figures
            rows.append(row)
    return rows + (scene.baselines(clouds=False) if task.baselines else [])


def describe(bench: Bench, rows: Sequence[Row]) -> Section:
    """A table for each option, and all of them in one figure."""
    own = flatten(bench.config)
    defaults = {option: f"{own[option][1]:g}" for option in VALUES}
    lines = [
        "One option at a time around this run's options; the denoiser's output is the same for all of them.",
        "",
    ]
    for option in VALUES:
        part = select(rows, table=option)
        lines += [f"### {option}", "", *table_lines(part, POINTS, option)]
        lines += [f"- {compare_settings(part, name, title, defaults[option])}" for name, title in POINTS.items()]
        lines += ["", *family_lines(part, "last_moved", POINTS["last_moved"])]
    lines += ["### Baselines", "", *table_lines(select(rows, table=BASELINE_TABLE), POINTS, "baseline")]
    lines += [picture("sensitivity", "Error on points that moved, by option"), "", *failure_lines(rows)]
    panels = {
        option: {
            setting: [
                value
                for row in select(rows, table=option, setting=setting)
                if (value := row.figures.get("frames_moved")) is not None
            ]
            for setting in names_of(select(rows, table=option), "setting")
        }
        for option in VALUES
    }
    plot = draw_settings(panels, POINTS["frames_moved"], defaults)
    return Section(EXPERIMENT.title, lines, {"sensitivity": plot})


EXPERIMENT = Experiment("sensitivity", "Landmarks, skinning, smoothing, outliers", run, describe, shares_baselines=True)
