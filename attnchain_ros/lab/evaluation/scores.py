"""All figures of one sequence against its truth."""

from __future__ import annotations

import numpy as np

from ...camera.tracks3d import carry_points
from ...errors import InputError
from ...mesh.sampling import sample_surface
from ..table import Figures
from .alignment import align_surfaces, apply_similarity, chamfer_distance
from .cameras import pose_in_frame, rotation_errors_deg, translation_errors
from .errors import moved_points, object_radius, point_errors, region_means
from .motion import FoundMotion, TrueMotion
from .nearest import nearest_on_surface
from .tracks import CLOSE_PX, track_errors, true_tracks

_ALIGN_POINTS = 1000
_CHAMFER_POINTS = 4000


def score_motion(
    found: FoundMotion, truth: TrueMotion, truth_from_found: np.ndarray | None, same_topology: bool, seed: int = 0
) -> Figures:
    """Measure one sequence: errors of known points, Chamfer distances, 2D tracks and cameras.

    ``still_``: this run's own anchor, never moved; ``true_still_``: the true mesh of frame 0, never moved (the same
    thing where the anchor is given).

    Args:
        found: the result.
        truth: the truth, same frames.
        truth_from_found: [4, 4] similarity between the object frames where it is known (a given anchor); None finds it
            by ``align_surfaces`` in the first frame.
        same_topology: the mesh found has the true mesh's triangles, so points are the same by number. Otherwise each
            true point of frame 0 stands for the point of the mesh found, aligned, that is nearest to it there.
        seed: of the surface samples.
    Returns:
        figures by metric (``report.TITLES``), lengths in units of the true object frame; None where there is nothing to
        measure (no point moved, no pose, no track).
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
    }
    values: Figures = {}
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
    return values | _tracks(found, truth, radius) | _cameras(found, truth, similarity)


def _tracks(found: FoundMotion, truth: TrueMotion, radius: float) -> Figures:
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


def _cameras(found: FoundMotion, truth: TrueMotion, truth_from_found: np.ndarray) -> Figures:
    valid = np.asarray(found.camera_valid, bool)
    poses = pose_in_frame(found.camera_from_object, truth_from_found)
    median: Figures = {"rotation_deg": None, "translation": None}
    if valid.any():
        true = truth.camera_from_object[valid]
        median["rotation_deg"] = float(np.median(rotation_errors_deg(poses[valid], true)))
        median["translation"] = float(np.median(translation_errors(poses[valid], true)))
    return {"camera_poses": float(valid.mean()), **median}
