"""Experiment 4b: camera error against the number of correspondences, by refinement and kind of camera motion."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from ...config import CameraConfig
from ...rollout import Rollout
from ...rollout.animating import animate
from ...rollout.cameras import estimate_cameras
from ..charts import draw_curves
from ..evaluation.cameras import rotation_errors_deg, translation_errors
from ..evaluation.sequences import cut_windows
from ..report import (
    Section,
    compare_lines,
    failure_lines,
    family_lines,
    markdown,
    picture,
    scalar,
    table_lines,
)
from ..synthetic import CAMERAS, Camera
from ..table import BASELINES, Figures, by_clip, concat, median_of, select
from .bench import Bench, Experiment, Task
from .remember import remember

if TYPE_CHECKING:
    import pandas as pd

COUNTS = (15, 30, 60, 120, 240)
"""Correspondences tried, and all landmarks."""
REFINES = ("none", "silhouette", "outline")
STILL_CAMERA = "true first pose, kept"
_GROUP = "refinement"
_COLUMNS = {
    "rotation_deg": "rotation, median [deg]",
    "translation": "translation, median, share of the distance",
    "camera_poses": "frames with a pose",
}


def run(bench: Bench, task: Task) -> pd.DataFrame:
    """One clip under each camera, with random subsets of the landmarks; the denoiser runs once for a camera."""
    return concat(_run_camera(bench, task, camera) for camera in CAMERAS)


def _run_camera(bench: Bench, task: Task, camera: Camera) -> pd.DataFrame:
    scene = bench.scene(task, camera)
    clip, true = scene.clip, scene.truth.camera_from_object
    backbone = remember(bench.backbone)
    config = bench.changed({"reinforce.mode": "off"})
    window = next(cut_windows(clip.images, clip.masks, len(clip.images), clip.intrinsics))
    seen = Rollout(backbone, config, scene.mesh, anchor_is_canonical=True).trace(window)
    frames = window.frames
    moved = animate(seen.state.copy(), seen.matches, frames, config)
    total = moved.valid.shape[1]
    tables = []
    for refine in REFINES:
        options = dataclasses.replace(config.camera, refine=refine, estimate=True)
        for count in [*(number for number in COUNTS if number < total), total]:
            # One subset for all frames and refinements, so that only the number differs.
            chosen = np.random.default_rng([task.clip, count]).choice(total, count, replace=False)
            subset = np.zeros_like(moved.valid)
            subset[:, chosen] = moved.valid[:, chosen]

            def measure(options: CameraConfig = options, subset: np.ndarray = subset) -> Figures:
                some = dataclasses.replace(moved, valid=subset)
                track, _ = estimate_cameras(seen, some, options, config.sampling.seed)
                return camera_figures(track.camera_from_object, track.valid, true)

            variant = setting_name(refine, count if count < total else None)
            tables.append(scene.subject.measure(_GROUP, variant, measure))
    kept = np.repeat(true[:1], frames, axis=0)
    everywhere = np.ones(frames, bool)
    tables.append(scene.subject.measure(BASELINES, STILL_CAMERA, lambda: camera_figures(kept, everywhere, true)))
    return concat(tables)


def setting_name(refine: str, count: int | None) -> str:
    """What tables call a refinement with a number of correspondences; None = all.

    >>> setting_name("outline", None)
    'outline, all'
    """
    return f"{refine}, {'all' if count is None else count}"


def camera_figures(found: np.ndarray, valid: np.ndarray, true: np.ndarray) -> Figures:
    """Median errors over the frames with a pose; [F, 4, 4] poses in the true object frame, [F] bool."""
    figures: Figures = {"camera_poses": float(valid.mean()), "rotation_deg": None, "translation": None}
    if valid.any():
        figures["rotation_deg"] = float(np.median(rotation_errors_deg(found[valid], true[valid])))
        figures["translation"] = float(np.median(translation_errors(found[valid], true[valid])))
    return figures


def describe(bench: Bench, table: pd.DataFrame) -> Section:
    """A table for each kind of camera motion, and the error against the number of correspondences."""
    default = setting_name(bench.config.camera.refine, None)
    everything = [setting_name(refine, None) for refine in REFINES]
    title = _COLUMNS["rotation_deg"]
    lines = [
        "One window from the true mesh of its first frame, with the true intrinsics; random subsets of the landmarks "
        "are the correspondences. Medians are over the frames of a window that have a pose, means over clips.",
        "",
    ]
    plots = {}
    for camera in CAMERAS:
        own, others = (select(table, motion=camera, group=group) for group in (_GROUP, BASELINES))
        both = concat([own, others])
        lines += [f"### camera {camera}", "", *table_lines(both, _COLUMNS, "refinement, correspondences")]
        lines += compare_lines(own, {name: _COLUMNS[name] for name in ("rotation_deg", "translation")}, default)
        lines += family_lines(own[own["variant"].isin(everything)], "rotation_deg", title)
        # A clip that is taken for its mirror image weighs a lot in means.
        medians = [median_of(select(own, variant=variant), "rotation_deg") for variant in everything]
        rows = [[variant, scalar(value, ".1f")] for variant, value in zip(everything, medians, strict=True)]
        lines += markdown([title, "median over clips"], rows)
        places = _places(own)
        curves = {refine: _curves(own, refine, places) for refine in REFINES}
        if any(curves.values()):
            plots[f"camera_{camera}"] = draw_curves(curves, "correspondences", title, places)
            lines += [picture(f"camera_{camera}", f"Rotation error, camera {camera}"), ""]
    return Section(EXPERIMENT.title, [*lines, *failure_lines(table)], plots)


def _places(table: pd.DataFrame) -> list[int]:
    """The numbers of correspondences of a table, twice the largest standing for all."""
    known = [count for count in COUNTS if len(select(table, variant=setting_name(REFINES[0], count)))]
    return [*known, 2 * max(known, default=COUNTS[0])]


def _curves(table: pd.DataFrame, refine: str, places: list[int]) -> list[list[float]]:
    """Rotation error against the number, for clips that have a pose at every number."""
    import pandas as pd

    variants = [setting_name(refine, count) for count in (*places[:-1], None)]
    columns = [by_clip(select(table, variant=variant), "rotation_deg") for variant in variants]
    curves: list[list[float]] = pd.concat(columns, axis=1, join="inner").to_numpy().tolist()
    return curves


EXPERIMENT = Experiment("camera", "Camera against the number of correspondences", run, describe)
