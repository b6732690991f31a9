"""What every experiment works with: networks, options, clips, and the figures that several of them measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from ...backbone import Backbone
from ...camera.tracks3d import carry_points
from ...config import RolloutConfig, replace
from ..evaluation.actionbench import TrueClouds, score_clouds
from ..evaluation.actionbench_config import REDUCED, ActionBenchConfig
from ..evaluation.alignment import apply_similarity
from ..evaluation.anchors import clip_mesh
from ..evaluation.errors import moved_points, object_radius, point_errors, region_means
from ..evaluation.motion import FoundMotion, TrueMotion, clip_motion
from ..evaluation.nearest import nearest_on_surface
from ..evaluation.sequences import roll
from ..evaluation.synthetic import SyntheticSet
from ..evaluation.synthetic_records import baseline_meshes, true_clouds
from ..synthetic import Camera, Clip, ClipConfig, Split
from .rows import Figures, Row, Subject

POINTS = {
    "last_moved": "points that moved, last frame",
    "last_all": "all points, last frame",
    "frames_moved": "points that moved, all frames",
    "frames_all": "all points, all frames",
}
"""Mean errors of known points: figure to title."""

CLOUDS = {
    "cd_3d": "CD-3D",
    "cd_4d": "CD-4D",
    "cd_m": "CD-M",
    "raw_cd_3d": "CD-3D = CD-4D, not aligned",
    "raw_cd_m": "CD-M, not aligned",
}
"""ActionBench's figures: figure to title."""

MESH_ONLY = {"camera.estimate": False, "tracks.max_queries": 1}
"""Options that leave out what a figure of the mesh alone does not need."""

BASELINE_TABLE = "baselines"


@dataclass(frozen=True)
class Task:
    """One piece of work: an experiment on one clip.

    Attributes:
        experiment: its name.
        split, clip: which clip.
        part: what of it, "" for all at once.
        baselines: whether to measure ``Scene.baselines``, which may be known from another experiment.
    """

    experiment: str
    split: str
    clip: int
    part: str = ""
    baselines: bool = True


@dataclass(frozen=True)
class Bench:
    """Networks and options of a run.

    Attributes:
        backbone, config: of the rollout; ``config`` is the recommended setting that others are compared with.
        counts: points and steps of the Chamfer figures.
        image_size: side of the pictures in pixels.
    """

    backbone: Backbone
    config: RolloutConfig
    counts: ActionBenchConfig = REDUCED
    image_size: int = 256

    def changed(self, changes: dict[str, Any]) -> RolloutConfig:
        """The recommended options with some changed."""
        found: RolloutConfig = replace(self.config, changes)
        return found

    def scene(self, task: Task, camera: Camera = "static") -> Scene:
        """The clip of a task, as long as a window."""
        config = ClipConfig(frames=self.config.frames, image_size=self.image_size, camera=camera)
        clip = SyntheticSet(cast(Split, task.split), clip=config).make(task.clip)
        return Scene(clip, Subject(task.split, task.clip, clip.config.family), self.counts)


class Scene:
    """A clip with its truth, and what is measured against it.

    Attributes:
        clip: pictures; its frame 0 gives the anchor.
        subject: makes the rows.
        truth: meshes, cameras and known points.
        points: [F, P, 3] float64 the known points; moved: [F, P] bool.
        radius: of the object.
    """

    def __init__(self, clip: Clip, subject: Subject, counts: ActionBenchConfig) -> None:
        self.clip, self.subject, self.counts = clip, subject, counts
        self.truth: TrueMotion = clip_motion(clip)
        self.mesh = clip_mesh(clip)
        self.points = self.truth.points.astype(np.float64)
        self.radius = object_radius(self.truth.vertices[0])
        self.moved = moved_points(self.points, self.radius)
        self._clouds: TrueClouds | None = None

    @property
    def clouds(self) -> TrueClouds:
        """Tracked samples of the true surface; made when first read."""
        if self._clouds is None:
            self._clouds = true_clouds(self.truth, self.counts.points)
        return self._clouds

    def roll(self, backbone: Backbone, config: RolloutConfig) -> FoundMotion:
        """The method on the clip, from the true mesh of frame 0."""
        clip = self.clip
        return roll(backbone, config, clip.images, clip.masks, clip.intrinsics, None, self.mesh).motion

    def point_figures(self, vertices: np.ndarray) -> Figures:
        """``POINTS`` of a mesh [F, V, 3] with the true mesh's triangles, object units."""
        carried = carry_points(vertices, self.truth.faces, self.truth.face, self.truth.barycentric)
        return self.place_figures(carried.astype(np.float64))

    def other_point_figures(self, vertices: np.ndarray, faces: np.ndarray, similarity: np.ndarray) -> Figures:
        """``POINTS`` of a mesh with other triangles: a true point stands for the nearest point of its first frame.

        Args:
            vertices: [F, V, 3]; faces: [T, 3].
            similarity: [4, 4] takes them into the true object frame.
        """
        aligned = apply_similarity(similarity, vertices)
        feet = nearest_on_surface(self.points[0], aligned[0], faces)
        return self.place_figures(carry_points(aligned, faces, feet.face, feet.barycentric).astype(np.float64))

    def place_figures(self, places: np.ndarray) -> Figures:
        """``POINTS`` of places [F, P, 3] of the known points."""
        means = region_means(point_errors(places, self.points), self.moved)
        return {name: getattr(means, name) for name in POINTS}

    def cloud_figures(self, vertices: np.ndarray, faces: np.ndarray, device: str = "cpu") -> Figures:
        """``CLOUDS`` of a mesh [F, V, 3]."""
        scores = score_clouds(vertices, faces, self.clouds, self.counts, device)
        return {name: getattr(scores, name) for name in CLOUDS}

    def baselines(self, clouds: bool) -> list[Row]:
        """Rows of the meshes that the method must beat, with ``CLOUDS`` where asked for."""
        faces = self.truth.faces

        def measure(animate: Callable[[], np.ndarray]) -> Figures:
            vertices = animate()
            return self.point_figures(vertices) | (self.cloud_figures(vertices, faces) if clouds else {})

        made = baseline_meshes(self.truth.vertices[0], self.truth)
        return [self.subject.row(BASELINE_TABLE, name, lambda a=a: measure(a)) for name, a in made.items()]


@dataclass(frozen=True)
class Section:
    """An experiment in the report.

    Attributes:
        title: its heading.
        lines: Markdown; pictures stand in it as ``![title](PLOTS/name.png)``.
        plots: PNG files by name.
    """

    title: str
    lines: list[str]
    plots: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """One experiment.

    Attributes:
        name: in the command.
        title: in the report.
        splits: whose clips it takes.
        run: one task, which is one clip or a part of one.
        describe: all rows as a section of the report.
        shares_baselines: its tables end with ``Scene.baselines``, which the summary measures as well.
        follow_up: part of the tasks that can be planned only when all clips have been through the first part, from
            the rows so far; "" or None if there is none.
    """

    name: str
    title: str
    run: Callable[[Bench, Task], list[Row]]
    describe: Callable[[Bench, Sequence[Row]], Section]
    splits: tuple[str, ...] = ("test",)
    shares_baselines: bool = False
    follow_up: Callable[[Bench, Sequence[Row]], str] | None = None
