"""Experiment 4b: camera error against the number of correspondences, by refinement and kind of camera motion."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ...config import CameraConfig
from ...rollout import Rollout
from ...rollout.animating import animate
from ...rollout.cameras import estimate_cameras
from ..evaluation.cameras import rotation_errors_deg, translation_errors
from ..evaluation.sequences import cut_windows
from ..synthetic import CAMERAS, Camera
from .bench import BASELINE_TABLE, Bench, Experiment, Section, Task
from .charts import draw_curves, picture
from .remember import remember
from .rows import Figures, Row, compare_settings, failure_lines, family_lines, median_of, select, table_lines

COUNTS = (15, 30, 60, 120, 240)
"""Correspondences tried, and all landmarks."""
REFINES = ("none", "silhouette", "outline")
STILL_CAMERA = "true first pose, kept"
_COLUMNS = {
    "rotation": "rotation, median [deg]",
    "translation": "translation, median, share of the distance",
    "poses": "frames with a pose",
}


def run(bench: Bench, task: Task) -> list[Row]:
    """One clip under each camera, with random subsets of the landmarks; the denoiser runs once for a camera."""
    rows: list[Row] = []
    for camera in CAMERAS:
        rows += _run_camera(bench, task, camera)
    return rows


def _run_camera(bench: Bench, task: Task, camera: Camera) -> list[Row]:
    scene = bench.scene(task, camera)
    clip, true = scene.clip, scene.truth.camera_from_object
    backbone = remember(bench.backbone)
    config = bench.changed({"reinforce.mode": "off"})
    window = next(cut_windows(clip.images, clip.masks, len(clip.images), clip.intrinsics))
    seen = Rollout(backbone, config, scene.mesh, anchor_is_canonical=True).trace(window)
    frames = window.frames
    moved = animate(seen.state.copy(), seen.matches, frames, config)
    total = moved.valid.shape[1]
    rows: list[Row] = []
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

            rows.append(scene.subject.row(camera, setting_name(refine, count if count < total else None), measure))
    kept = np.repeat(true[:1], frames, axis=0)
    everywhere = np.ones(frames, bool)
    rows.append(
        scene.subject.row(f"{BASELINE_TABLE}, {camera}", STILL_CAMERA, lambda: camera_figures(kept, everywhere, true))
    )
    return rows


def setting_name(refine: str, count: int | None) -> str:
    """What tables call a refinement with a number of correspondences; None = all.

    >>> setting_name("outline", None)
    'outline, all'
    """
    return f"{refine}, {'all' if count is None else count}"


def camera_figures(found: np.ndarray, valid: np.ndarray, true: np.ndarray) -> Figures:
    """Median errors over the frames with a pose; [F, 4, 4] poses in the true object frame, [F] bool."""
    figures: Figures = {"poses": float(valid.mean()), "rotation": None, "translation": None}
    if valid.any():
        figures["rotation"] = float(np.median(rotation_errors_deg(found[valid], true[valid])))
        figures["translation"] = float(np.median(translation_errors(found[valid], true[valid])))
    return figures


def describe(bench: Bench, rows: Sequence[Row]) -> Section:
    """A table for each kind of camera motion, and the error against the number of correspondences."""
    default = setting_name(bench.config.camera.refine, None)
    lines = [
        "One window from the true mesh of its first frame, with the true intrinsics; random subsets of the landmarks "
        "are the correspondences. Medians are over the frames of a window that have a pose, means over clips.",
        "",
    ]
    plots = {}
    for camera in CAMERAS:
        own = select(rows, table=camera)
        others = select(rows, table=f"{BASELINE_TABLE}, {camera}")
        lines += [f"### camera {camera}", "", *table_lines([*own, *others], _COLUMNS, "refinement, correspondences")]
        lines += [f"- {_median_sentence(own)}"]
        for figure in ("rotation", "translation"):
            lines.append(f"- {compare_settings(own, figure, _COLUMNS[figure], default)}")
        all_of_them = [row for row in own if row.setting.endswith(", all")]
        lines += ["", *family_lines(all_of_them, "rotation", _COLUMNS["rotation"])]
        curves = {refine: _curves(own, refine) for refine in REFINES}
        if any(curves.values()):
            plots[f"camera_{camera}"] = draw_curves(curves, "correspondences", "rotation, median [deg]", _places(own))
            lines += [picture(f"camera_{camera}", f"Rotation error, camera {camera}"), ""]
    return Section(EXPERIMENT.title, [*lines, *failure_lines(rows)], plots)


def _median_sentence(rows: Sequence[Row]) -> str:
    """Of every refinement with all correspondences; a clip that is taken for its mirror image weighs a lot in means."""
    medians = {refine: median_of(select(rows, setting=setting_name(refine, None)), "rotation") for refine in REFINES}
    told = [f"{refine} {value:.1f}" for refine, value in medians.items() if value is not None]
    return f"Median over clips of the rotation error with all correspondences, degrees: {', '.join(told) or 'none'}."


def _places(rows: Sequence[Row]) -> list[int]:
    """The numbers of correspondences of a table, twice the largest standing for all."""
    known = [count for count in COUNTS if select(rows, setting=setting_name(REFINES[0], count))]
    return [*known, 2 * max(known, default=COUNTS[0])]


def _curves(rows: Sequence[Row], refine: str) -> list[list[float]]:
    """Rotation error against the number, for clips that have a pose at every number."""
    counts: list[int | None] = [*_places(rows)[:-1], None]
    curves = []
    for clip in sorted({row.clip for row in rows}):
        values = [
            row.figures.get("rotation")
            for count in counts
            for row in select(rows, clip=clip, setting=setting_name(refine, count))
        ]
        known = [value for value in values if value is not None]
        if len(known) == len(counts):
            curves.append(known)
    return curves


EXPERIMENT = Experiment("camera", "Camera against the number of correspondences", run, describe)
