"""The method and its baselines by name, and what makes the baselines' animated meshes and tracks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ...camera.raycast import intersect_pixels
from ...camera.tracks3d import carry_points, to_camera
from ...mesh.sampling import sample_surface
from .alignment import align_surfaces, apply_similarity
from .baselines import nearest_vertices, rigid_vertices, still_vertices
from .flow import Tracks, dense_flow_tracks, sparse_flow_tracks, still_tracks
from .motion import FoundMotion, TrueMotion
from .sequences import Rolled

OURS = "attention chain"
"""The method's name in tables; every other name is a baseline."""
STILL, NEAREST, RIGID = "mesh that stays still", "nearest surface point", "rigid ICP"
STILL_POINTS, DENSE, SPARSE = "points that stay still", "DIS flow", "Lucas-Kanade"
_ICP_POINTS = 1000
SAMPLE_SEED = 1

T = TypeVar("T")


@dataclass(frozen=True)
class AnimatedMesh:
    """An animated mesh [F, V, 3] of one method, and the seconds it took."""

    vertices: np.ndarray
    seconds: float


def animated_meshes(rolled: Rolled, truth: TrueMotion, anchor_is_true: bool) -> dict[str, AnimatedMesh]:
    """The method's animated mesh and those of the baselines that start from its anchor."""
    found = rolled.motion
    rest = found.vertices[0] if anchor_is_true else lay_on_truth(found, truth)
    meshes = {OURS: AnimatedMesh(found.vertices, sum(rolled.seconds))}
    return meshes | {method: AnimatedMesh(*timed(animate)) for method, animate in baseline_meshes(rest, truth).items()}


def baseline_meshes(rest: np.ndarray, truth: TrueMotion) -> dict[str, Callable[[], np.ndarray]]:
    """What animates the mesh of the first frame [V, 3] to [F, V, 3], by the baseline's name."""
    rng = np.random.default_rng(SAMPLE_SEED)
    samples = [sample_surface(frame, truth.faces, _ICP_POINTS, rng)[0] for frame in truth.vertices]
    return {
        STILL: lambda: still_vertices(rest, len(truth.vertices)),
        NEAREST: lambda: nearest_vertices(rest, truth.vertices, truth.faces),
        RIGID: lambda: rigid_vertices(rest, samples),
    }


def baseline_followers(images: np.ndarray, queries_px: np.ndarray) -> dict[str, Callable[[], Tracks]]:
    """What follows pixels [Q, 2] of the first of the images [F, H, W, 3] in 2D, by the baseline's name."""
    return {
        STILL_POINTS: lambda: still_tracks(queries_px, len(images)),
        DENSE: lambda: dense_flow_tracks(images, queries_px),
        SPARSE: lambda: sparse_flow_tracks(images, queries_px),
    }


def lay_on_truth(found: FoundMotion, truth: TrueMotion) -> np.ndarray:
    """[V, 3] float32 the mesh found in the first frame, laid onto the true surface by a similarity."""
    rng = np.random.default_rng(SAMPLE_SEED)
    ours = sample_surface(found.vertices[0], found.faces, _ICP_POINTS, rng)[0]
    true = sample_surface(truth.vertices[0], truth.faces, _ICP_POINTS, rng)[0]
    return apply_similarity(align_surfaces(ours, true), found.vertices[0]).astype(np.float32)


def world_tracks(vertices: np.ndarray, faces: np.ndarray, truth: TrueMotion, queries_px: np.ndarray) -> np.ndarray:
    """[F, Q, 3] a baseline's 3D tracks in the true first camera: pixels [Q, 2] of frame 0 laid onto its mesh."""
    first = truth.camera_from_object[0]
    face, weights = intersect_pixels(to_camera(vertices[:1], first)[0], faces, truth.intrinsics, queries_px)
    return to_camera(carry_points(vertices, faces, face, weights), first)


def timed(make: Callable[[], T]) -> tuple[T, float]:
    """What it makes, and the seconds it took."""
    started = time.perf_counter()
    made = make()
    return made, time.perf_counter() - started
