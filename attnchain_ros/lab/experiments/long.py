"""Experiment 3: drift over 241 frames, with and without reinforcement, re-encoding and camera (Table 4, Fig. 2)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from ...camera.tracks3d import carry_points, to_camera
from ...config import RolloutConfig
from ...errors import InputError
from ...mesh.sampling import sample_surface
from ...stream.windows import split_frames
from ..evaluation.actionbench import cloud_distance, motion_distance
from ..evaluation.drift import window_means
from ..evaluation.errors import point_errors
from ..evaluation.sequences import Rolled, roll
from ..evaluation.synthetic_records import baseline_meshes
from ..synthetic.motion import ping_pong
from .bench import BASELINE_TABLE, Bench, Experiment, Scene, Section, Task
from .charts import draw_curves, picture
from .rows import (
    Curves,
    Figures,
    Row,
    compare_settings,
    failure_lines,
    family_lines,
    names_of,
    pooled_ratio,
    select,
    table_lines,
)

WINDOWS = 16
VARIANTS: dict[str, dict[str, Any]] = {
    "off, re-encoded": {"reinforce.mode": "off", "anchor_handover": "reencode"},
    "gain, re-encoded": {"reinforce.mode": "gain", "anchor_handover": "reencode"},
    "gain_row, re-encoded": {"reinforce.mode": "gain_row", "anchor_handover": "reencode"},
    "literal, re-encoded": {"reinforce.mode": "literal", "anchor_handover": "reencode"},
    "off, latent handed on": {"reinforce.mode": "off", "anchor_handover": "latent"},
}
SEEN = ("off, re-encoded", "gain, re-encoded")
"""Variants whose camera is estimated, too: it does not act back on the mesh, and costs as much as the rest."""
OBJECT, CAMERA = "object frame", "camera frame"
GROWING = {"moved": "points that moved", "all": "all points", "cd": "CD-3D not aligned"}
"""Errors whose growth from the first window to the last is told."""
_FIGURES = {
    "cd_3d": "CD-3D = CD-4D, not aligned",
    "cd_m": "CD-M, not aligned",
    "moved": "points that moved",
    "all": "all points",
    "moved_first": "moved, first window",
    "moved_last": "moved, last window",
    "moved_growth": "moved, last over first",
    "all_growth": "all points, last over first",
    "cd_growth": "CD-3D, last over first",
    "correlation_first": "token correlation, first window",
    "correlation_last": "token correlation, last window",
    "seconds": "seconds per window",
}
_CURVES = {
    "moved": "points that moved, object units",
    "all": "all points, object units",
    "cd_3d": "CD-3D not aligned, object units",
    "correlation": "correlation of matched tokens",
}


def run(bench: Bench, task: Task) -> list[Row]:
    """One clip, played forwards and backwards, by every variant; each in the object frame, some in the camera frame."""
    scene = bench.scene(task)
    clip = scene.clip
    size = bench.config.frames
    order = ping_pong(size, WINDOWS * (size - 1) + 1)
    windows = split_frames(len(order), size)
    rows: list[Row] = []
    for name, changes in VARIANTS.items():
        config = bench.changed({**changes, "camera.estimate": name in SEEN, "tracks.max_queries": 1})

        @functools.cache
        def rolled(config: RolloutConfig = config) -> Rolled:
            images, masks = clip.images[order], clip.masks[order]
            return roll(bench.backbone, config, images, masks, clip.intrinsics, None, scene.mesh)

        def in_object(rolled: Callable[[], Rolled] = rolled) -> tuple[Figures, Curves]:
            own = rolled()
            figures, curves = measure_drift(scene, own.motion.vertices, order, windows, None)
            line = list(own.correlations)
            figures |= {"correlation_first": line[0], "correlation_last": line[-1]}
            return {**figures, "seconds": float(np.mean(own.seconds))}, {**curves, "correlation": line}

        def in_camera(rolled: Callable[[], Rolled] = rolled) -> tuple[Figures, Curves]:
            motion = rolled().motion
            if not motion.camera_valid.any():
                raise InputError("there is no camera pose in any frame, so nothing can be brought to the camera frame")
            return measure_drift(scene, motion.vertices, order, windows, motion.camera_from_object)

        rows.append(scene.subject.row(OBJECT, name, in_object))
        if name in SEEN:
            rows.append(scene.subject.row(CAMERA, name, in_camera))
    # Played to and fro, a baseline that looks at one frame at a time repeats itself.
    for name, animate in baseline_meshes(scene.truth.vertices[0], scene.truth).items():
        rows.append(
            scene.subject.row(
                BASELINE_TABLE,
                name,
                lambda animate=animate: measure_drift(scene, animate()[order], order, windows, None),
            )
        )
    return rows


def measure_drift(
    scene: Scene, vertices: np.ndarray, order: np.ndarray, windows: Sequence[range], poses: np.ndarray | None
) -> tuple[Figures, Curves]:
    """Errors of a long sequence, window by window; nothing is aligned.

    Args:
        scene: the clip whose frames are played.
        vertices: [L, V, 3] the mesh found, the true mesh's triangles.
        order: [L] frame of the clip that is shown.
        windows: frame numbers of each window.
        poses: [L, 4, 4] the estimated cameras, to compare in the camera frame with the true cameras; None compares in
            the object frame.
    Returns:
        figures of ``_FIGURES`` and curves of ``_CURVES`` that do not need the latents.
    """
    truth, counts, faces = scene.truth, scene.counts, scene.truth.faces
    true_points, clouds = scene.points, np.asarray(scene.clouds.points, np.float64)
    found = vertices
    if poses is not None:
        found = to_camera(vertices, poses)
        true_points = to_camera(true_points, truth.camera_from_object).astype(np.float64)
        clouds = to_camera(clouds, truth.camera_from_object).astype(np.float64)
    carried = carry_points(found, faces, truth.face, truth.barycentric)
    errors = point_errors(carried, true_points[order])
    moved = scene.moved[order]
    trees = [cKDTree(cloud) for cloud in clouds]
    distances = np.empty(len(order))
    for frame, shown in enumerate(order):
        sample = sample_surface(found[frame], faces, counts.points, np.random.default_rng(counts.seed + frame))[0]
        distances[frame] = cloud_distance(sample.astype(np.float64), clouds[shown], counts.queries, counts.seed,
                                          trees[shown])  # fmt: skip
    _, _, face, weights = sample_surface(found[0], faces, counts.queries, np.random.default_rng(counts.seed))
    followed = carry_points(found, faces, face, weights).astype(np.float64)
    curves = {
        "moved": moved_means(errors, moved, windows),
        "all": window_means(errors.mean(axis=1), windows),
        "cd_3d": window_means(distances, windows),
    }
    figures: Figures = {
        "cd_3d": float(distances.mean()),
        "cd_m": motion_distance(followed, clouds[order][:, : counts.queries]),
        "moved": float(errors[1:][moved[1:]].mean()) if moved[1:].any() else None,
        "all": float(errors[1:].mean()),
    }
    for curve, name in (("moved", "moved"), ("all", "all"), ("cd_3d", "cd")):
        line = curves[curve]
        if line:
            figures |= {f"{name}_first": line[0], f"{name}_last": line[-1]}
            figures[f"{name}_growth"] = line[-1] / line[0] if line[0] > 0 else None
    return figures, curves


def moved_means(errors: np.ndarray, moved: np.ndarray, windows: Sequence[range]) -> list[float]:
    """Mean error of the points that moved, over each window's own frames; empty if a window has none.

    Args:
        errors: [L, P]; moved: [L, P] bool.
        windows: frame numbers of each window; the first frame belongs to the window before, except in the first.
    """
    means = []
    for number, window in enumerate(windows):
        own = slice(window.start + (1 if number else 0), window.stop)
        if not moved[own].any():
            return []
        means.append(float(errors[own][moved[own]].mean()))
    return means


def variant_name(config: RolloutConfig) -> str:
    """What tables call the variant that a configuration runs."""
    return f"{config.reinforce.mode}, {'re-encoded' if config.anchor_handover == 'reencode' else 'latent handed on'}"


def describe(bench: Bench, rows: Sequence[Row]) -> Section:
    """Tables in both frames, the ratios of the last window over the first, and drift curves."""
    default = variant_name(bench.config)
    size = bench.config.frames
    lines = [
        f"{size} frames, forwards and backwards {WINDOWS} times ({WINDOWS * (size - 1) + 1} frames), from the true "
        "mesh of the first one. Nothing is aligned, so that drift shows. In the camera frame the mesh stands where the "
        "estimated camera puts it and is compared with the truth under the true camera. The camera is estimated only "
        f"in: {'; '.join(SEEN)}. Seconds of the other variants lack it.",
        "",
    ]
    for frame in (OBJECT, CAMERA):
        own = select(rows, table=frame)
        lines += [f"### In the {frame}", "", *table_lines(own, _FIGURES, "variant")]
        for figure, title in GROWING.items():
            ratios = [(name, pooled_ratio(select(own, setting=name), f"{figure}_last", f"{figure}_first"))
                      for name in names_of(own, "setting")]  # fmt: skip
            told = [f"{name} {ratio:.2f}" for name, ratio in ratios if ratio is not None]
            lines.append(f"- Mean of the last window over mean of the first, {title}: {'; '.join(told) or 'none'}.")
        for figure in ("cd_3d", "moved", "moved_last"):
            lines.append(f"- {compare_settings(own, figure, _FIGURES[figure], default)}")
        lines += ["", *family_lines(own, "moved_last", _FIGURES["moved_last"])]
    lines += ["### Baselines", "", "They see the true surface of every frame and repeat themselves.", ""]
    lines += table_lines(select(rows, table=BASELINE_TABLE), _FIGURES, "baseline")
    plots = {}
    for curve, label in _CURVES.items():
        own = select(rows, table=OBJECT) + select(rows, table=BASELINE_TABLE)
        lines_of = {name: [line for row in select(own, setting=name) if (line := row.curves.get(curve))]
                    for name in names_of(own, "setting")}  # fmt: skip
        lines_of = {name: curves for name, curves in lines_of.items() if curves}
        if lines_of:
            plots[f"long_{curve}"] = draw_curves(lines_of, "window", label)
            lines += [picture(f"long_{curve}", f"Drift: {label}"), ""]
    return Section(EXPERIMENT.title, [*lines, *failure_lines(rows)], plots)


EXPERIMENT = Experiment("long", "Long sequences (Table 4, Fig. 2)", run, describe)
