"""The fields of the live lane's messages, as those of windows (``fields``): lengths are multiplied by the scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .fields import Fields, Names, point_cloud, stamped_pose, stamped_transform

if TYPE_CHECKING:
    # As in ``fields``: what types alone need must not import the rollout.
    from ..live.tracker import LivePose


def live_frame(names: Names) -> str:
    """TF frame of the object as the live lane sees it."""
    return f"{names.object_frame}_live"


def live_transform(pose: LivePose, names: Names) -> Fields:
    """``geometry_msgs/TransformStamped``: camera optical frame -> the object's live frame, at one image."""
    return stamped_transform(_scaled(pose), pose.stamp_ns, names.camera_frame, live_frame(names))


def live_pose(pose: LivePose, names: Names) -> Fields:
    """``geometry_msgs/PoseWithCovarianceStamped``: the object in the camera's optical frame at one image."""
    lengths = np.repeat([pose.scale, 1.0], 3)
    covariance = pose.covariance * np.outer(lengths, lengths)
    return stamped_pose(_scaled(pose), covariance, pose.stamp_ns, names.camera_frame)


def live_cloud(pose: LivePose, names: Names) -> Fields:
    """``sensor_msgs/PointCloud2`` of the tracks that are still followed, with the fields of ``~/tracks``.

    confidence is 1 for points that move with the object as a whole and 0.5 for others. No points where the object is
    lost.
    """
    rows = names.empty_cloud(len(pose.ids))
    points = (pose.points_camera * pose.scale).astype(np.float32)
    rows["x"], rows["y"], rows["z"] = points[:, 0], points[:, 1], points[:, 2]
    color = pose.colors.astype(np.uint32)
    rows["rgb"] = color[:, 0] << 16 | color[:, 1] << 8 | color[:, 2]
    rows["id"] = pose.ids
    rows["confidence"] = np.where(pose.agrees, 1.0, 0.5)
    rows["visibility"] = 1
    return point_cloud(rows, pose.stamp_ns, names.camera_frame)


def _scaled(pose: LivePose) -> np.ndarray:
    """camera_from_object [4, 4] in published lengths."""
    scaled = pose.camera_from_object.copy()
    scaled[:3, 3] *= pose.scale
    return scaled
