"""Experiment 5: one window, from the true mesh and from one image, by family; and a family never trained on."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np

from ..evaluation.records import OURS, cell, spread
from ..evaluation.scores import score_motion
from ..evaluation.sequences import roll
from ..evaluation.synthetic_records import NEAREST, RIGID, STILL, animated_meshes, clip_records
from .bench import BASELINE_TABLE, CLOUDS, POINTS, Bench, Experiment, Section, Task
from .charts import draw_settings, picture
from .rows import Figures, Row, failure_lines, mean_of, names_of, pooled_ratio, select, table_lines, values_of

GIVEN, IMAGE = "anchor given", "from one image"
_COLUMNS = {
    **POINTS,
    **CLOUDS,
    "normals_nearest": "normal consistency, nearest",
    "normals_faces": "normal consistency, faces",
    "rotation_deg": "camera rotation, median [deg]",
    "translation": "camera translation, median",
    "aj": "AJ",
    "delta_avg": "delta_avg",
    "oa": "OA",
    "apd_dynamic": "APD_3D, points that move",
    "apd_all": "APD_3D, all points",
    "seconds": "seconds",
}


def run(bench: Bench, task: Task) -> list[Row]:
    """One clip: every figure of the method and of each baseline, with either anchor."""
    scene = bench.scene(task)
    clip, truth, config = scene.clip, scene.truth, bench.config
    rows: list[Row] = []
    for table, given in ((GIVEN, True), (IMAGE, False)):

        @functools.cache
        def measure_all(given: bool = given) -> dict[str, Figures]:
            anchor = scene.mesh if given else None
            rolled = roll(bench.backbone, config, clip.images, clip.masks, clip.intrinsics, None, anchor)
            found = rolled.motion
            scores = score_motion(found, truth, np.eye(4) if given else None, given)
            device = str(bench.backbone.device)
            meshes = animated_meshes(rolled, truth, given)
            records = clip_records("", rolled, truth, clip.images, config.frames, given, scene.counts, device, meshes)
            figures = {record.method: {**record.figures, "seconds": record.seconds} for record in records}
            for name, mesh in meshes.items():
                if name != OURS and given:
                    figures[name] |= scene.point_figures(mesh.vertices)
                elif name != OURS:
                    figures[name] |= scene.other_point_figures(mesh.vertices, found.faces, np.eye(4))
            still = figures[STILL]
            figures[OURS] |= {name: getattr(scores, name) for name in POINTS}
            figures[OURS] |= {"rotation_deg": scores.rotation_deg, "translation": scores.translation}
            for own in figures.values():
                own |= {f"still_{name}": still.get(name) for name in ("last_moved", "last_all", "cd_4d")}
            return figures

        first = scene.subject.row(table, OURS, lambda m=measure_all: m()[OURS])
        rows.append(first)
        if not first.failure:
            others = [name for name in measure_all() if name != OURS]
            rows += [scene.subject.row(table, name, lambda m=measure_all, n=name: m()[n]) for name in others]
    return rows


def given_baselines(rows: Sequence[Row]) -> dict[tuple[str, int], list[Row]]:
    """By split and clip, what ``Scene.baselines`` would measure with clouds; clips that lack one are left out."""
    found: dict[tuple[str, int], list[Row]] = {}
    for row in select(rows, table=GIVEN):
        if row.setting in (STILL, NEAREST, RIGID) and not row.failure:
            found.setdefault((row.split, row.clip), []).append(dataclasses.replace(row, table=BASELINE_TABLE))
    return {clip: own for clip, own in found.items() if len(own) == 3}


def describe(bench: Bench, rows: Sequence[Row]) -> Section:
    """The targets' ratios by family, then all figures of all methods."""
    lines = [
        "One window of clips that were never trained on; `unseen` is a family that was never trained on. Ratios are "
        "the mean error over the mean error of the run's own anchor that stays still.",
        "",
    ]
    groups: dict[str, Callable[[Row], bool]] = {
        "test, all": lambda row: row.split == "test",
        "test, creatures": lambda row: row.split == "test" and row.family == "creature",
        "test, others": lambda row: row.split == "test" and row.family != "creature",
    }
    for family in names_of(select(rows, split="test"), "family"):
        groups[f"test, {family}"] = lambda row, f=family: row.split == "test" and row.family == f
    for split in (name for name in names_of(rows, "split") if name != "test"):
        groups[split] = lambda row, s=split: row.split == s
    for table in (GIVEN, IMAGE):
        lines += [f"### {table}", "", *ratio_lines(select(rows, table=table), groups)]
        for split in names_of(rows, "split"):
            own = select(rows, table=table, split=split)
            lines += [f"#### {table}, split {split}", "", *table_lines(own, _COLUMNS, "method")]
            lines += [f"- {beaten_sentence(own)}", ""]
    lines += [picture("summary", "Error on points that moved, last frame, anchor given"), "", *failure_lines(rows)]
    given = select(rows, table=GIVEN)
    panels = {
        split: {
            name: [
                v
                for row in select(given, split=split, setting=name)
                if (v := row.figures.get("last_moved")) is not None
            ]
            for name in names_of(select(given, split=split), "setting")
        }
        for split in names_of(rows, "split")
    }
    panels = {split: {name: v for name, v in settings.items() if v} for split, settings in panels.items()}
    plot = draw_settings(panels, POINTS["last_moved"], {split: OURS for split in panels})
    return Section(EXPERIMENT.title, lines, {"summary": plot})


