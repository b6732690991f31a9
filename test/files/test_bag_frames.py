"""What a bag's TF tells reaches windows, and results come back in the frame that stands still."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from node.hand_made import camera_from_object_at, make_result

from attnchain_ros.camera.poses import pose_from_quaternion
from attnchain_ros.errors import FileFormatError
from attnchain_ros.files.bag_frames import read_frames
from attnchain_ros.files.bag_writing import ResultBagWriter
from attnchain_ros.files.bags import bag_messages, open_bag
from attnchain_ros.files.camera_bag import CameraBagWriter
from attnchain_ros.stream.config import StreamConfig
from attnchain_ros.stream.frame import Frame
from attnchain_ros.stream.standing import FixedFrame
from attnchain_ros.stream.windows import ClipWindows

K = np.array([[30.0, 0, 8], [0, 30.0, 6], [0, 0, 1]])
START = 10**9


def camera_at(number: int) -> np.ndarray:
    half = 0.05 * number
    return pose_from_quaternion(np.array([number, 2.0, -1.0]), np.array([0, np.sin(half), 0, np.cos(half)]))


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    mask = np.zeros((12, 16), bool)
    mask[3:9, 4:12] = True
    with CameraBagWriter(tmp_path / "bag", "eye", "map") as writer:
        writer.place("wall", np.eye(4), START)
        for number in range(5):
            image = np.full((12, 16, 3), 40 * number, np.uint8)
            writer.add(Frame(image, mask, START + number * 10**8), K, camera_at(number))
    return tmp_path / "bag"


def test_windows_know_where_the_camera_stood(bag: Path):
    fixed = FixedFrame("map", read_frames(bag, "map"))
    windows = list(ClipWindows(open_bag(bag), StreamConfig(), 5, fixed=fixed))
    found = windows[0].window.fixed_from_camera
    assert found is not None
    np.testing.assert_allclose(found, [camera_at(number) for number in range(5)], atol=1e-12)
    assert fixed.failures == {}


def test_a_frame_that_the_bag_has_not_is_refused_with_those_it_has(bag: Path):
    with pytest.raises(FileFormatError, match=r"no TF frame 'odom' to be the fixed one; it has eye, map, wall"):
        read_frames(bag, "odom")


def test_what_does_not_reach_is_noted_with_the_remedy(bag: Path):
    buffer = read_frames(bag, "map")
    fixed = FixedFrame("map", buffer)
    (part,) = ClipWindows(open_bag(bag), StreamConfig(), 5)
    late = replace(part.window, stamps_ns=part.window.stamps_ns + 2 * 10**8)
    placed, notes = fixed.place(late, "eye")
    assert placed.fixed_from_camera is not None
    assert np.isfinite(placed.fixed_from_camera[:3]).all() and np.isnan(placed.fixed_from_camera[3:]).all()
    assert fixed.failures == {"too_new": 2}
    assert [note.code for note in notes] == ["fixed_frame_too_new"]
    assert "2 of a window's 5 images" in notes[0].text and "tf_timeout_s" in notes[0].text
    assert fixed.place(late, "")[1][0].code == "fixed_frame_no_frame_id"
    buffer.add("map", "eye", START, 2 * np.eye(4))
    (refused,) = fixed.place(part.window, "eye")[1]
    assert refused.code == "fixed_frame_refused" and refused.text.startswith("1 transforms")


def test_results_are_written_in_the_fixed_frame_where_it_is_known(tmp_path: Path):
    stamps = START + np.arange(4) * 10**8
    places = np.stack([camera_at(number) for number in range(4)])
    places[2] = np.nan
    result = replace(make_result(stamps, scale=2.0), fixed_from_camera=places)
    with ResultBagWriter(tmp_path / "out", fixed_frame="map", scene=False) as writer:
        writer.add(result, "eye")
    poses = [m for t, _, m in bag_messages(tmp_path / "out", {"geometry_msgs/msg/PoseWithCovarianceStamped"})
             if t.endswith("object_pose_fixed")]  # fmt: skip
    assert len(poses) == 3 and {pose.header.frame_id for pose in poses} == {"map"}
    seen = camera_from_object_at(int(stamps[3]))
    seen[:3, 3] *= 2.0
    true = (camera_at(3) @ seen)[:3, 3]
    place = poses[-1].pose.pose.position
    np.testing.assert_allclose([place.x, place.y, place.z], true, atol=1e-9)
    clouds = [m for t, _, m in bag_messages(tmp_path / "out", {"sensor_msgs/msg/PointCloud2"}) if "fixed" in t]
    assert len(clouds) == 3


def test_unitless_results_are_not_mixed_with_metres(tmp_path: Path):
    stamps = START + np.arange(2) * 10**8
    result = replace(make_result(stamps), fixed_from_camera=np.stack([np.eye(4)] * 2))
    assert not result.metric
    with ResultBagWriter(tmp_path / "out", fixed_frame="map", scene=False) as writer:
        writer.add(result, "eye")
    kinds = {"geometry_msgs/msg/PoseWithCovarianceStamped", "sensor_msgs/msg/PointCloud2"}
    assert not any("fixed" in topic for topic, _, _ in bag_messages(tmp_path / "out", kinds))
