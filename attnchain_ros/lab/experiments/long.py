"""Experiment 3: drift over 241 frames, with and without reinforcement, re-encoding and camera (Table 4, Fig. 2)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial import cKDTree

from ...camera.tracks3d import carry_points, to_camera
from ...config import RolloutConfig
from ...errors import InputError
from ...mesh.sampling import sample_surface
from ...stream.windows import split_frames
from ..charts import draw_curves
from ..evaluation.actionbench import cloud_distance, motion_distance
from ..evaluation.drift import window_means
from ..evaluation.errors import point_errors
from ..evaluation.methods import baseline_meshes
from ..evaluation.scene import Scene
from ..evaluation.sequences import Rolled, roll
from ..report import Section, compare_lines, failure_lines, family_lines, markdown, picture, scalar, table_lines, titles
from ..synthetic.motion import ping_pong
from ..table import (
    BASELINES,
    Curves,
    Figures,
    Measured,
    by_clip,
    concat,
    curves_of,
    mean_ratio,
    names_of,
    select,
)
from .bench import Bench, Experiment, Task

if TYPE_CHECKING:
    import pandas as pd

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
    **titles("raw_cd_3d", "raw_cd_m"),
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
    "raw_cd_3d": "CD-3D not aligned, object units",
    "correlation": "correlation of matched tokens",
}


def run(bench: Bench, task: Task) -> pd.DataFrame:
    """One clip, played forwards and backwards, by every variant; each in the object frame, some in the camera frame."""
    scene = bench.scene(task)
    clip = scene.clip
    size = bench.config.frames
    order = ping_pong(size, WINDOWS * (size - 1) + 1)
    windows = split_frames(len(order), size)
    tables = []
    for name, changes in VARIANTS.items():
        config = bench.changed({**changes, "camera.estimate": name in SEEN, "tracks.max_queries": 1})

        @functools.cache
        def rolled(config: RolloutConfig = config) -> Rolled:
            images, masks = clip.images[order], clip.masks[order]
            return roll(bench.backbone, config, images, masks, clip.intrinsics, None, scene.mesh)

        def in_object(rolled: Callable[[], Rolled] = rolled) -> Measured:
            own = rolled()
            found = measure_drift(scene, own.motion.vertices, order, windows, None)
            line = list(own.correlations)
            found.figures.update({"correlation_first": line[0], "correlation_last": line[-1]})
            found.figures["seconds"] = float(np.mean(own.seconds))
            found.curves["correlation"] = line
            return found

        def in_camera(rolled: Callable[[], Rolled] = rolled) -> Measured:
            motion = rolled().motion
            if not motion.camera_valid.any():
                raise InputError("there is no camera pose in any frame, so nothing can be brought to the camera frame")
            return measure_drift(scene, motion.vertices, order, windows, motion.camera_from_object)

        tables.append(scene.subject.measure(OBJECT, name, in_object))
        if name in SEEN:
            tables.append(scene.subject.measure(CAMERA, name, in_camera))

    def repeated(animate: Callable[[], np.ndarray]) -> Measured:
        return measure_drift(scene, animate()[order], order, windows, None)

    # Played to and fro, a baseline that looks at one frame at a time repeats itself.
    for name, animate in baseline_meshes(scene.truth.vertices[0], scene.truth).items():
        tables.append(scene.subject.measure(BASELINES, name, functools.partial(repeated, animate)))
    return concat(tables)


def measure_drift(
    scene: Scene, vertices: np.ndarray, order: np.ndarray, windows: Sequence[range], poses: np.ndarray | None
) -> Measured:
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
    curves: Curves = {
        "moved": moved_means(errors, moved, windows),
        "all": window_means(errors.mean(axis=1), windows),
        "raw_cd_3d": window_means(distances, windows),
    }
    figures: Figures = {
        "raw_cd_3d": float(distances.mean()),
        "raw_cd_m": motion_distance(followed, clouds[order][:, : counts.queries]),
        "moved": float(errors[1:][moved[1:]].mean()) if moved[1:].any() else None,
        "all": float(errors[1:].mean()),
    }
    for curve, name in (("moved", "moved"), ("all", "all"), ("raw_cd_3d", "cd")):
        line = curves[curve]
        if line:
            figures |= {f"{name}_first": line[0], f"{name}_last": line[-1]}
            figures[f"{name}_growth"] = line[-1] / line[0] if line[0] > 0 else None
    return Measured(figures, curves)


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


def growth(table: pd.DataFrame, figure: str) -> float | None:
    """One of ``GROWING`` of one variant: its mean over clips in the last window over that in the first."""
    return mean_ratio(by_clip(table, f"{figure}_last"), by_clip(table, f"{figure}_first"))


def describe(bench: Bench, table: pd.DataFrame) -> Section:
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
        own = select(table, group=frame)
        lines += [f"### In the {frame}", "", *table_lines(own, _FIGURES, "variant")]
        rows = [
            [name, *(scalar(growth(select(own, variant=name), figure), ".2f") for figure in GROWING)]
            for name in names_of(own, "variant")
        ]
        lines += markdown(["mean of the last window over mean of the first", *GROWING.values()], rows)
        compared = {figure: _FIGURES[figure] for figure in ("raw_cd_3d", "moved", "moved_last")}
        lines += compare_lines(own, compared, default)
        lines += family_lines(own, "moved_last", _FIGURES["moved_last"])
    lines += ["### Baselines", "", "They see the true surface of every frame and repeat themselves.", ""]
    lines += table_lines(select(table, group=BASELINES), _FIGURES, "baseline")
    plots = {}
    own = concat([select(table, group=OBJECT), select(table, group=BASELINES)])
    for curve, label in _CURVES.items():
        lines_of = {name: curves_of(select(own, variant=name), curve) for name in names_of(own, "variant")}
        lines_of = {name: curves for name, curves in lines_of.items() if curves}
        if lines_of:
            # docs/results.md shows the files under these names.
            name = f"long_{curve.removeprefix('raw_')}"
            plots[name] = draw_curves(lines_of, "window", label)
            lines += [picture(name, f"Drift: {label}"), ""]
    return Section(EXPERIMENT.title, [*lines, *failure_lines(table)], plots)


EXPERIMENT = Experiment("long", "Long sequences (Table 4, Fig. 2)", run, describe)
