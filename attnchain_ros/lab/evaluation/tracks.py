"""Errors of 2D tracks against the true way of the same surface points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...camera.raycast import intersect_pixels, rasterize
from ...camera.tracks3d import carry_points, project, to_camera, visibility
from ...shapes import check_shape

CLOSE_PX = 4.0
"""Pixels at 256 x 256 within which a track counts as close (the middle one of TAP-Vid's thresholds)."""
_HIDDEN_MARGIN = 0.02
"""A point deeper than the true surface by this share of the object's radius is hidden."""


@dataclass(frozen=True)
class TrueTracks:
    """Where queried pixels of frame 0 really go.

    Attributes:
        points_px: [F, Q, 2] float64; NaN where the query is not on the object in frame 0.
        visible: [F, Q] bool.
        points_world: [F, Q, 3] float32 the same points in the first frame's camera; NaN likewise.
        on_object: [Q] bool.
    """

    points_px: np.ndarray
    visible: np.ndarray
    points_world: np.ndarray
    on_object: np.ndarray


def true_tracks(
    vertices: np.ndarray,
    faces: np.ndarray,
    camera_from_object: np.ndarray,
    intrinsics: np.ndarray,
    size: tuple[int, int],
    queries_px: np.ndarray,
    radius: float,
) -> TrueTracks:
    """Follow pixels of frame 0 with the true mesh and cameras.

    Args:
        vertices: [F, V, 3]; faces: [T, 3]; camera_from_object: [F, 4, 4]; intrinsics: [3, 3], pixels.
        size: height and width of the pictures.
        queries_px: [Q, 2] pixels of frame 0; NaN is on no object.
        radius: of the object, for the depth tolerance.
    """
    check_shape("vertices", vertices, "F V 3")
    posed = to_camera(vertices, camera_from_object)
    face, barycentric = intersect_pixels(posed[0], faces, intrinsics, queries_px)
    carried = carry_points(posed, faces, face, barycentric)
    buffers = [rasterize(frame, faces, intrinsics, *size) for frame in posed]
    seen = visibility(carried, buffers, intrinsics, _HIDDEN_MARGIN * radius)
    world = to_camera(carry_points(vertices, faces, face, barycentric), camera_from_object[0])
    return TrueTracks(project(intrinsics, carried), seen, world, face >= 0)


@dataclass(frozen=True)
class TrackErrors:
    """Errors over the points of later frames that are visible in the truth.

    Attributes:
        mean_px, median_px: over the points that were found; None without any.
        close_share: share of all visible points found within ``CLOSE_PX`` (scaled to the picture); absent ones count
            as not close.
        still_mean_px: mean error if every point stayed where it was in frame 0.
        visible: number of visible points; absent: how many of them have no position.
        off_object: queries that are not on the true object in frame 0, which have no truth.
    """

    mean_px: float | None
    median_px: float | None
    close_share: float | None
    still_mean_px: float | None
    visible: int
    absent: int
    off_object: int


def track_errors(found_px: np.ndarray, truth: TrueTracks, close_px: float) -> TrackErrors:
    """Compare tracks [F, Q, 2] (NaN = absent) with the truth in all frames after the first.

    Raises:
        ShapeError: sizes disagree.
    """
    axes = check_shape("truth.points_px", truth.points_px, "F Q 2")
    check_shape("found_px", found_px, "F Q 2", **axes)
    counted = truth.visible.copy()
    counted[0] = False
    errors = np.linalg.norm(np.asarray(found_px, np.float64) - truth.points_px, axis=2)[counted]
    still = np.linalg.norm(truth.points_px[:1] - truth.points_px, axis=2)[counted]
    present = np.isfinite(errors)
    close = (errors[present] < close_px).sum() / len(errors) if len(errors) else None
    return TrackErrors(
        mean_px=float(errors[present].mean()) if present.any() else None,
        median_px=float(np.median(errors[present])) if present.any() else None,
        close_share=None if close is None else float(close),
        still_mean_px=float(still.mean()) if len(still) else None,
        visible=len(errors),
        absent=int((~present).sum()),
        off_object=int((~truth.on_object).sum()),
    )
