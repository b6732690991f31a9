"""Experiment 4d: what it is worth to know the camera's motion, with and without a scale, or from the background."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ...camera.background import Surroundings, background_turns
from ...camera.motion import CameraMotion
from ...camera.poses import invert_poses
from ...camera.tracks3d import carry_points, project, to_camera
from ...errors import InputError
from ...rollout import Rollout
from ...rollout.animating import animate
from ...rollout.cameras import estimate_cameras
from ..evaluation.cameras import rotation_errors_deg
from ..evaluation.scene import Scene
from ..evaluation.sequences import cut_windows
from ..report import Section, failure_lines, family_lines, markdown, scalar, table_lines
from ..synthetic import CAMERAS, Camera
from ..table import Figures, concat, median_of, select
from .bench import Bench, Experiment, Task
from .camera import camera_figures

if TYPE_CHECKING:
    import pandas as pd

FREE, KNOWN, TURNS, BACKGROUND = "free", "known", "known, scale not", "background"
MOTIONS = (FREE, KNOWN, TURNS, BACKGROUND)
_GROUP = "motion"
_COLUMNS = {
    "rotation_deg": "rotation, median [deg]",
    "translation": "translation, median, share of the distance",
    "points_camera": "points in the camera, mean, share of the radius",
    "points_px": "points in the picture, median [px]",
    "turns_deg": "the camera's own turn, largest error [deg]",
    "camera_poses": "frames with a pose",
}


def run(bench: Bench, task: Task) -> pd.DataFrame:
    """One clip in a room under each camera; the denoiser runs once for a camera."""
    return concat(_run_camera(bench, task, camera) for camera in CAMERAS)


def _run_camera(bench: Bench, task: Task, camera: Camera) -> pd.DataFrame:
    scene = bench.scene(task, camera, "room")
    clip, true = scene.clip, scene.truth.camera_from_object
    config = bench.changed({"reinforce.mode": "off"})
    window = next(cut_windows(clip.images, clip.masks, len(clip.images), clip.intrinsics))
    seen = Rollout(bench.backbone, config, scene.mesh, anchor_is_canonical=True).trace(window)
    moved = animate(seen.state.copy(), seen.matches, window.frames, config)

    def background() -> CameraMotion:
        found = background_turns(Surroundings(window.images, window.masks, seen.intrinsics))
        if found.turns is None:
            raise InputError(found.reason)
        return CameraMotion(found.turns)

    fixed_from_camera = invert_poses(true)
    made: dict[str, Callable[[], CameraMotion | None]] = {
        FREE: lambda: None,
        KNOWN: lambda: CameraMotion.of(fixed_from_camera, 1.0),
        TURNS: lambda: CameraMotion.of(fixed_from_camera, None),
        BACKGROUND: background,
    }
    tables = []
    for name in MOTIONS:

        def measure(make: Callable[[], CameraMotion | None] = made[name]) -> Figures:
            motion = make()
            track, _ = estimate_cameras(seen, moved, config.camera, config.sampling.seed, motion)
            poses = track.camera_from_object
            figures = camera_figures(poses, track.valid, true) | point_figures(scene, moved.vertices, poses)
            figures["turns_deg"] = None if motion is None else turn_error_deg(motion, true)
            return figures

        tables.append(scene.subject.measure(_GROUP, name, measure))
    return concat(tables)


def point_figures(scene: Scene, vertices: np.ndarray, poses: np.ndarray) -> Figures:
    """How far known points are from where the true camera sees them, in the camera and in the picture, all frames.

    Args:
        scene: the truth.   vertices: [F, V, 3] of the mesh found, with the true triangles.
        poses: [F, 4, 4] camera_from_object found.
    """
    truth = scene.truth
    found = to_camera(carry_points(vertices, truth.faces, truth.face, truth.barycentric), poses)
    there = to_camera(scene.points, truth.camera_from_object)
    away = np.linalg.norm(project(truth.intrinsics, found) - project(truth.intrinsics, there), axis=-1)
    return {
        "points_camera": float(np.linalg.norm(found - there, axis=-1).mean() / scene.radius),
        "points_px": float(np.nanmedian(away)) if np.isfinite(away).any() else None,  # none lies ahead of the camera
    }


def turn_error_deg(motion: CameraMotion, true: np.ndarray) -> float:
    """Largest error over the frames of the camera's turn since the first one; true poses [F, 4, 4]."""
    found = np.tile(np.eye(4), (motion.frames, 1, 1))
    found[:, :3, :3] = motion.turns @ motion.turns[0].T
    return float(rotation_errors_deg(found, true @ invert_poses(true[:1])).max())


def describe(bench: Bench, table: pd.DataFrame) -> Section:
    """A table for each kind of camera, and medians over clips."""
    lines = [
        "One window from the true mesh of its first frame, with the true intrinsics, in a textured room. `known` is "
        "told the camera's true motion, `known, scale not` only its turns, `background` finds these outside the mask. "
        "The animated mesh is the same in all rows. Figures are over the frames of a window, means over clips.",
        "",
    ]
    for camera in CAMERAS:
        own = select(table, motion=camera, group=_GROUP)
        lines += [f"### camera {camera}", "", *table_lines(own, _COLUMNS, "camera.motion")]
        lines += family_lines(own, "rotation_deg", _COLUMNS["rotation_deg"])
        # A clip that is taken for its mirror image weighs a lot in means.
        names = ("rotation_deg", "points_camera", "points_px")
        rows = [
            [motion, *(scalar(median_of(select(own, variant=motion), name), ".2f") for name in names)]
            for motion in MOTIONS
        ]
        lines += markdown(["median over clips", *(_COLUMNS[name] for name in names)], rows)
    return Section(EXPERIMENT.title, [*lines, *failure_lines(table)], {})


EXPERIMENT = Experiment("motion", "The camera's motion: unknown, known, seen in the background", run, describe)
