"""Cameras around the object: orbits, distances from which it fits, crops to its outline."""

from __future__ import annotations

import numpy as np

from .motion import Pose


def orbit_cameras(yaw_rad: np.ndarray, elevation_rad: np.ndarray | float, distance: np.ndarray | float) -> np.ndarray:
    """Cameras around the y axis, looking at the origin.

    Args:
        yaw_rad: [F] angle about y from the front view (camera on +z); positive moves the camera towards +x.
        elevation_rad: angle above the xz plane, one or [F].
        distance: of the camera from the origin, object units, one or [F].
    Returns:
        [F, 4, 4] float64 ``camera_from_object``, optical frame (x right, y down, z forward).
    """
    yaw = np.asarray(yaw_rad, dtype=np.float64)
    elevation = np.broadcast_to(np.asarray(elevation_rad, dtype=np.float64), yaw.shape)
    cos_e, sin_e = np.cos(elevation), np.sin(elevation)
    forward = -np.stack([np.sin(yaw) * cos_e, sin_e, np.cos(yaw) * cos_e], axis=1)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    pose = np.zeros((len(yaw), 4, 4))
    pose[:, 0, :3], pose[:, 1, :3], pose[:, 2, :3] = right, np.cross(forward, right), forward
    pose[:, 2, 3] = distance
    pose[:, 3, 3] = 1.0
    return pose


def fitting_distance(pose: Pose, yaw_rad: float, elevation_rad: float, fov_rad: float) -> float:
    """Smallest distance of ``orbit_cameras`` from which every solid is wholly in a square picture.

    Args:
        pose: frames that have to fit; yaw_rad, elevation_rad: of the camera; fov_rad: angle of view across the picture.
    """
    turn = orbit_cameras(np.array([yaw_rad]), elevation_rad, 0.0)[0, :3, :3]
    seen = pose.corners @ turn.T
    half = 0.5 * fov_rad
    # A ball fits where it lies inside the four planes through the picture's edges.
    needed = (np.abs(seen[..., :2]) * np.cos(half) + pose.radii[:, None, None]) / np.sin(half) - seen[..., 2:]
    return float(needed.max())


def pinhole_intrinsics(size: int, fov_rad: float) -> np.ndarray:
    """[3, 3] float64 K of a square picture with pixel centres at whole numbers."""
    focal = 0.5 * size / np.tan(0.5 * fov_rad)
    centre = 0.5 * (size - 1)
    return np.array([[focal, 0, centre], [0, focal, centre], [0, 0, 1.0]])


def ball_bounds(centers: np.ndarray, radius: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Exact box of the outline of balls in front of the camera.

    Args:
        centers: [..., 3] camera frame; radius: of each, or one.
    Returns:
        ``(low, high)``, each [..., 2]: smallest and largest x / z and y / z.
    """
    depth = centers[..., 2:]
    middle = np.arctan2(centers[..., :2], depth)
    reach = np.broadcast_to(np.asarray(radius)[..., None], depth.shape)
    half = np.arcsin(reach / np.hypot(centers[..., :2], depth))
    return np.tan(middle - half), np.tan(middle + half)


def silhouette_bounds(pose: Pose, camera_from_object: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Exact box of every solid's outline.

    Args:
        pose: F frames; camera_from_object: [F, 4, 4].
    Returns:
        ``(low, high)``, each [F, P, 2]: smallest and largest x / z and y / z over the solid, from the tangents to the
        balls at its corners.
    """
    turn, shift = camera_from_object[:, :3, :3], camera_from_object[:, None, None, :3, 3]
    corners = np.einsum("fij,fpkj->fpki", turn, pose.corners) + shift
    low, high = ball_bounds(corners, pose.radii[:, None])
    return low.min(axis=2), high.max(axis=2)


def crop_intrinsics(pose: Pose, camera_from_object: np.ndarray, size: int, pad: float) -> np.ndarray:
    """K of the picture cropped to the object, as an image pipeline crops a window.

    Args:
        pose: the F frames of the window; camera_from_object: [F, 4, 4]; size: pixels of the square crop's side.
        pad: margin on each side, relative to the longer side of the union box.
    Returns:
        [3, 3] float64, pixel centres at whole numbers; the crop's edges lie half a pixel outside the first and last.
    """
    low, high = silhouette_bounds(pose, camera_from_object)
    low, high = low.min(axis=(0, 1)), high.max(axis=(0, 1))
    side = (high - low).max() * (1 + 2 * pad)
    corner = 0.5 * (low + high) - 0.5 * side
    focal = size / side
    return np.array([[focal, 0, -focal * corner[0] - 0.5], [0, focal, -focal * corner[1] - 0.5], [0, 0, 1.0]])
