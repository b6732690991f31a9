"""Experiment 2: which attention to read, and whether a probe without ground truth finds it."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...config import RolloutConfig
from ...rollout import Rollout
from ...rollout.animating import animate
from ...rollout.trace import Trace
from ..charts import draw_points
from ..evaluation.scene import POINTS, Scene
from ..evaluation.sequences import cut_windows
from ..probe import Reading, head_readings, readings, score_cycle
from ..report import TITLES, Section, cell, compare_lines, failure_lines, markdown, picture, scalar, table_lines, titles
from ..table import BASELINES, CLIP, WHOLE, Figures, concat, mean_of, names_of, select, spread, spread_of
from .bench import MESH_ONLY, Bench, Experiment, Task
from .remember import remember

if TYPE_CHECKING:
    import pandas as pd

PROBES = {
    "both": "probe (geometric mean of cycle and distortion)",
    "cycle": "cycle error, share of the diagonal",
    "distortion": "distortion of neighbours",
}
TRUTHS = {
    "landmarks": "true error of the raw matches, share of the diagonal",
    **titles("frames_moved", "frames_all"),
}
_COLUMNS = PROBES | TRUTHS | titles("last_moved")
_HEADS = "heads"


def run(bench: Bench, task: Task) -> pd.DataFrame:
    """One clip with every reading; the part "heads:LAYERS" takes the heads of these layers instead."""
    scene = bench.scene(task)
    clip = scene.clip
    backbone = remember(bench.backbone)
    config = bench.changed({**MESH_ONLY, "reinforce.mode": "off"})
    window = next(cut_windows(clip.images, clip.masks, len(clip.images), clip.intrinsics))
    rollout = Rollout(backbone, config, scene.mesh, anchor_is_canonical=True)
    start = rollout.start(window)

    def measure(way: Reading) -> Figures:
        own = way.apply(config)
        rollout.configure(own)
        seen = rollout.trace(window, start)
        scores = score_cycle(backbone, own, seen)
        vertices = animate(start.copy(), seen.matches, seen.frames, own).vertices
        moved = vertices[:, start.anchor.expand]
        return {
            "both": scores.both,
            "cycle": scores.cycle,
            "distortion": scores.distortion,
            "landmarks": landmark_error(scene, seen),
            **scene.point_figures(moved),
        }

    kind, _, layers = task.part.partition(":")
    if kind == _HEADS:
        ways, rest = head_readings(backbone, layers), []
    else:
        ways, rest = readings(backbone, config), [scene.baselines(clouds=False)] if task.baselines else []
    tables = [scene.subject.measure(way.group, way.name, functools.partial(measure, way)) for way in ways]
    return concat([*tables, *rest])


def landmark_error(scene: Scene, seen: Trace) -> float:
    """Mean distance of raw matches from where the landmarks truly are, as a share of the diagonal.

    Over all frames but the anchor's; the anchor is the true mesh, so its vertices are the true mesh's.
    """
    anchor = seen.state.anchor
    user = np.zeros(len(anchor.mesh.vertices), np.int64)
    user[anchor.expand] = np.arange(len(anchor.expand))
    true = scene.truth.vertices[:, user[anchor.landmark_vertices]]
    found = seen.matches.points[: len(true)].cpu().numpy()
    return float(np.linalg.norm(found - true, axis=2)[1:].mean() / seen.diagonal)


def best_layer(bench: Bench, table: pd.DataFrame) -> str:
    """The part for the heads of the single layer that the probe likes best; "" if no layer has a score."""
    singles = {way.name: str(dict(way.changes)["readout.layers"]) for way in readings(bench.backbone, bench.config)
               if way.group == "layers" and way.name.startswith("layer ")}  # fmt: skip
    scores = {name: mean_of(select(table, group="layers", variant=name), "both") for name in singles}
    known = {name: score for name, score in scores.items() if score is not None}
    return f"{_HEADS}:{singles[min(known, key=lambda name: known[name])]}" if known else ""


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rank correlation; None with fewer than three settings or where one side is constant."""
    from scipy.stats import ConstantInputWarning, spearmanr

    if len(first) < 3:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        value = float(spearmanr(first, second).statistic)
    return None if np.isnan(value) else value


def scores_of(table: pd.DataFrame) -> pd.DataFrame:
    """A column for each of ``PROBES`` and ``TRUTHS``, a row for each setting on each clip."""
    own = select(table, place=WHOLE)
    own = own[own["metric"].isin(_COLUMNS)]
    wide = own.set_index([*CLIP, "group", "variant", "metric"])["value"].unstack("metric")
    return wide.reindex(columns=list(_COLUMNS))


