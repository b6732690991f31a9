"""Experiment 5: the presets "paper" and "full" beside one another, over one window and over 241 frames."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...camera.tracks3d import carry_points, to_camera
from ...config import RolloutConfig
from ...parts.flow import read_mask
from ...rollout.tracking import grid_queries
from ...stream.windows import split_frames
from ..evaluation.cameras import rotation_errors_deg
from ..evaluation.clip_scores import track_figures
from ..evaluation.drift import window_means
from ..evaluation.errors import point_errors
from ..evaluation.flow import Tracks, dense_flow_tracks
from ..evaluation.methods import DENSE, STILL
from ..evaluation.motion import FoundMotion
from ..evaluation.scene import Scene
from ..evaluation.sequences import roll
from ..evaluation.tracks import CLOSE_PX, TrueTracks, true_tracks
from ..synthetic import CAMERAS, Camera
from ..synthetic.dirt import Soiled
from ..synthetic.motion import ping_pong
from ..table import Curves, Figures, Measured, concat
from .bench import Bench, Experiment, Task
from .long import WINDOWS, moved_means
from .presets_report import GOES_ON, ONE_WINDOW, ROUND, TITLE, TO_AND_FRO, describe

if TYPE_CHECKING:
    import pandas as pd

PRESETS: dict[str, dict[str, Any]] = {"paper": {"preset": "paper"}, "full": {"preset": "full"}}
FIRST_ALONE = "full, first frame alone"
KEYFRAMES = PRESETS | {FIRST_ALONE: {"preset": "full", "parts.keyframes": 1}}
"""Variants that are shown an object from all sides."""

QUERIES = 256
"""Pixels followed, a grid over the object in the first frame."""

BINS = 10
"""Classes of confidence in which right tracks are counted."""


@dataclass(frozen=True)
class Sequence3D:
    """A clip played in some order, and what is followed in it.

    Attributes:
        scene: the clip.   order: [L] its frames as they are shown.
        windows: numbers of the shown frames that each window has.
        queries: [Q, 2] pixels of the first frame that are on the object there.
        shown: pictures, masks and what hides the object, of the frames in their order; None = the clip's own.
    """

    scene: Scene
    order: np.ndarray
    windows: Sequence[range]
    queries: np.ndarray
    shown: Soiled | None = None

    @classmethod
    def of(cls, scene: Scene, order: np.ndarray, size: int) -> Sequence3D:
        """A clip in an order, in windows of ``size`` frames."""
        queries = grid_queries(scene.clip.masks[order[0]], QUERIES)
        return cls(scene, order, split_frames(len(order), size), queries)

    @functools.cached_property
    def true(self) -> TrueTracks:
        """Where the queries really go."""
        truth = self.scene.truth
        found = true_tracks(
            truth.vertices[self.order], truth.faces, truth.camera_from_object[self.order], truth.intrinsics,
            truth.size, self.queries, self.scene.radius,
        )  # fmt: skip
        if self.shown is None or not self.shown.hidden.any():
            return found
        bare = [~read_mask(*frame) for frame in zip(self.shown.hidden, found.points_px, strict=True)]
        return replace(found, visible=found.visible & np.stack(bare))

    @functools.cached_property
    def kept(self) -> np.ndarray:
        """Queries that have a truth."""
        return np.flatnonzero(self.true.on_object & self.true.visible[0])

    @property
    def pictures(self) -> tuple[np.ndarray, np.ndarray]:
        """[L, S, S, 3] images and [L, S, S] masks as the method is shown them."""
        if self.shown is not None:
            return self.shown.images, self.shown.masks
        return self.scene.clip.images[self.order], self.scene.clip.masks[self.order]

    def roll(self, bench: Bench, config: RolloutConfig) -> tuple[FoundMotion, float]:
        """The method from the true mesh of the first frame, and its mean seconds a window."""
        intrinsics = self.scene.clip.intrinsics
        found = roll(bench.backbone, config, *self.pictures, intrinsics, self.queries, self.scene.mesh)
        return found.motion, float(np.mean(found.seconds))

    def mesh_figures(self, vertices: np.ndarray, poses: np.ndarray | None = None) -> Measured:
        """Errors of known points of a mesh [L, V, 3] with the true triangles, nothing aligned.

        In the object frame, or, with the poses found [L, 4, 4], in the camera's: there it does not matter whether the
        camera is said to have turned or the object.
        """
        scene, truth = self.scene, self.scene.truth
        carried = carry_points(vertices, truth.faces, truth.face, truth.barycentric)
        points = scene.points[self.order]
        if poses is not None:
            carried = to_camera(carried, poses)
            points = to_camera(points, truth.camera_from_object[self.order])
        errors = point_errors(carried, points)
        moved = scene.moved[self.order]
        curves: Curves = {
            "all": window_means(errors.mean(axis=1), self.windows),
            "moved": moved_means(errors, moved, self.windows),
        }
        figures: Figures = {
            "all": float(errors[1:].mean()),
            "moved": float(errors[1:][moved[1:]].mean()) if moved[1:].any() else None,
            "last_moved": float(errors[-1][moved[-1]].mean()) if moved[-1].any() else None,
            "all_first": curves["all"][0],
            "all_last": curves["all"][-1],
            "moved_last": curves["moved"][-1] if curves["moved"] else None,
        }
        return Measured(figures, curves)

    def figures(self, found: FoundMotion, seconds: float, in_camera: bool = False) -> Measured:
        """Everything about a result of the method; the mesh's errors in the object's or in the camera's frame."""
        measured = self.mesh_figures(found.vertices, found.camera_from_object if in_camera else None)
        truth = self.scene.truth
        figures = measured.figures
        figures |= track_figures(
            Tracks(found.points_px[:, self.kept], found.points_visible[:, self.kept]), self.true, self.kept, truth.size
        )
        poses = truth.camera_from_object[self.order]
        if found.camera_valid.any():
            errors = rotation_errors_deg(found.camera_from_object, poses)
            figures["rotation_deg"] = float(np.median(errors[found.camera_valid]))
        figures["camera_poses"] = float(found.camera_valid.mean())
        figures["seconds"] = seconds
        if found.points_confidence is not None:
            measured.curves.update(self.reliability(found.points_px, found.points_confidence))
        return measured

    def reliability(self, points_px: np.ndarray, confidence: np.ndarray) -> Curves:
        """Truly visible points by their confidence (``BINS`` classes): how many, their confidence, how many right."""
        close = CLOSE_PX * max(self.scene.truth.size) / 256
        seen = self.true.visible[1:, self.kept]
        error = np.linalg.norm(points_px[1:, self.kept] - self.true.points_px[1:, self.kept], axis=2)[seen]
        sure = np.asarray(confidence, np.float64)[1:, self.kept][seen]
        bins = np.clip((sure * BINS).astype(np.int64), 0, BINS - 1)
        right = (error < close).astype(np.float64)
        return {
            "confidence_count": np.bincount(bins, minlength=BINS).astype(float).tolist(),
            "confidence_sum": np.bincount(bins, sure, BINS).tolist(),
            "confidence_right": np.bincount(bins, right, BINS).tolist(),
        }


