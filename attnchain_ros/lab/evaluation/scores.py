"""All figures of one sequence against its truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...camera.tracks3d import carry_points
from ...errors import InputError
from ...mesh.sampling import sample_surface
from .alignment import align_surfaces, apply_similarity, chamfer_distance
from .cameras import pose_in_frame, rotation_errors_deg, translation_errors
from .errors import moved_points, nearest_surface_points, object_radius, point_errors, region_means
from .motion import FoundMotion, TrueMotion
from .nearest import nearest_on_surface
from .tracks import CLOSE_PX, track_errors, true_tracks

_ALIGN_POINTS = 1000
_CHAMFER_POINTS = 4000


def figure(label: str, unit: str) -> Any:
    """A figure of the table: what the report calls it and its unit."""
    return field(metadata={"label": label, "unit": unit})


@dataclass(frozen=True)
class MotionScores:
    """Figures of one sequence; None where there is nothing to measure (no point moved, no pose, no track).

    Lengths are units of the true object frame. "Moved" is by more than 0.25 of the object's radius since frame 0;
    "all frames" is every frame after the first. ``still``: this run's own anchor, never moved; ``true_still``: the true
    mesh of frame 0, never moved (the same thing where the anchor is given); ``nearest``: the nearest point of the
    true surface of the frame.
    """

    last_moved: float | None = figure("points that moved, last frame", "units")
    still_last_moved: float | None = figure("... anchor that stays still", "units")
    true_still_last_moved: float | None = figure("... true mesh that stays still", "units")
    nearest_last_moved: float | None = figure("... nearest point of the true surface", "units")
    last_all: float | None = figure("all points, last frame", "units")
    still_last_all: float | None = figure("... anchor that stays still", "units")
    true_still_last_all: float | None = figure("... true mesh that stays still", "units")
    nearest_last_all: float | None = figure("... nearest point of the true surface", "units")
    frames_moved: float | None = figure("points that moved, all frames", "units")
    still_frames_moved: float | None = figure("... anchor that stays still", "units")
    true_still_frames_moved: float | None = figure("... true mesh that stays still", "units")
    nearest_frames_moved: float | None = figure("... nearest point of the true surface", "units")
    frames_all: float | None = figure("all points, all frames", "units")
    still_frames_all: float | None = figure("... anchor that stays still", "units")
    true_still_frames_all: float | None = figure("... true mesh that stays still", "units")
    nearest_frames_all: float | None = figure("... nearest point of the true surface", "units")
    first_all: float | None = figure("all points, first frame (the anchor itself)", "units")
    moved_share: float | None = figure("share of points that moved by the last frame", "")
    chamfer_raw: float | None = figure("Chamfer distance, not aligned, mean of frames", "units")
    chamfer_3d: float | None = figure("Chamfer distance, aligned in each frame by a similarity", "units")
    chamfer_4d: float | None = figure("Chamfer distance, aligned in the first frame by a similarity", "units")
    align_scale: float | None = figure("scale of the alignment in the first frame", "")
    track_mean_px: float | None = figure("2D tracks, mean error", "px")
    track_still_px: float | None = figure("... points that stay still", "px")
    track_median_px: float | None = figure("2D tracks, median error", "px")
    track_close: float | None = figure("2D tracks within 4 px (at 256 x 256)", "share")
    track_absent: float | None = figure("2D tracks without a position, of those visible", "share")
    camera_poses: float | None = figure("frames with a camera pose", "share")
    rotation_deg: float | None = figure("camera rotation, median error", "deg")
    translation: float | None = figure("camera translation, median error, of the distance", "share")


def score_motion(
    found: FoundMotion, truth: TrueMotion, truth_from_found: np.ndarray | None, same_topology: bool, seed: int = 0
) -> MotionScores:
    """Measure one sequence.

    Args:
        found: the result.
        truth: the truth, same frames.
        truth_from_found: [4, 4] similarity between the object frames where it is known (a given anchor); None finds it
            by ``align_surfaces`` in the first frame.
        same_topology: the mesh found has the true mesh's triangles, so points are the same by number. Otherwise each
            true point of frame 0 stands for the point of the mesh found, aligned, that is nearest to it there.
        seed: of the surface samples.
    Raises:
        InputError: numbers of frames differ, or the topologies where they should be the same.
    """
    frames = len(truth.vertices)
    if len(found.vertices) != frames:
        raise InputError(f"{len(found.vertices)} frames were found and {frames} are true: compare the same frames")
    if same_topology and not np.array_equal(found.faces, truth.faces):
        raise InputError("the mesh found should have the true mesh's triangles and has others: was it not the anchor?")
    rng = np.random.default_rng(seed)
    raw = np.eye(4) if truth_from_found is None else np.asarray(truth_from_found, np.float64)
    true_clouds = [sample_surface(frame, truth.faces, _CHAMFER_POINTS, rng)[0] for frame in truth.vertices]
    found_clouds = [
        apply_similarity(raw, sample_surface(frame, found.faces, _CHAMFER_POINTS, rng)[0]) for frame in found.vertices
    ]

    aligned = [
        align_surfaces(cloud[:_ALIGN_POINTS], true_cloud[:_ALIGN_POINTS])
        for cloud, true_cloud in zip(found_clouds, true_clouds, strict=True)
    ]
    first = aligned[0]
    similarity = first if truth_from_found is None else raw
    vertices = apply_similarity(similarity, found.vertices)
    face, barycentric = truth.face, truth.barycentric
    points = truth.points.astype(np.float64)
    if not same_topology:
        feet = nearest_on_surface(points[0], vertices[0], found.faces)
        face, barycentric = feet.face, feet.barycentric
    carried = carry_points(vertices, found.faces, face, barycentric).astype(np.float64)
    radius = object_radius(truth.vertices[0])
    moved = moved_points(points, radius)
    placed = {
        "": carried,
        "still_": np.repeat(carried[:1], frames, axis=0),
        "true_still_": np.repeat(points[:1], frames, axis=0),
        "nearest_": nearest_surface_points(points[0], truth.vertices, truth.faces),
    }
    values: dict[str, float | None] = {}
    for name, places in placed.items():
        means = region_means(point_errors(places, points), moved)
        for region in ("last_all", "last_moved", "frames_all", "frames_moved"):
            values[name + region] = getattr(means, region)
    values["first_all"] = float(point_errors(carried[:1], points[:1]).mean())
    values["moved_share"] = float(moved[-1].mean())
    chamfers = np.array([
        [chamfer_distance(apply_similarity(matrix, cloud), true_cloud) for matrix in (np.eye(4), own, first)]
        for cloud, true_cloud, own in zip(found_clouds, true_clouds, aligned, strict=True)
    ])  # fmt: skip
    values |= dict(zip(("chamfer_raw", "chamfer_3d", "chamfer_4d"), chamfers.mean(axis=0).tolist(), strict=True))
    values["align_scale"] = float(np.cbrt(np.linalg.det(first[:3, :3])))
    return MotionScores(**values, **_tracks(found, truth, radius), **_cameras(found, truth, similarity))


def _tracks(found: FoundMotion, truth: TrueMotion, radius: float) -> dict[str, float | None]:
    queries = found.points_px[0]
    true = true_tracks(
        truth.vertices, truth.faces, truth.camera_from_object, truth.intrinsics, truth.size, queries, radius
    )
    errors = track_errors(found.points_px, true, CLOSE_PX * max(truth.size) / 256)
    return {
        "track_mean_px": errors.mean_px,
        "track_still_px": errors.still_mean_px,
        "track_median_px": errors.median_px,
        "track_close": errors.close_share,
        "track_absent": errors.absent / errors.visible if errors.visible else None,
    }


def _cameras(found: FoundMotion, truth: TrueMotion, truth_from_found: np.ndarray) -> dict[str, float | None]:
    valid = np.asarray(found.camera_valid, bool)
    poses = pose_in_frame(found.camera_from_object, truth_from_found)
    median: dict[str, float | None] = {"rotation_deg": None, "translation": None}
    if valid.any():
        true = truth.camera_from_object[valid]
        median["rotation_deg"] = float(np.median(rotation_errors_deg(poses[valid], true)))
        median["translation"] = float(np.median(translation_errors(poses[valid], true)))
    return {"camera_poses": float(valid.mean()), **median}
