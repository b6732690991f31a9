"""What of a posed mesh the camera sees, as the checks on tracks need it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..camera.raycast import rasterize
from ..camera.tracks3d import project, visibility

GRAZING = 0.2
"""Least cosine between normal and line of sight for a point to be looked for in the picture."""

AVERTED = -0.3
"""The same for a point to be seen at all: at sharp edges normals are means over sides that are turned away."""


@dataclass(frozen=True)
class Sight:
    """Points of one frame.

    Attributes:
        pixels: [N, 2] float64 where they are in the picture; NaN = behind the camera or nowhere.
        visible: [N] bool, in front of everything else of the object, not turned away from the camera.
        clear: [N] bool, visible and not seen at a grazing angle.
    """

    pixels: np.ndarray
    visible: np.ndarray
    clear: np.ndarray


def look_at_points(
    mesh: tuple[np.ndarray, np.ndarray],
    points_camera: np.ndarray,
    normals: np.ndarray,
    intrinsics: np.ndarray,
    size: int,
    margin: float,
) -> Sight:
    """Which points on a posed mesh are seen.

    Args:
        mesh: vertices [V, 3] camera frame, and faces [T, 3].
        points_camera: [N, 3] on the mesh, NaN = nowhere; normals: [N, 3] unit, camera frame.
        intrinsics: [3, 3] of a picture of ``size`` x ``size`` pixels.
        margin: a point deeper than the surface drawn at its pixel by more is hidden.
    """
    buffer = rasterize(*mesh, intrinsics, size, size)
    drawn = visibility(points_camera[None], [buffer], intrinsics, margin)[0]
    away = np.linalg.norm(points_camera, axis=1)
    facing = -(normals * points_camera).sum(axis=1) / np.maximum(away, 1e-12)
    facing = np.nan_to_num(facing, nan=-1.0)
    return Sight(project(intrinsics, points_camera), drawn & (facing > AVERTED), drawn & (facing > GRAZING))
