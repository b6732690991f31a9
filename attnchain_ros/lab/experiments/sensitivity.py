"""Experiment 6: landmarks, skinning, smoothing and outliers, one option at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...config import flatten
from ..charts import draw_settings
from ..evaluation.scene import POINTS
from ..report import TITLES, Section, compare_lines, failure_lines, family_lines, picture, table_lines, titles
from ..table import BASELINES, Figures, concat, names_of, select, values_of
from .bench import MESH_ONLY, Bench, Experiment, Task
from .remember import remember

if TYPE_CHECKING:
    import pandas as pd

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


def run(bench: Bench, task: Task) -> pd.DataFrame:
    """One clip with every value; the denoiser runs once for all of them, since none of these options is in it."""
    scene = bench.scene(task)
    backbone = remember(bench.backbone)
    own = flatten(bench.config)
    default: Figures = {}
    tables = []
    for option, values in tried(bench).items():
        for value in values:
            is_default = value == own[option][1]

            def measure(option: str = option, value: Any = value, is_default: bool = is_default) -> Figures:
                if is_default and default:
                    return default
                motion = scene.roll(backbone, bench.changed({**MESH_ONLY, option: value}))
                figures = scene.point_figures(motion.vertices)
                if is_default:
                    default.update(figures)
                return figures

            tables.append(scene.subject.measure(option, f"{value:g}", measure))
    return concat([*tables, *([scene.baselines(clouds=False)] if task.baselines else [])])


def describe(bench: Bench, table: pd.DataFrame) -> Section:
    """A table for each option, and all of them in one figure."""
    own = flatten(bench.config)
    defaults = {option: f"{own[option][1]:g}" for option in VALUES}
    columns = titles(*POINTS)
    lines = [
        "One option at a time around this run's options; the denoiser's output is the same for all of them.",
        "",
    ]
    panels = {}
    for option in VALUES:
        part = select(table, group=option)
        lines += [f"### {option}", "", *table_lines(part, columns, option)]
        lines += compare_lines(part, columns, defaults[option])
        lines += family_lines(part, "last_moved", TITLES["last_moved"])
        panels[option] = {
            variant: values_of(select(part, variant=variant), "frames_moved") for variant in names_of(part, "variant")
        }
    lines += ["### Baselines", "", *table_lines(select(table, group=BASELINES), columns, "baseline")]
    lines += [picture("sensitivity", "Error on points that moved, by option"), "", *failure_lines(table)]
    plot = draw_settings(panels, TITLES["frames_moved"], defaults)
    return Section(EXPERIMENT.title, lines, {"sensitivity": plot})


EXPERIMENT = Experiment("sensitivity", "Landmarks, skinning, smoothing, outliers", run, describe, shares_baselines=True)