def preset_config(bench: Bench, changes: dict[str, Any]) -> RolloutConfig:
    """The recommended options with a preset; poses are handed on whether they are trusted or not."""
    return bench.changed({"camera.gate.enabled": False, **changes})


def run(bench: Bench, task: Task) -> pd.DataFrame:
    """One clip: a window under each camera, then both long sequences, by both presets."""
    groups = (TO_AND_FRO, GOES_ON, ROUND)
    return concat([one_window(bench, task), *(long_sequence(bench, task, group) for group in groups)])


def one_window(bench: Bench, task: Task, presets: Sequence[str] = tuple(PRESETS)) -> pd.DataFrame:
    """A window under each camera; Chamfer distances under the still one."""
    tables = []
    for camera in CAMERAS:
        scene = bench.scene(task, camera)
        played = Sequence3D.of(scene, np.arange(bench.config.frames), bench.config.frames)
        for name in presets:

            def measure(name: str = name, played: Sequence3D = played) -> Measured:
                found, seconds = played.roll(bench, preset_config(bench, PRESETS[name]))
                measured = played.figures(found, seconds)
                if played.scene.clip.config.camera == "static":
                    measured.figures.update(played.scene.cloud_figures(found.vertices, found.faces))
                return measured

            tables.append(scene.subject.measure(ONE_WINDOW, name, measure))
        tables.append(baselines(played, ONE_WINDOW))
    return concat(tables)


def long_sequence(bench: Bench, task: Task, group: str, variants: Sequence[str] | None = None) -> pd.DataFrame:
    """241 frames: under a camera that stands still, or one that goes once round the object."""
    size = bench.config.frames
    length = WINDOWS * (size - 1) + 1
    camera: Camera = "orbit" if group == ROUND else "static"
    scene = bench.scene(task, camera, frames=size if group == TO_AND_FRO else length)
    order = ping_pong(size, length) if group == TO_AND_FRO else np.arange(length)
    played = Sequence3D.of(scene, order, size)
    known = KEYFRAMES if group == ROUND else PRESETS
    tables = []
    for name in known if variants is None else variants:

        def measure(name: str = name) -> Measured:
            return played.figures(*played.roll(bench, preset_config(bench, known[name])), in_camera=group == ROUND)

        tables.append(scene.subject.measure(group, name, measure))
    return concat([*tables, baselines(played, group, in_camera=group == ROUND)])


def baselines(played: Sequence3D, group: str, in_camera: bool = False) -> pd.DataFrame:
    """The mesh that stays still and optical flow, on the same pictures and queries; errors as in ``figures``."""
    scene = played.scene

    def still() -> Measured:
        length = len(played.order)
        kept = np.repeat(scene.truth.camera_from_object[:1], length, axis=0) if in_camera else None
        return played.mesh_figures(np.repeat(scene.truth.vertices[:1], length, axis=0), kept)

    def flow() -> Figures:
        tracks = dense_flow_tracks(played.pictures[0], played.queries[played.kept])
        return track_figures(tracks, played.true, played.kept, scene.truth.size)

    return concat([scene.subject.measure(group, STILL, still), scene.subject.measure(group, DENSE, flow)])


EXPERIMENT = Experiment("presets", TITLE, run, describe, first=(0, 2, 6, 10, 14, 18))
