"""Where the live lane begins: a window's last frame, with the points that are seen there."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..camera.intrinsics import check_intrinsics
from ..camera.poses import apply_pose
from ..camera.raycast import rasterize
from ..camera.tracks3d import project, visibility
from ..parts.flow import read_mask
from ..rollout.window import WindowResult
from ..shapes import check_shape
from .config import LiveConfig
from .pictures import small_intrinsics, small_picture

NO_ID = -1
"""Id of a vertex of the mesh, which is no track."""

COARSE = 4
"""Vertices are drawn into a buffer with so many times fewer pixels a side: it only tells front from back."""

MARGIN = 0.02
"""A vertex deeper than what is drawn at its pixel by this share of the object is hidden."""

EDGE_PX = 2
"""Points nearer to the mask's edge are left out, small pixels: half of what surrounds them does not move with them."""


@dataclass(frozen=True, eq=False)
class LiveStart:
    """A window's last frame; arrays of n points.

    Attributes:
        stamp_ns: of its image; arrived_s: when that came in, seconds of a steady clock.
        grey: [h, w] uint8 small picture.
        intrinsics: [3, 3] K of the small picture.
        full: (height, width) of the image.
        camera_from_object: [4, 4] float64, object units.
        points: [n, 3] float64 object frame as the object is shaped in that frame, object units.
        pixels: [n, 2] float64 where they are seen in the small picture.
        ids: [n] int64 of tracks, ``NO_ID`` for vertices that only help to find the pose.
        colors: [n, 3] uint8 RGB.
        scale: published lengths per object unit.
        spread: [2] standard deviations of the window's own pose: position (object units) and turn (radians).
    """

    stamp_ns: int
    arrived_s: float
    grey: np.ndarray
    intrinsics: np.ndarray
    full: tuple[int, int]
    camera_from_object: np.ndarray
    points: np.ndarray
    pixels: np.ndarray
    ids: np.ndarray
    colors: np.ndarray
    scale: float
    spread: np.ndarray


def start_from(
    result: WindowResult, image: np.ndarray, mask: np.ndarray, arrived_s: float, config: LiveConfig
) -> LiveStart | None:
    """The start that a window's last frame makes.

    Tracked points come first; where these are fewer than ``config.points``, vertices that are seen fill up.

    Args:
        result: of the window.
        image: [H, W, 3] uint8 RGB of its last frame, undistorted.
        mask: [H, W] bool, likewise.
        arrived_s: when that image came in.
        config: ``points`` and ``size_px``.
    Returns:
        the start; None where the last frame has no pose of its own.
    Raises:
        ShapeError: sizes disagree.   InputError: the result's K cannot be used.
    """
    axes = check_shape("image", image, "H W 3")
    check_shape("mask", mask, "H W", "one mask per image, of its size", **axes)
    camera = result.camera
    if not camera.valid[-1]:
        return None
    grey = small_picture(image, config.size_px)
    height, width = grey.shape
    intrinsics = small_intrinsics(check_intrinsics(camera.intrinsics), mask.shape, grey.shape)
    pose = np.asarray(camera.camera_from_object[-1], np.float64)
    small = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    side = 2 * EDGE_PX + 1
    inner = cv2.erode(small, np.ones((side, side), np.uint8), borderType=cv2.BORDER_REPLICATE) > 0

    def seen(points: np.ndarray) -> np.ndarray:
        """Which of some points lie on the inner mask."""
        return read_mask(inner, project(intrinsics, apply_pose(pose, points)))

    tracks = result.tracks
    rows = np.flatnonzero(tracks.visible[-1] & np.isfinite(tracks.points_object[-1]).all(axis=1))
    rows = _thin(rows[seen(tracks.points_object[-1][rows].astype(np.float64))], config.points)
    vertices = result.vertices[-1].astype(np.float64)
    shown = np.zeros(len(vertices), bool)
    if len(rows) < config.points:
        shown = _front(vertices, result.faces, pose, intrinsics, (height, width)) & seen(vertices)
    fill = _thin(np.flatnonzero(shown), config.points - len(rows))
    points = np.concatenate([tracks.points_object[-1][rows].astype(np.float64), vertices[fill]])
    return LiveStart(
        stamp_ns=int(result.stamps_ns[-1]),
        arrived_s=arrived_s,
        grey=grey,
        intrinsics=intrinsics,
        full=(axes["H"], axes["W"]),
        camera_from_object=pose,
        points=points,
        pixels=project(intrinsics, apply_pose(pose, points)),
        ids=np.concatenate([tracks.ids[rows], np.full(len(fill), NO_ID)]).astype(np.int64),
        colors=np.concatenate([tracks.colors[rows], result.vertex_colors[fill]]),
        scale=float(result.scale),
        spread=_spread(result),
    )


def _thin(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many of some rows, evenly spread over them."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]


def _front(
    vertices: np.ndarray, faces: np.ndarray, pose: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """[V] bool: vertices [V, 3] that nothing of the mesh hides from the camera."""
    in_camera = apply_pose(pose, vertices)
    coarse = max(1, size[0] // COARSE), max(1, size[1] // COARSE)
    matrix = small_intrinsics(intrinsics, size, coarse)
    margin = MARGIN * float(np.linalg.norm(np.ptp(vertices, axis=0)))
    return visibility(in_camera[None], [rasterize(in_camera, faces, matrix, *coarse)], matrix, margin)[0]


def _spread(result: WindowResult) -> np.ndarray:
    """What the last frame's pose may be off: its covariance, averaged over the axes.

    Without one its reprojection error as an angle at the camera, and on the object.
    """
    known = result.camera.covariance
    if known is not None and np.isfinite(known[-1]).all():
        return np.sqrt(known[-1].diagonal().reshape(2, 3).mean(axis=1))
    error_px = float(result.camera.reprojection_px[-1])
    if not np.isfinite(error_px):
        error_px = 1.0
    distance = float(np.linalg.norm(result.camera.camera_from_object[-1][:3, 3]))
    away = error_px / float(result.camera.intrinsics[0, 0]) * distance
    # One object unit away from the middle the same error is a larger angle.
    return np.array([away, away])
