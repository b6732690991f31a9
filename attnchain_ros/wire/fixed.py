"""Messages in a frame that stands still: the object's pose and the tracked points, taken there by the camera's pose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..camera.poses import apply_pose
from .fields import Fields, Names, point_cloud, scaled_covariance, scaled_pose, stamped_pose, track_rows

if TYPE_CHECKING:
    # Importing the rollout would import torch, which writing files does without.
    from ..rollout.window import WindowResult


def fixed_from_object(result: WindowResult, frame: int) -> np.ndarray | None:
    """The object in the fixed frame at one image: [4, 4] float64, metres.

    None where it cannot be said: the camera's place is not known, the pose is not trusted, or lengths are not metres,
    which TF's are.
    """
    known = result.fixed_from_camera
    if known is None or not result.metric or not result.camera.valid[frame] or not np.isfinite(known[frame]).all():
        return None
    pose: np.ndarray = known[frame] @ scaled_pose(result, frame)
    return pose


def fixed_pose(result: WindowResult, frame: int, fixed_frame: str) -> Fields | None:
    """``geometry_msgs/PoseWithCovarianceStamped``: the object in the fixed frame; None as ``fixed_from_object``.

    Its covariance is the one in the camera's frame, turned; what TF itself is off by is not in it. Of a pose whose
    covariance is not known it is 0 throughout, by which ROS says so.
    """
    pose, known = fixed_from_object(result, frame), result.fixed_from_camera
    if pose is None or known is None:
        return None
    seen = scaled_covariance(result, frame)
    turn = np.kron(np.eye(2), known[frame][:3, :3])
    covariance = np.zeros((6, 6)) if seen is None else turn @ seen @ turn.T
    return stamped_pose(pose, covariance, int(result.stamps_ns[frame]), fixed_frame)


def fixed_cloud(result: WindowResult, frame: int, names: Names, fixed_frame: str) -> Fields | None:
    """``sensor_msgs/PointCloud2`` of the tracked points in the fixed frame; None as ``fixed_from_object``."""
    known = result.fixed_from_camera
    if known is None or fixed_from_object(result, frame) is None:
        return None
    points = apply_pose(known[frame], result.tracks.points_camera[frame].astype(np.float64) * result.scale)
    rows = track_rows(result, frame, points.astype(np.float32), names)
    return point_cloud(rows, int(result.stamps_ns[frame]), fixed_frame)
