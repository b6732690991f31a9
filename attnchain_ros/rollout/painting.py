"""Vertex colours from the first image."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from ..camera.raycast import RasterBuffer
from ..camera.tracks3d import project, to_camera, visibility
from ..conventions import ANCHOR_FRAME
from .animating import Animation
from .cameras import RASTER_SIZE
from .trace import View
from .window import CameraTrack

PLAIN_COLOR = 200
"""Grey of vertices that no camera saw."""


def paint_vertices(trace: View, moved: Animation, camera: CameraTrack, buffers: list[RasterBuffer]) -> np.ndarray:
    """Colour [V, 3] uint8 of each vertex: the first image where it is seen there, else its nearest seen neighbour.

    The first frame needs a valid pose; where it shows nothing of the object all vertices are grey.
    """
    window, vertices = trace.window, moved.vertices[ANCHOR_FRAME]
    plain = np.full((len(vertices), 3), PLAIN_COLOR, np.uint8)
    posed = to_camera(vertices[None], camera.camera_from_object[ANCHOR_FRAME])
    small = trace.crop.at_size(RASTER_SIZE).intrinsics(camera.intrinsics)
    size = float(np.ptp(vertices, axis=0).max())
    seen = visibility(posed, buffers[:1], small, 0.02 * size)[0]
    place = np.rint(np.nan_to_num(project(camera.intrinsics, posed[0]))).astype(np.int64)
    height, width = window.masks.shape[1:]
    seen &= (place >= 0).all(-1) & (place[:, 0] < width) & (place[:, 1] < height)
    place = np.where(seen[:, None], place, 0)
    seen &= window.masks[ANCHOR_FRAME][place[:, 1], place[:, 0]]
    if not seen.any():
        return plain
    own = window.images[ANCHOR_FRAME][place[:, 1], place[:, 0]]
    _, nearest = cKDTree(vertices[seen]).query(vertices)
    return own[np.flatnonzero(seen)[nearest]]
