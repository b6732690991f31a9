"""Twin of camera.tracks3d: one point of one frame at a time, float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...camera.raycast import RasterBuffer


def carry_points(vertices: np.ndarray, faces: np.ndarray, face: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
    """[F, Q, 3]; NaN where face is -1."""
    carried = np.full((len(vertices), len(face), 3), np.nan)
    for frame in range(len(vertices)):
        for q, triangle in enumerate(face):
            if triangle < 0:
                continue
            total = np.zeros(3)
            for corner in range(3):
                total += float(barycentric[q, corner]) * vertices[frame, faces[triangle, corner]].astype(np.float64)
            carried[frame, q] = total
    return carried


def to_camera(points: np.ndarray, camera_from_object: np.ndarray) -> np.ndarray:
    """Homogeneous products, [F, Q, 3] and [F, 4, 4]."""
    moved = np.zeros(points.shape)
    for frame in range(points.shape[0]):
        for q in range(points.shape[1]):
            moved[frame, q] = (camera_from_object[frame] @ np.append(points[frame, q], 1.0))[:3]
    return moved


def project(intrinsics: np.ndarray, points_camera: np.ndarray) -> np.ndarray:
    """Pixels [Q, 2] of [Q, 3]; NaN at or behind the camera plane."""
    pixels = np.full((len(points_camera), 2), np.nan)
    for q, point in enumerate(points_camera):
        if point[2] > 0:
            ray = point / point[2]
            pixels[q] = (intrinsics @ ray)[:2]
    return pixels


def visibility(
    points_camera: np.ndarray, buffers: Sequence[RasterBuffer], intrinsics: np.ndarray, margin: float
) -> np.ndarray:
    """[F, Q] bool."""
    visible = np.zeros(points_camera.shape[:2], dtype=bool)
    for frame, buffer in enumerate(buffers):
        height, width = buffer.depth.shape
        for q, pixel in enumerate(project(intrinsics, points_camera[frame])):
            if np.isnan(pixel).any():
                continue
            x, y = round(pixel[0]), round(pixel[1])
            if 0 <= x < width and 0 <= y < height:
                visible[frame, q] = points_camera[frame, q, 2] <= buffer.depth[y, x] + margin
    return visible
