"""A synthetic clip with its truth, and what meshes are measured by on it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ...backbone import Backbone
from ...camera.tracks3d import carry_points
from ...config import RolloutConfig
from ...mesh.sampling import sample_surface
from ...mesh.types import face_areas_normals
from ..synthetic import Clip
from ..table import BASELINES, Figures, Subject, concat
from .actionbench import TrueClouds, score_clouds
from .actionbench_config import ActionBenchConfig
from .anchors import clip_mesh
from .errors import moved_points, object_radius, point_errors, region_means
from .methods import SAMPLE_SEED, baseline_meshes
from .motion import FoundMotion, TrueMotion, clip_motion
from .nearest import nearest_on_surface
from .sequences import roll

if TYPE_CHECKING:
    import pandas as pd

POINTS = ("last_moved", "last_all", "frames_moved", "frames_all")
"""Mean errors of known points."""
CLOUDS = ("cd_3d", "cd_4d", "cd_m", "raw_cd_3d", "raw_cd_m")
"""ActionBench's distances."""


class Scene:
    """A clip with its truth, and what is measured against it.

    Attributes:
        clip: pictures; its frame 0 gives the anchor.
        subject: makes the rows.
        counts: points and steps of ActionBench's figures.
        truth: meshes, cameras and known points.
        mesh: the true mesh of frame 0.
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

    def other_point_figures(self, vertices: np.ndarray, faces: np.ndarray) -> Figures:
        """``POINTS`` of a mesh with other triangles: a true point stands for the nearest point of its first frame.

        Args:
            vertices: [F, V, 3] in the true object frame; faces: [T, 3].
        """
        placed = np.asarray(vertices, np.float64)
        feet = nearest_on_surface(self.points[0], placed[0], faces)
        return self.place_figures(carry_points(placed, faces, feet.face, feet.barycentric).astype(np.float64))

    def place_figures(self, places: np.ndarray) -> Figures:
        """``POINTS`` of places [F, P, 3] of the known points."""
        means = region_means(point_errors(places, self.points), self.moved)
        return {name: getattr(means, name) for name in POINTS}

    def cloud_figures(self, vertices: np.ndarray, faces: np.ndarray, device: str = "cpu") -> Figures:
        """``CLOUDS`` of a mesh [F, V, 3]."""
        scores = score_clouds(vertices, faces, self.clouds, self.counts, device)
        return {name: getattr(scores, name) for name in CLOUDS}

    def baselines(self, clouds: bool) -> pd.DataFrame:
        """Rows of the meshes that the method must beat, with ``CLOUDS`` where asked for."""
        faces = self.truth.faces

        def measure(animate: Callable[[], np.ndarray]) -> Figures:
            vertices = animate()
            return self.point_figures(vertices) | (self.cloud_figures(vertices, faces) if clouds else {})

        made = baseline_meshes(self.truth.vertices[0], self.truth)
        return concat(
            self.subject.measure(BASELINES, name, functools.partial(measure, animate)) for name, animate in made.items()
        )


def true_clouds(truth: TrueMotion, count: int) -> TrueClouds:
    """Tracked samples of the true surface, drawn with equal chance per area of frame 0, with the faces' normals."""
    rng = np.random.default_rng(SAMPLE_SEED)
    _, _, face, weights = sample_surface(truth.vertices[0], truth.faces, count, rng)
    points = carry_points(truth.vertices, truth.faces, face, weights)
    normals = np.stack([face_areas_normals(frame, truth.faces)[1][face] for frame in truth.vertices])
    return TrueClouds(points, normals)
