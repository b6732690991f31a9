"""The benchmarks' figures on a synthetic clip, for the method and for every baseline."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from ...camera.raycast import intersect_pixels
from ...camera.tracks3d import carry_points, to_camera
from ...mesh.sampling import sample_surface
from ...mesh.types import face_areas_normals
from ...stream.windows import split_frames
from .actionbench import TrueClouds, score_clouds
from .actionbench_config import ActionBenchConfig
from .alignment import align_surfaces, apply_similarity
from .baselines import nearest_vertices, rigid_vertices, still_vertices
from .drift import window_means
from .errors import object_radius
from .flow import Tracks, dense_flow_tracks, sparse_flow_tracks, still_tracks
from .motion import FoundMotion, TrueMotion
from .records import OURS, Record, cloud_figures, tapvid_figures, worldtrack_figures
from .sequences import Rolled
from .tapvid import score_tapvid, to_raster
from .tracks import TrueTracks, true_tracks
from .worldtrack import score_worldtrack

STILL, NEAREST, RIGID = "mesh that stays still", "nearest surface point", "rigid ICP"
STILL_POINTS, DENSE, SPARSE = "points that stay still", "DIS flow", "Lucas-Kanade"
_ICP_POINTS = 1000
_SAMPLE_SEED = 1

T = TypeVar("T")


@dataclass(frozen=True)
class AnimatedMesh:
    """An animated mesh [F, V, 3] of one method, and the seconds it took."""

    vertices: np.ndarray
    seconds: float


def clip_records(
    item: str,
    rolled: Rolled,
    truth: TrueMotion,
    images: np.ndarray,
    window_frames: int,
    anchor_is_true: bool,
    config: ActionBenchConfig,
    device: str = "cpu",
    meshes: dict[str, AnimatedMesh] | None = None,
) -> list[Record]:
    """Every benchmark's figures that a clip allows.

    Meshes get ActionBench's figures, drift curves and WorldTrack's figures; 2D tracks get TAP-Vid's. The queries are
    the method's own pixels of the first frame that lie on the true object. Lengths are object units instead of metres:
    the whole motion fits a sphere of radius 1.

    Args:
        item: name of the clip.
        rolled: the method's result; truth: of the same frames; images: [F, H, W, 3] of the same frames.
        window_frames: frames of a window, for the drift curves.
        anchor_is_true: the anchor is the true mesh; otherwise the baselines' anchor is first laid onto the true
            surface of the first frame, since they have no object frame to be in.
        config: points and steps.   device: of the alignment.
        meshes: from ``animated_meshes`` of the same arguments, where they are there already.
    Returns:
        a record for the method and for every baseline.
    """
    found = rolled.motion
    meshes = animated_meshes(rolled, truth, anchor_is_true) if meshes is None else meshes
    clouds = true_clouds(truth, config.points)
    windows = split_frames(len(found.vertices), window_frames)
    records = {
        method: _mesh_record(item, method, made, found.faces, clouds, windows, config, device)
        for method, made in meshes.items()
    }
    if rolled.correlations:
        ours = records[OURS]
        records[OURS] = replace(
            ours,
            figures={**ours.figures, "token_correlation": rolled.correlations[-1]},
            curves={**ours.curves, "window_correlation": list(rolled.correlations)},
        )
    true = true_tracks(
        truth.vertices,
        truth.faces,
        truth.camera_from_object,
        truth.intrinsics,
        truth.size,
        found.points_px[0],
        object_radius(truth.vertices[0]),
    )
    kept = np.flatnonzero(true.on_object & true.visible[0])
    if not len(kept):
        return list(records.values())
    places = found.points_px[0, kept]
    points_3d = {OURS: found.points_world[:, kept]}
    for method, made in meshes.items():
        if method != OURS:
            points_3d[method] = world_tracks(made.vertices, found.faces, truth, places)
    for method, points in points_3d.items():
        scores = score_worldtrack(points, true.points_world[:, kept], true.visible[:, kept])
        record = records[method]
        records[method] = replace(record, figures={**record.figures, **worldtrack_figures(scores)})
    followers: dict[str, Callable[[], Tracks]] = {
        OURS: lambda: Tracks(found.points_px[:, kept], found.points_visible[:, kept]),
        **baseline_followers(images, places),
    }
    for method, follow in followers.items():
        tracks, seconds = _timed(follow)
        record = records.get(method, Record(item, method, seconds=seconds))
        records[method] = replace(record, figures={**record.figures, **track_figures(tracks, true, kept, truth.size)})
    return list(records.values())


def true_clouds(truth: TrueMotion, count: int) -> TrueClouds:
    """Tracked samples of the true surface, drawn with equal chance per area of frame 0, with the faces' normals."""
    rng = np.random.default_rng(_SAMPLE_SEED)
    _, _, face, weights = sample_surface(truth.vertices[0], truth.faces, count, rng)
    points = carry_points(truth.vertices, truth.faces, face, weights)
    normals = np.stack([face_areas_normals(frame, truth.faces)[1][face] for frame in truth.vertices])
    return TrueClouds(points, normals)


