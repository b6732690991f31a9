"""Experiment 1: denoising steps of Stage I against the Chamfer distances (Fig. 8)."""

from __future__ import annotations

from collections.abc import Sequence

from ...config import RolloutConfig
from ...rollout.pipeline import Rollout
from ..evaluation.sequences import cut_windows
from .bench import BASELINE_TABLE, CLOUDS, MESH_ONLY, POINTS, Bench, Experiment, Section, Task
from .charts import draw_curves, picture
from .rows import Figures, Row, compare_settings, failure_lines, family_lines, select, table_lines

STEPS = (1, 2, 4, 5, 8, 15, 30)
_TABLE = "steps"
_COLUMNS = CLOUDS | POINTS | {"seconds": "seconds of denoising"}


def run(bench: Bench, task: Task) -> list[Row]:
    """One clip with every number of steps; attention is always read at the last one."""
    scene = bench.scene(task)
    clip = scene.clip
    rows = []
    for steps in STEPS:
        config = bench.changed({**MESH_ONLY, "sampling.steps": steps, "readout.steps": "last"})

        def measure(config: RolloutConfig = config) -> Figures:
            rollout = Rollout(bench.backbone, config, scene.mesh, anchor_is_canonical=True)
            result = rollout.run(next(cut_windows(clip.images, clip.masks, len(clip.images), clip.intrinsics)))
            device = str(bench.backbone.device)
            figures = scene.cloud_figures(result.vertices, result.faces, device) | scene.point_figures(result.vertices)
            return {**figures, "seconds": result.timings_s["denoising"]}

        rows.append(scene.subject.row(_TABLE, str(steps), measure))
    return rows + (scene.baselines(clouds=True) if task.baselines else [])


def describe(bench: Bench, rows: Sequence[Row]) -> Section:
    """Table, sentences and the figure."""
    own, others = select(rows, table=_TABLE), select(rows, table=BASELINE_TABLE)
    default = str(bench.config.sampling.steps)
    lines = [
        "One window from the true mesh of its first frame, with different numbers of denoising steps. Attention is "
        "read at the last step.",
        "",
        *table_lines([*own, *others], _COLUMNS, "denoising steps"),
        *(f"- {compare_settings(own, name, title, default)}" for name, title in (CLOUDS | POINTS).items()),
        "",
        *family_lines([*own, *others], "last_moved", POINTS["last_moved"]),
        picture("steps", "Chamfer distances against denoising steps"),
        "",
        *failure_lines(rows),
    ]
    whole = [
        [select(own, clip=clip, setting=str(steps))[0] for steps in STEPS]
        for clip in sorted({row.clip for row in own})
        if not any(row.failure for row in select(own, clip=clip))
    ]
    curves = {
        title: [[float(row.figures[name] or 0.0) for row in line] for line in whole] for name, title in CLOUDS.items()
    }
    return Section(EXPERIMENT.title, lines, {"steps": draw_curves(curves, "denoising steps", "object units", STEPS)})


EXPERIMENT = Experiment("steps", "Denoising steps (Fig. 8)", run, describe, shares_baselines=True)
