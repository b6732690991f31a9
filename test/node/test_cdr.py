"""Bytes built with numpy against the messages that the running middleware builds and reads."""

from __future__ import annotations

import numpy as np
import pytest
from nav_msgs.msg import Path
from node.hand_made import camera_from_object_at
from rclpy.serialization import deserialize_message, serialize_message

from attnchain_ros import wire
from attnchain_ros.camera.poses import pose_from_quaternion
from attnchain_ros.node import cdr
from attnchain_ros.node.building import build, check_cdr

pytestmark = pytest.mark.ros


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("frame_id", ["", "a", "object", "object_1", "frame/äöü", "x" * 33])
def test_a_path_is_what_the_middleware_reads(frame_id: str, count: int):
    rng = np.random.default_rng(count)
    stamps, poses = rng.integers(0, 2**31 * 10**9, count), rng.normal(size=(count, 7))
    wanted, got = build("nav_msgs/msg/Path", wire.path(frame_id, stamps, poses)), cdr.path(frame_id, stamps, poses)
    assert len(got) == len(serialize_message(wanted))
    assert deserialize_message(got, Path) == wanted


def test_a_path_by_hand():
    data = cdr.path("cam", np.array([1, 2_000_000_003]), np.array([[1.0, 2, 3, 0, 0, 0, 1], [4.0, 5, 6, 1, 0, 0, 0]]))
    numbers = np.frombuffer(data[4:], "<u4")
    # header: sec, nanosec, length, "cam\0"; number of poses; the first pose's header; four bytes of padding
    assert numbers[:5].tolist() == [2, 3, 4, int.from_bytes(b"cam\0", "little"), 2]
    assert numbers[5:9].tolist() == [0, 1, 4, int.from_bytes(b"cam\0", "little")]
    assert np.frombuffer(data[4 + 40 : 4 + 96], "<f8").tolist() == [1, 2, 3, 0, 0, 0, 1]
    assert np.frombuffer(data[4 + 96 :], "<u4")[:2].tolist() == [2, 3]
    assert np.frombuffer(data[-56:], "<f8").tolist() == [4, 5, 6, 1, 0, 0, 0] and len(data) == 4 + 96 + 16 + 56


def test_a_pose_row_is_the_pose():
    pose = camera_from_object_at(1_300_000_000)
    row = wire.pose_row(pose)
    assert row[:3].tolist() == pose[:3, 3].tolist()
    np.testing.assert_allclose(pose_from_quaternion(row[:3], row[3:]), pose, atol=1e-15)


def test_the_check_at_start_notices_a_wrong_path(monkeypatch: pytest.MonkeyPatch):
    right = cdr.path
    monkeypatch.setattr(cdr, "path", lambda *args: right(*args) + b"\0")
    assert "a path of 1 poses is" in check_cdr()

    def one_bit_less(*args) -> bytes:
        data = bytearray(right(*args))
        data[-1] ^= 1
        return bytes(data)

    monkeypatch.setattr(cdr, "path", one_bit_less)
    assert "a path of 1 poses is read differently" in check_cdr()