def animated_meshes(rolled: Rolled, truth: TrueMotion, anchor_is_true: bool) -> dict[str, AnimatedMesh]:
    """The method's animated mesh and those of the baselines that start from its anchor."""
    found = rolled.motion
    rest = found.vertices[0] if anchor_is_true else lay_on_truth(found, truth)
    meshes = {OURS: AnimatedMesh(found.vertices, sum(rolled.seconds))}
    return meshes | {method: AnimatedMesh(*_timed(animate)) for method, animate in baseline_meshes(rest, truth).items()}


def baseline_meshes(rest: np.ndarray, truth: TrueMotion) -> dict[str, Callable[[], np.ndarray]]:
    """What animates the mesh of the first frame [V, 3] to [F, V, 3], by the baseline's name."""
    rng = np.random.default_rng(_SAMPLE_SEED)
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
    rng = np.random.default_rng(_SAMPLE_SEED)
    ours = sample_surface(found.vertices[0], found.faces, _ICP_POINTS, rng)[0]
    true = sample_surface(truth.vertices[0], truth.faces, _ICP_POINTS, rng)[0]
    return apply_similarity(align_surfaces(ours, true), found.vertices[0]).astype(np.float32)


def _mesh_record(
    item: str,
    method: str,
    made: AnimatedMesh,
    faces: np.ndarray,
    clouds: TrueClouds,
    windows: list[range],
    config: ActionBenchConfig,
    device: str,
) -> Record:
    scores = score_clouds(made.vertices, faces, clouds, config, device)
    means = window_means(np.array(scores.frames_raw), windows)
    drift = means[-1] / means[0] if len(means) > 1 and means[0] > 0 else None
    curves = {"frame_raw": list(scores.frames_raw), "frame_3d": list(scores.frames_3d), "window_raw": means}
    return Record(item, method, {**cloud_figures(scores), "drift": drift}, curves, seconds=made.seconds)


def world_tracks(vertices: np.ndarray, faces: np.ndarray, truth: TrueMotion, queries_px: np.ndarray) -> np.ndarray:
    """[F, Q, 3] a baseline's 3D tracks in the true first camera: pixels [Q, 2] of frame 0 laid onto its mesh."""
    first = truth.camera_from_object[0]
    face, weights = intersect_pixels(to_camera(vertices[:1], first)[0], faces, truth.intrinsics, queries_px)
    return to_camera(carry_points(vertices, faces, face, weights), first)


def track_figures(tracks: Tracks, true: TrueTracks, kept: np.ndarray, size: tuple[int, int]) -> dict[str, float | None]:
    """TAP-Vid's figures of tracks [F, n] of those of the true tracks that are ``kept`` [n], queried in frame 0."""
    first = np.zeros(len(kept), np.int64)
    found, truth = to_raster(tracks.points_px, size), to_raster(true.points_px[:, kept], size)
    return tapvid_figures(score_tapvid(found, tracks.visible, truth, true.visible[:, kept], first))


def _timed(make: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    made = make()
    return made, time.perf_counter() - started
