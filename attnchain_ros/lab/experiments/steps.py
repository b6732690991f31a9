"""Experiment 1: denoising steps of Stage I against the Chamfer distances (Fig. 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...config import RolloutConfig
from ...rollout.pipeline import Rollout
from ..charts import draw_curves
from ..evaluation.scene import CLOUDS, POINTS
from ..evaluation.sequences import cut_windows
from ..report import TITLES, Section, compare_lines, failure_lines, family_lines, picture, table_lines, titles
from ..table import BASELINES, Figures, by_clip, concat, select
from .bench import MESH_ONLY, Bench, Experiment, Task

if TYPE_CHECKING:
    import pandas as pd

STEPS = (1, 2, 4, 5, 8, 15, 30)
_GROUP = "steps"


def run(bench: Bench, task: Task) -> pd.DataFrame:
    """One clip with every number of steps; attention is always read at the last one."""
    scene = bench.scene(task)
    clip = scene.clip
    tables = []
    for steps in STEPS:
        config = bench.changed({**MESH_ONLY, "sampling.steps": steps, "readout.steps": "last"})

        def measure(config: RolloutConfig = config) -> Figures:
            rollout = Rollout(bench.backbone, config, scene.mesh, anchor_is_canonical=True)
            result = rollout.run(next(cut_windows(clip.images, clip.masks, len(clip.images), clip.intrinsics)))
            device = str(bench.backbone.device)
            figures = scene.cloud_figures(result.vertices, result.faces, device) | scene.point_figures(result.vertices)
            return {**figures, "seconds": result.timings_s["denoising"]}

        tables.append(scene.subject.measure(_GROUP, str(steps), measure))
    return concat([*tables, *([scene.baselines(clouds=True)] if task.baselines else [])])


def describe(bench: Bench, table: pd.DataFrame) -> Section:
    """All figures by the number of steps, the best number by each of them, and the figure."""
    own, others = select(table, group=_GROUP), select(table, group=BASELINES)
    both = concat([own, others])
    columns = titles(*CLOUDS, *POINTS)
    lines = [
        "One window from the true mesh of its first frame, with different numbers of denoising steps. Attention is "
        "read at the last step.",
        "",
        *table_lines(both, columns | {"seconds": "seconds of denoising"}, "denoising steps"),
        *compare_lines(own, columns, str(bench.config.sampling.steps)),
        *family_lines(both, "last_moved", TITLES["last_moved"]),
        picture("steps", "Chamfer distances against denoising steps"),
        "",
        *failure_lines(table),
    ]
    plot = draw_curves({TITLES[name]: _curves(own, name) for name in CLOUDS}, "denoising steps", "object units", STEPS)
    return Section(EXPERIMENT.title, lines, {"steps": plot})


def _curves(table: pd.DataFrame, metric: str) -> list[list[float]]:
    """A figure against the number of steps, for the clips that have it for all of them."""
    import pandas as pd

    columns = [by_clip(select(table, variant=str(steps)), metric) for steps in STEPS]
    curves: list[list[float]] = pd.concat(columns, axis=1, join="inner").to_numpy().tolist()
    return curves


EXPERIMENT = Experiment("steps", "Denoising steps (Fig. 8)", run, describe, shares_baselines=True)