def setting_pairs(scores: pd.DataFrame, probe: str, truth: str) -> list[tuple[float, float]]:
    """Mean probe score and mean true error of every setting that has both."""
    means = scores[[probe, truth]].groupby(level=["group", "variant"]).mean().dropna()
    return [(float(first), float(second)) for first, second in means.to_numpy()]


def correlation_lines(table: pd.DataFrame, truth: str) -> list[str]:
    """A table of rank correlations: each group and all settings, against each probe.

    The first number ranks the settings by their means over clips; the second is the mean over clips of the
    correlation within a clip.
    """
    scores = scores_of(table)
    rows = []
    for group in [*names_of(table, "group"), "all settings"]:
        own = scores if group == "all settings" else scores[scores.index.get_level_values("group") == group]
        cells = []
        for probe in PROBES:
            over = _correlation(setting_pairs(own, probe, truth))
            clips = (part[[probe, truth]].dropna().to_numpy() for _, part in own.groupby(level=list(CLIP)))
            inside = spread(value for pairs in clips if (value := _correlation(pairs)) is not None)
            cells.append(f"{scalar(over, '.2f')}; within a clip {cell(inside)}")
        rows.append([group, *cells])
    return markdown([f"rank correlation with {TRUTHS[truth]}", *PROBES.values()], rows)


def _correlation(pairs: Iterable[tuple[float, float]]) -> float | None:
    known = list(pairs)
    return rank_correlation([first for first, _ in known], [second for _, second in known])


def default_names(bench: Bench) -> dict[str, str]:
    """By group, the name of the setting that reads like this run's options; groups without one are left out."""
    found: dict[str, str] = {}
    steps = bench.config.sampling.steps
    for way in readings(bench.backbone, bench.config):
        if _same(way.apply(bench.config), bench.config, bench.backbone.stage_one.sizes.inflated_layers, steps):
            found.setdefault(way.group, way.name)
    return found


def _same(first: RolloutConfig, second: RolloutConfig, layers: Sequence[int], steps: int) -> bool:
    """Whether two options read the same attention, however they write it."""
    from ...backbone.transformer import parse_indices

    def meaning(config: RolloutConfig) -> tuple[object, ...]:
        own = config.readout
        return (
            parse_indices(own.layers, layers, "readout.layers"),
            parse_indices(own.steps, range(steps), "readout.steps"),
            own.direction,
            own.renormalise,
        )

    return meaning(first) == meaning(second)


def describe(bench: Bench, table: pd.DataFrame) -> Section:
    """Tables of every group, rank correlations, and what the probe would have chosen."""
    ways = table[table["group"] != BASELINES]
    groups = names_of(ways, "group")
    defaults = default_names(bench)
    lines = [
        "One option of the read-out at a time, around this run's options. The probe needs no ground truth: landmarks "
        "go through the chain to a frame and come back through the transposed chain (`lab/cycle.py`).",
        "",
    ]
    for group in groups:
        own = select(ways, group=group)
        lines += [f"### {group}", "", *table_lines(own, _COLUMNS, group)]
        if group in defaults:
            lines += compare_lines(own, titles("frames_moved"), defaults[group])
    lines += ["### Baselines", "", *table_lines(select(table, group=BASELINES), titles(*POINTS), "baseline")]
    lines += ["### Does the probe agree with the truth?", "", *chosen_lines(ways)]
    for truth in TRUTHS:
        lines += correlation_lines(ways, truth)
    lines += [picture("reading", "Probe against true error, a dot for each setting"), "", *failure_lines(table)]
    dots = {group: setting_pairs(scores_of(select(ways, group=group)), "both", "frames_moved") for group in groups}
    plot = draw_points(dots, "probe", TRUTHS["frames_moved"])
    return Section(EXPERIMENT.title, lines, {"reading": plot})


def chosen_lines(table: pd.DataFrame) -> list[str]:
    """What the probe would choose in each group and what is truly the best, with the true error of both."""
    rows = []
    for group in names_of(table, "group"):
        own = select(table, group=group)
        parts = {name: select(own, variant=name) for name in names_of(own, "variant")}
        scored = {name: (mean_of(part, "both"), mean_of(part, "frames_moved")) for name, part in parts.items()}
        known = {name: (a, b) for name, (a, b) in scored.items() if a is not None and b is not None}
        if known:
            row = [group]
            for name in (min(known, key=lambda name: known[name][0]), min(known, key=lambda name: known[name][1])):
                row += [name, cell(spread_of(parts[name], "frames_moved"))]
            rows.append(row)
    error = TITLES["frames_moved"]
    return markdown(["the probe", "chooses", error, "truly the best", error], rows) if rows else []


EXPERIMENT = Experiment("reading", "Reading the attention, and a probe without ground truth", run, describe,
                        shares_baselines=True, follow_up=best_layer)  # fmt: skip
