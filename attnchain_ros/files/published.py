"""What a window's result becomes when it is published, as plain arrays: shared by the node's topics and by result bags.

All lengths are multiplied by ``result.scale``, so that mesh, tracks, poses and TF agree with one another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..rollout.window import WindowResult

KEPT_POSE_VARIANCE = 1e6
"""Variance of every component where the frame's own pose was refused and an older one is repeated."""

CLOUD_DTYPE = np.dtype(
    {
        "names": ["x", "y", "z", "rgb", "id", "confidence", "visibility"],
        "formats": ["<f4", "<f4", "<f4", "<u4", "<i4", "<f4", "u1"],
        "offsets": [0, 4, 8, 12, 16, 20, 24],
        "itemsize": 28,
    }
)
"""One point of a track cloud; rgb holds 0x00RRGGBB in the bytes of a float, as PCL and RViz want it."""

_UINT8, _INT32, _FLOAT32 = 2, 5, 7  # sensor_msgs/PointField's numbers

CLOUD_FIELDS = tuple(
    (name, offset, {"id": _INT32, "visibility": _UINT8}.get(name, _FLOAT32))
    for name, offset in zip(CLOUD_DTYPE.names or (), (0, 4, 8, 12, 16, 20, 24), strict=True)
)
"""(name, offset, datatype) of every PointField of the cloud."""


def cloud_rows(result: WindowResult, frame: int) -> np.ndarray:
    """The tracked points at one image in its camera's optical frame: [Q] of ``CLOUD_DTYPE``; NaN = absent."""
    tracks = result.tracks
    rows = np.zeros(len(tracks.ids), CLOUD_DTYPE)
    points = tracks.points_camera[frame] * np.float32(result.scale)
    rows["x"], rows["y"], rows["z"] = points[:, 0], points[:, 1], points[:, 2]
    color = tracks.colors.astype(np.uint32)
    rows["rgb"] = color[:, 0] << 16 | color[:, 1] << 8 | color[:, 2]
    rows["id"] = tracks.ids
    rows["confidence"] = tracks.confidence[frame]
    rows["visibility"] = tracks.visible[frame]
    return rows


def is_dense(rows: np.ndarray) -> bool:
    """Whether every point of a cloud has a place."""
    return bool(all(np.isfinite(rows[axis]).all() for axis in "xyz"))


def scaled_pose(result: WindowResult, frame: int) -> np.ndarray:
    """camera_from_object of a frame in published lengths: [4, 4] float64."""
    pose = np.array(result.camera.camera_from_object[frame], np.float64)
    pose[:3, 3] *= result.scale
    return pose


def invert_pose(pose: np.ndarray) -> np.ndarray:
    """Inverse of a rigid [4, 4] transform."""
    inverse = np.eye(4)
    inverse[:3, :3] = pose[:3, :3].T
    inverse[:3, 3] = -pose[:3, :3].T @ pose[:3, 3]
    return inverse


def pose_covariance(result: WindowResult, frame: int) -> np.ndarray:
    """Covariance [36] of a frame's camera pose, row-major: x, y, z, rotations about x, y, z.

    A rough one: the median reprojection error turned into an angle at the camera, the same in all directions;
    ``KEPT_POSE_VARIANCE`` where the pose is repeated from an earlier frame.
    """
    error_px = float(result.camera.reprojection_px[frame])
    if not (bool(result.camera.valid[frame]) and np.isfinite(error_px)):
        return np.diag([KEPT_POSE_VARIANCE] * 6).ravel()
    distance = float(np.linalg.norm(scaled_pose(result, frame)[:3, 3]))
    angle = error_px / float(result.camera.intrinsics[0, 0])
    # Seen from the object, one object unit away from its middle, the same error is a larger angle.
    return np.diag([(angle * distance) ** 2] * 3 + [(angle * distance / result.scale) ** 2] * 3).ravel()