def ratio_lines(rows: Sequence[Row], groups: dict[str, Callable[[Row], bool]]) -> list[str]:
    """The method by family: ratios to the mesh that stays still, and figures of the method itself."""
    ratios = {
        "last_moved": "moved, last frame, over still",
        "last_all": "all points, last frame, over still",
        "cd_4d": "CD-4D over still",
    }
    figures = {name: _COLUMNS[name] for name in ("last_moved", "cd_3d", "cd_4d", "cd_m", "rotation_deg", "delta_avg")}
    lines = [
        "| clips | that succeeded | "
        + " | ".join([*ratios.values(), f"moved, {RIGID}, over still", *figures.values()])
        + " |",
        "|---|---|" + "---|" * (len(ratios) + 1 + len(figures)),
    ]
    for group, keep in groups.items():
        own = [row for row in rows if row.setting == OURS and keep(row)]
        rigid = [row for row in rows if row.setting == RIGID and keep(row)]
        if not own:
            continue
        cells = [_number(pooled_ratio(own, name, f"still_{name}")) for name in ratios]
        cells.append(_number(pooled_ratio(rigid, "last_moved", "still_last_moved")))
        cells += [cell(spread(values_of(own, name))) for name in figures]
        good = sum(not row.failure for row in own)
        lines.append(f"| {group} | {good} of {len(own)} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def beaten_sentence(rows: Sequence[Row]) -> str:
    """Which baselines the method beats on points that moved, by the mean over clips."""
    means = {name: mean_of(select(rows, setting=name), "last_moved") for name in names_of(rows, "setting")}
    known = {name: value for name, value in means.items() if value is not None}
    if OURS not in known:
        return "No clip has an error on points that moved."
    below = [f"{name} ({value:.3g})" for name, value in known.items() if name != OURS and value > known[OURS]]
    above = [f"{name} ({value:.3g})" for name, value in known.items() if name != OURS and value <= known[OURS]]
    text = f"On points that moved, at the last frame, the method's mean error is {known[OURS]:.3g}: "
    parts = [f"better than {', '.join(below)}"] * bool(below) + [f"not better than {', '.join(above)}"] * bool(above)
    return text + ("; ".join(parts) or "no baseline to compare with") + "."


def _number(value: float | None) -> str:
    return "-" if value is None else f"**{value:.3f}**"


EXPERIMENT = Experiment("summary", "Summary", run, describe, splits=("test", "unseen"))
