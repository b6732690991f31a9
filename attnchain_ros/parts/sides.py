"""Which side of an object is seen where its outline does not say: how its points move in the pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..camera.raycast import intersect_pixels
from ..camera.tracks3d import carry_points, project, to_camera
from ..shapes import check_shape
from .cameras import AGREE_PX, GUESS_TURN_DEG, pose_at_rest
from .keyframes import turn_between

LOOKS = 3
"""Frames in which a window's tracks are compared, the last one among them."""

LEAST_POINTS = 20
"""Fewer tracks say nothing."""

RESTS_PX = 0.5
"""What moves by less rests: half a pixel is what flow errs."""


@dataclass(frozen=True)
class PixelTracks:
    """Pixels of a window's first frame, followed.

    Attributes:
        points_px: [F, Q, 2]; alive: [F, Q] bool.   intrinsics: [3, 3] K of these pixels.
    """

    points_px: np.ndarray
    alive: np.ndarray
    intrinsics: np.ndarray


def track_agreement(
    vertices: np.ndarray, faces: np.ndarray, tracks: PixelTracks, camera_from_object: np.ndarray
) -> float:
    """How well a moving mesh explains tracks if its first frame is seen under a pose.

    The tracked pixels are laid onto the mesh of the first frame and carried by it; a camera that turns a little is
    allowed for. A mesh that is seen from the wrong side moves the wrong pixels, or the right ones the wrong way.

    Args:
        vertices: [F, V, 3] object frame, as the chain says; faces: [T, 3].
        tracks: of the window's frames.   camera_from_object: [4, 4] of the first frame.
    Returns:
        share of the points that move, or should, whose tracks agree; 0 (or nothing moves) to 1.
    Raises:
        ShapeError: shapes disagree.
    Twin: ``lab.reference.side.motion_share`` for the share.
    """
    axes = check_shape("vertices", vertices, "F V 3")
    check_shape("tracks.points_px", tracks.points_px, "F Q 2", F=axes["F"])
    first = to_camera(vertices[:1], camera_from_object)[0]
    face, weights = intersect_pixels(first, faces, tracks.intrinsics, tracks.points_px[0])
    looks = np.linspace(0, axes["F"] - 1, LOOKS + 1)[1:]
    frames = np.unique(np.rint(looks).astype(np.int64))
    carried = carry_points(vertices[frames], faces, face, weights).astype(np.float64)
    shares = []
    for number, frame in enumerate(frames):
        rows = np.flatnonzero((face >= 0) & tracks.alive[frame])
        if len(rows) < LEAST_POINTS:
            continue
        points, pixels, before = carried[number, rows], tracks.points_px[frame, rows], tracks.points_px[0, rows]
        found, away = pose_at_rest(points, pixels, np.ones(len(rows)), camera_from_object, tracks.intrinsics)
        here = project(tracks.intrinsics, to_camera(points[None], found)[0])
        turned = np.degrees(turn_between(found[:3, :3], camera_from_object[:3, :3]))
        share = motion_share(
            np.linalg.norm(pixels - before, axis=1), np.linalg.norm(here - before, axis=1), away, AGREE_PX
        )
        shares.append(share * float(np.exp(-0.5 * (turned / (2 * GUESS_TURN_DEG)) ** 2)))
    return float(np.mean(shares)) if shares else 0.0


def motion_share(moved_px: np.ndarray, expected_px: np.ndarray, away: np.ndarray, agree_px: float) -> float:
    """Share of points [n] nearer than ``agree_px`` to where they are expected; those that move (or should) count.

    Args:
        moved_px, expected_px: [n] how far each was seen, and is expected, from where it was.   away: [n] its miss.
    Twin: ``lab.reference.side.motion_share``.
    """
    most = np.nan_to_num(np.maximum(moved_px, expected_px))
    weight = np.where(most < RESTS_PX, 0.0, np.minimum(1.0, most / agree_px))
    total = float(weight.sum())
    return float(weight[away < agree_px].sum()) / total if total > 0 else 0.0
