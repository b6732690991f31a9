"""The main table: every figure of the method and of every baseline, with the mesh given and from one image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..charts import draw_settings
from ..evaluation.clip_scores import GIVEN, IMAGE, score_clip
from ..evaluation.methods import NEAREST, OURS, RIGID, STILL
from ..evaluation.scene import CLOUDS, POINTS
from ..report import TITLES, Section, cell, failure_lines, markdown, picture, scalar, table_lines, titles
from ..table import (
    BASELINES,
    WHOLE,
    by_clip,
    concat,
    failed,
    mean_ratio,
    names_of,
    select,
    spread_of,
    succeeded,
    values_of,
)
from .bench import Bench, Experiment, Task

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = titles(
    *POINTS,
    *CLOUDS,
    *("normals_nearest", "normals_faces", "rotation_deg", "translation"),
    *("aj", "delta_avg", "oa", "apd_dynamic", "apd_all", "seconds"),
)
_OVER_STILL = {
    "last_moved": "moved, last frame, over still",
    "last_all": "all points, last frame, over still",
    "cd_4d": "CD-4D over still",
}


def run(bench: Bench, task: Task) -> pd.DataFrame:
    """One clip: every figure of the method and of each baseline, with either anchor."""
    scene = bench.scene(task)
    return concat(score_clip(scene, group, bench.backbone, bench.config) for group in (GIVEN, IMAGE))


def given_baselines(table: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """By split and clip, what ``Scene.baselines`` would measure with clouds; clips that lack one are left out."""
    own = select(table, group=GIVEN, place=WHOLE)
    own = own[own["variant"].isin((STILL, NEAREST, RIGID))].assign(group=BASELINES)
    parts = own.groupby(["dataset", "clip"], sort=False)
    return {
        (split, clip): part
        for (split, clip), part in parts
        if not len(failed(part)) and len(names_of(part, "variant")) == 3
    }


def over_still(table: pd.DataFrame, metric: str, variant: str = OURS) -> float | None:
    """The mean error of a method over that of the run's own anchor that stays still; a table of one group."""
    return mean_ratio(by_clip(select(table, variant=variant), metric), by_clip(select(table, variant=STILL), metric))


def describe(bench: Bench, table: pd.DataFrame) -> Section:
    """The targets' ratios by family, then all figures of all methods."""
    lines = [
        "One window of clips that were never trained on; `unseen` is a family that was never trained on. Ratios are "
        "the mean error over the mean error of the run's own anchor that stays still.",
        "",
    ]
    splits = names_of(table, "dataset")
    for group in (GIVEN, IMAGE):
        own = select(table, group=group)
        lines += [f"### {group}", "", *ratio_lines(kinds(own))]
        for split in splits:
            lines += [f"#### {group}, split {split}", ""]
            lines += table_lines(select(own, dataset=split), _COLUMNS, "method")
    lines += [picture("summary", "Error on points that moved, last frame, anchor given"), "", *failure_lines(table)]
    panels = {}
    for split in splits:
        given = select(table, group=GIVEN, dataset=split)
        values = {name: values_of(select(given, variant=name), "last_moved") for name in names_of(given, "variant")}
        panels[split] = {name: own for name, own in values.items() if len(own)}
    plot = draw_settings(panels, TITLES["last_moved"], {split: OURS for split in panels})
    return Section(EXPERIMENT.title, lines, {"summary": plot})


def kinds(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Parts of a table: of the split "test" all, creatures, others and each family; then the other splits."""
    test = select(table, dataset="test")
    parts = {
        "test, all": test,
        "test, creatures": select(test, family="creature"),
        "test, others": test[test["family"] != "creature"],
    }
    parts |= {f"test, {family}": select(test, family=family) for family in names_of(test, "family")}
    return parts | {split: select(table, dataset=split) for split in names_of(table, "dataset") if split != "test"}


def ratio_lines(parts: Mapping[str, pd.DataFrame]) -> list[str]:
    """The method in parts of one group's table: ratios to the mesh that stays still, and figures of the method."""
    figures = titles("last_moved", "cd_3d", "cd_4d", "cd_m", "rotation_deg", "delta_avg")
    rows = []
    for name, part in parts.items():
        own = select(part, variant=OURS)
        if not len(own):
            continue
        good, tried = succeeded(own)
        ratios = [over_still(part, metric) for metric in _OVER_STILL]
        ratios.append(over_still(part, "last_moved", RIGID))
        cells = ["-" if ratio is None else f"**{scalar(ratio)}**" for ratio in ratios]
        rows.append([name, f"{good} of {tried}", *cells, *(cell(spread_of(own, metric)) for metric in figures)])
    head = ["clips", "that succeeded", *_OVER_STILL.values(), f"moved, {RIGID}, over still", *figures.values()]
    return markdown(head, rows)


EXPERIMENT = Experiment("summary", "Summary", run, describe, splits=("test", "unseen"))
