"""Vertex colours from the first image."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from ..camera.crop import Crop
from ..camera.raycast import RasterBuffer
from ..camera.tracks3d import project, to_camera, visibility
from .tracking import RASTER_SIZE
from .window import CameraTrack, Window

PLAIN_COLOR = 200
"""Grey of vertices that no camera saw."""


def paint_vertices(
    vertices: np.ndarray,
    faces: np.ndarray,
    camera: CameraTrack,
    window: Window,
    buffers: list[RasterBuffer],
    crop: Crop,
) -> np.ndarray:
    """Colour [V, 3] uint8 of each vertex: the first image where it is seen there, else its nearest seen neighbour.

    The first frame needs a valid pose; where it shows nothing of the object all vertices are grey.
    """
    plain = np.full((len(vertices), 3), PLAIN_COLOR, np.uint8)
    posed = to_camera(vertices[None], camera.camera_from_object[0])
    small = Crop(crop.x0, crop.y0, crop.side, RASTER_SIZE).intrinsics(camera.intrinsics)
    size = float(np.ptp(vertices, axis=0).max())
    seen = visibility(posed, buffers[:1], small, 0.02 * size)[0]
    place = np.rint(np.nan_to_num(project(camera.intrinsics, posed[0]))).astype(np.int64)
    height, width = window.masks.shape[1:]
    seen &= (place >= 0).all(-1) & (place[:, 0] < width) & (place[:, 1] < height)
    place = np.where(seen[:, None], place, 0)
    seen &= window.masks[0][place[:, 1], place[:, 0]]
    if not seen.any():
        return plain
    own = window.images[0][place[:, 1], place[:, 0]]
    _, nearest = cKDTree(vertices[seen]).query(vertices)
    return own[np.flatnonzero(seen)[nearest]]
