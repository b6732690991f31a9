"""What the frames of a window see of the vertices' colours."""

from __future__ import annotations

import numpy as np

from ..camera.raycast import RasterBuffer
from ..camera.tracks3d import project, to_camera, visibility
from ..conventions import ANCHOR_FRAME
from .animating import Animation
from .cameras import RASTER_SIZE
from .paint import Paint
from .trace import View
from .window import CameraTrack

PAINT_EVERY = 5
"""Every so many frames of a window are looked at: neighbours see the same, and each costs milliseconds."""
FIRST_WEIGHT = 100.0
"""How much more a look at the very first frame counts, where the mesh fits exactly; later ones suffer from drift."""
_DOUBTFUL_WEIGHT = 0.01
_LEAST_COSINE = 0.15
"""Surfaces seen more obliquely are left to other frames: their pixels are half their neighbours'."""


def paint_window(
    before: Paint | None,
    view: View,
    moved: Animation,
    camera: CameraTrack,
    found: np.ndarray,
    buffers: list[RasterBuffer],
) -> Paint:
    """What a window's frames add to the colours.

    A vertex is seen where the z-buffer of the mesh shows it and its pixel lies in the mask; it counts by the square of
    the cosine between its normal and the line of sight. The chain's first frame counts ``FIRST_WEIGHT`` times as much.

    Args:
        before: of the windows before; None = this is the first.
        view, moved: of the window.
        camera: poses; valid are those that are trusted.
        found: [F] bool, poses that were found, trusted or not. Doubtful ones serve, at little weight, until anything
            was seen: wrong colours say more than grey, and make way for better ones.
        buffers: z-buffers of every frame (``draw_frames``); empty = there never was a pose.
    """
    paint = Paint.blank(moved.vertices.shape[1]) if before is None else before
    if not buffers:
        return paint
    fresh = ANCHOR_FRAME if view.state.index == 0 else ANCHOR_FRAME + PAINT_EVERY
    first, first_weight = paint.first, paint.first_weight
    later, later_weight = paint.later.copy(), paint.later_weight.copy()
    for frame in range(fresh, view.frames, PAINT_EVERY):
        trusted = bool(camera.valid[frame])
        if not trusted and (not found[frame] or first_weight.any() or later_weight.any()):
            continue
        color, weight = _look(frame, view, moved, camera, buffers[frame])
        if not trusted:
            weight *= np.float32(_DOUBTFUL_WEIGHT)
        if trusted and view.state.index == 0 and frame == ANCHOR_FRAME:
            first, first_weight = color * (FIRST_WEIGHT * weight)[:, None], FIRST_WEIGHT * weight
        else:
            later += color * weight[:, None]
            later_weight += weight
    return Paint(first, first_weight, later, later_weight)


def _look(
    frame: int, view: View, moved: Animation, camera: CameraTrack, buffer: RasterBuffer
) -> tuple[np.ndarray, np.ndarray]:
    """Colours [V, 3] float32 of a frame's pixels and how much each counts [V] float32, 0 = not seen."""
    window, vertices, faces = view.window, moved.vertices[frame], view.state.anchor.mesh.faces
    posed = to_camera(vertices[None], camera.camera_from_object[frame])
    small = view.crop.at_size(RASTER_SIZE).intrinsics(camera.intrinsics)
    size = float(np.ptp(vertices, axis=0).max())
    seen = visibility(posed, [buffer], small, 0.02 * size)[0]
    place = np.rint(np.nan_to_num(project(camera.intrinsics, posed[0]))).astype(np.int64)
    height, width = window.masks.shape[1:]
    seen &= (place >= 0).all(-1) & (place[:, 0] < width) & (place[:, 1] < height)
    place = np.where(seen[:, None], place, 0)
    seen &= window.masks[frame][place[:, 1], place[:, 0]]
    cosine = _facing(posed[0].astype(np.float64), faces)
    # In the first frame every look is better than a neighbour's.
    least = 0.0 if frame == ANCHOR_FRAME and view.state.index == 0 else _LEAST_COSINE
    weight = np.where(seen & (cosine >= least), np.maximum(cosine, 1e-3) ** 2, 0.0).astype(np.float32)
    return window.images[frame][place[:, 1], place[:, 0]].astype(np.float32), weight


def _facing(posed: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[V] cosine in [0, 1] between the normal of each vertex [V, 3] in the camera and its line of sight.

    A thin sheet is seen from both sides, so that the sign says nothing.
    """
    corners = posed[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.stack(
        [np.bincount(faces.ravel(), np.repeat(across[:, axis], 3), len(posed)) for axis in range(3)], axis=1
    )
    lengths = np.linalg.norm(normals, axis=1) * np.linalg.norm(posed, axis=1)
    cosine: np.ndarray = np.abs((normals * posed).sum(axis=1)) / np.maximum(lengths, 1e-20)
    return cosine
