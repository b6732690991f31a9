"""The live lane's messages: one scale for all lengths, and nothing made up where the object is lost."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from attnchain_ros import wire
from attnchain_ros.live.tracker import LivePose
from attnchain_ros.wire.fields import CLOUD_DTYPE

NAMES = wire.Names("camera_optical", "object_1", 1)


@pytest.fixture
def pose() -> LivePose:
    placed = np.eye(4)
    placed[:3, :3] = Rotation.from_rotvec([0.1, 0.2, 0.3]).as_matrix()
    placed[:3, 3] = 0.1, 0.2, 3.0
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    return LivePose(
        stamp_ns=3_000_000_007, arrived_s=0.0, age_s=0.5, lost="", camera_from_object=placed, covariance=root @ root.T,
        ids=np.array([7, 9]), points_px=np.zeros((2, 2)), points_camera=np.array([[0.1, 0.2, 3.0], [0.3, 0.2, 2.0]]),
        colors=np.array([[1, 2, 3], [255, 0, 16]], np.uint8), agrees=np.array([True, False]), scale=0.5,
    )  # fmt: skip


def test_all_lengths_have_the_scale(pose: LivePose):
    transform, stamped, cloud = (make(pose, NAMES) for make in (wire.live_transform, wire.live_pose, wire.live_cloud))
    assert transform["child_frame_id"] == wire.live_frame(NAMES) == "object_1_live"
    for message in (transform, stamped, cloud):
        assert message["header"] == {"stamp": {"sec": 3, "nanosec": 7}, "frame_id": "camera_optical"}
    assert transform["transform"]["translation"] == pytest.approx({"x": 0.05, "y": 0.1, "z": 1.5})
    assert stamped["pose"]["pose"]["position"] == transform["transform"]["translation"]
    assert stamped["pose"]["pose"]["orientation"] == transform["transform"]["rotation"]
    covariance = stamped["pose"]["covariance"].reshape(6, 6)
    np.testing.assert_allclose(covariance[:3, :3], 0.25 * pose.covariance[:3, :3])
    np.testing.assert_allclose(covariance[:3, 3:], 0.5 * pose.covariance[:3, 3:])
    np.testing.assert_allclose(covariance[3:, 3:], pose.covariance[3:, 3:])
    rows = np.frombuffer(cloud["data"].tobytes(), CLOUD_DTYPE)
    np.testing.assert_allclose(np.stack([rows[axis] for axis in "xyz"], 1), 0.5 * pose.points_camera, rtol=1e-6)
    assert rows["id"].tolist() == [7, 9] and rows["confidence"].tolist() == [1.0, 0.5]
    assert rows["rgb"].tolist() == [0x010203, 0xFF0010] and cloud["is_dense"] and cloud["width"] == 2


def test_a_lost_object_has_no_points(pose: LivePose):
    lost = dataclasses.replace(
        pose, lost="few_points", ids=pose.ids[:0], points_px=pose.points_px[:0], points_camera=pose.points_camera[:0],
        colors=pose.colors[:0], agrees=pose.agrees[:0],
    )  # fmt: skip
    cloud = wire.live_cloud(lost, NAMES)
    assert cloud["width"] == cloud["row_step"] == len(cloud["data"]) == 0
