"""Experiment 2: which attention to read, and whether a probe without ground truth finds it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from ...config import RolloutConfig
from ...rollout import Rollout
from ...rollout.animating import animate
from ...rollout.trace import Trace
from ..evaluation.records import cell, spread
from ..evaluation.sequences import cut_windows
from ..probe import Reading, head_readings, readings, score_cycle
from .bench import BASELINE_TABLE, MESH_ONLY, POINTS, Bench, Experiment, Scene, Section, Task
from .charts import draw_points, picture
from .remember import remember
from .rows import Figures, Row, compare_settings, failure_lines, mean_of, names_of, select, table_lines, values_of

PROBES = {
    "both": "probe (geometric mean of cycle and distortion)",
    "cycle": "cycle error, share of the diagonal",
    "distortion": "distortion of neighbours",
}
TRUTHS = {
    "landmarks": "true error of the raw matches, share of the diagonal",
    "frames_moved": "points that moved, all frames",
    "frames_all": "all points, all frames",
}
_COLUMNS = PROBES | TRUTHS | {"last_moved": POINTS["last_moved"]}
_HEADS = "heads"


def run(bench: Bench, task: Task) -> list[Row]:
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
        ways, rest = readings(backbone, config), scene.baselines(clouds=False) if task.baselines else []
    return [scene.subject.row(way.group, way.name, lambda way=way: measure(way)) for way in ways] + rest


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


def best_layer(bench: Bench, rows: Sequence[Row]) -> str:
    """The part for the heads of the single layer that the probe likes best; "" if no layer has a score."""
    singles = {way.name: str(dict(way.changes)["readout.layers"]) for way in readings(bench.backbone, bench.config)
               if way.group == "layers" and way.name.startswith("layer ")}  # fmt: skip
    scores = {name: mean_of(select(rows, table="layers", setting=name), "both") for name in singles}
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


def setting_pairs(rows: Sequence[Row], probe: str, truth: str) -> list[tuple[float, float]]:
    """Mean probe score and mean true error of every setting that has both."""
    pairs = []
    for table in names_of(rows, "table"):
        for setting in names_of(select(rows, table=table), "setting"):
            own = select(rows, table=table, setting=setting)
            first, second = mean_of(own, probe), mean_of(own, truth)
            if first is not None and second is not None:
                pairs.append((first, second))
    return pairs


def correlation_lines(rows: Sequence[Row], truth: str) -> list[str]:
    """A table of rank correlations: each group and all settings, against each probe.

    The first number ranks the settings by their means over clips; the second is the mean over clips of the
    correlation within a clip.
    """
    lines = [f"| rank correlation with {TRUTHS[truth]} | " + " | ".join(PROBES.values()) + " |"]
    lines.append("|---|" + "---|" * len(PROBES))
    for group in [*names_of(rows, "table"), "all settings"]:
        own = list(rows) if group == "all settings" else select(rows, table=group)
        cells = []
        for probe in PROBES:
            pairs = setting_pairs(own, probe, truth)
            over = rank_correlation([a for a, _ in pairs], [b for _, b in pairs])
            inside = [_clip_correlation(select(own, clip=clip), probe, truth) for clip in {row.clip for row in own}]
            text = "-" if over is None else f"{over:.2f}"
            cells.append(f"{text}; within a clip {cell(spread(inside))}")
        lines.append(f"| {group} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _clip_correlation(rows: Sequence[Row], probe: str, truth: str) -> float | None:
    known = [(row.figures.get(probe), row.figures.get(truth)) for row in rows if not row.failure]
    pairs = [(first, second) for first, second in known if first is not None and second is not None]
    return rank_correlation([first for first, _ in pairs], [second for _, second in pairs])


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


def describe(bench: Bench, rows: Sequence[Row]) -> Section:
    """Tables of every group, rank correlations, and what the probe would have chosen."""
    ways = [row for row in rows if row.table != BASELINE_TABLE]
    defaults = default_names(bench)
    lines = [
        "One option of the read-out at a time, around this run's options. The probe needs no ground truth: landmarks "
        "go through the chain to a frame and come back through the transposed chain (`chain/cycle.py`).",
        "",
    ]
    for group in names_of(ways, "table"):
        own = select(ways, table=group)
        lines += [f"### {group}", "", *table_lines(own, _COLUMNS, group)]
        if group in defaults:
            lines.append(f"- {compare_settings(own, 'frames_moved', TRUTHS['frames_moved'], defaults[group])}")
        lines += [f"- {chosen_sentence(own)}", ""]
    lines += ["### Baselines", "", *table_lines(select(rows, table=BASELINE_TABLE), POINTS, "baseline")]
    lines += ["### Does the probe agree with the truth?", ""]
    for truth in TRUTHS:
        lines += correlation_lines(ways, truth)
    lines += [picture("reading", "Probe against true error, a dot for each setting"), "", *failure_lines(rows)]
    dots = {g: setting_pairs(select(ways, table=g), "both", "frames_moved") for g in names_of(ways, "table")}
    plot = draw_points(dots, "probe", TRUTHS["frames_moved"])
    return Section(EXPERIMENT.title, lines, {"reading": plot})


def chosen_sentence(rows: Sequence[Row]) -> str:
    """What the probe would choose in a group, and what that costs against the truly best setting."""
    scored = {
        name: (mean_of(select(rows, setting=name), "both"), mean_of(select(rows, setting=name), "frames_moved"))
        for name in names_of(rows, "setting")
    }
    known = {name: (a, b) for name, (a, b) in scored.items() if a is not None and b is not None}
    if not known:
        return "No setting has both a probe score and a true error."
    chosen, best = (min(known, key=lambda name, place=place: known[name][place]) for place in (0, 1))
    count = len([value for value in values_of(select(rows, setting=chosen), "both") if value is not None])
    text = f"The probe chooses {chosen} ({count} clips)"
    if chosen == best:
        return text + ", which is truly the best."
    return text + (
        f"; truly the best is {best}, with an error on points that moved of {known[best][1]:.3g} against "
        f"{known[chosen][1]:.3g}."
    )


EXPERIMENT = Experiment("reading", "Reading the attention, and a probe without ground truth", run, describe,
                        shares_baselines=True, follow_up=best_layer)  # fmt: skip
