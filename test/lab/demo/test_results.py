"""What is missing in a recording is told; needs the messages, not a running node."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.ros

pytest.importorskip("rclpy", reason="needs ROS 2: run the tests with scripts/test")

from attnchain_ros import wire  # noqa: E402
from attnchain_ros.lab.demo.recorder import Pose, Recording  # noqa: E402
from attnchain_ros.lab.demo.results import missing_parts, window_results  # noqa: E402
from attnchain_ros.lab.evaluation.motion import join_windows  # noqa: E402
from attnchain_ros.node.building import build  # noqa: E402

SECOND = 10**9


def complete() -> Recording:
    """Two windows of three frames that share one: five frames, one triangle, two tracks."""
    from attnchain_ros.msg import AnimatedMesh, Tracks

    recording = Recording(path=4)
    for frame in range(5):
        stamp = frame * SECOND
        pose = np.eye(4)
        pose[:3, 3] = 0, 0, 2 + frame
        recording.intrinsics[stamp] = np.eye(3)
        if frame != 3:  # a pose that is not trusted has no transform
            recording.transforms[stamp] = pose
        recording.poses[stamp] = Pose(np.linalg.inv(pose), frame != 3)
        recording.clouds[stamp] = np.zeros((2, 3), np.uint8)
    for index, first in enumerate((0, 2)):
        stamps = [build("builtin_interfaces/msg/Time", wire.time((first + frame) * SECOND)) for frame in range(3)]
        vertices = np.arange(27, dtype=np.float32) + 100 * index
        recording.meshes[index] = AnimatedMesh(
            window_index=index, frame_count=3, vertex_count=3, stamps=stamps, triangles=[0, 1, 2], scale=1.0,
            vertices=vertices.tolist(), vertex_colors=[9] * 9, confidence=[1.0] * 3,
        )  # fmt: skip
        recording.tracks[index] = Tracks(
            window_index=index, frame_count=3, track_count=2, stamps=stamps, ids=[4, 7], scale=1.0,
            points_px=np.arange(12, dtype=np.float32).tolist(), points_camera=[0.0] * 18, points_object=[],
            visible=[1, 0, 1, 1, 255, 1], confidence=[0.5] * 6,
        )  # fmt: skip
    return recording


def test_a_complete_recording_becomes_windows() -> None:
    recording = complete()
    assert missing_parts(recording, 5) == []
    results = window_results(recording)
    assert [result.shared_first for result in results] == [False, True]
    found = join_windows(results)
    assert found.stamps_ns.tolist() == [frame * SECOND for frame in range(5)]
    assert found.vertices[3].ravel().tolist() == list(range(109, 118))
    assert found.camera_from_object[:, 2, 3].tolist() == [2, 3, 4, 5, 6]
    assert found.camera_valid.tolist() == [True, True, True, False, True]
    assert results[0].tracks.visible.tolist() == [[True, False], [True, True], [False, True]]
    assert found.points_px[1].tolist() == [[4, 5], [6, 7]]
    assert np.isnan(results[0].tracks.points_object).all()


def test_missing_things_are_named() -> None:
    recording = complete()
    del recording.transforms[1 * SECOND]
    del recording.clouds[4 * SECOND]
    assert missing_parts(recording, 5) == [
        "tracks: 1 of 5 frames did not come (4)",
        "/tf: 1 of 5 frames did not come (1)",
    ]
    recording = complete()
    del recording.meshes[1]
    assert missing_parts(recording, 5) == ["mesh: 2 of 5 frames did not come (3, 4)"]
    assert "camera_info came 5 times, wanted 6" in missing_parts(complete(), 6)[0]


def test_frames_before_the_first_trusted_pose_have_none() -> None:
    recording = complete()
    for frame in (0, 1):
        del recording.poses[frame * SECOND], recording.transforms[frame * SECOND]
    recording.path = 2
    assert missing_parts(recording, 5) == []
    assert join_windows(window_results(recording)).camera_valid.tolist() == [False, False, True, False, True]
    del recording.poses[4 * SECOND]
    assert missing_parts(recording, 5)[0] == "camera_pose: 1 of 5 frames did not come (4)"


def test_poses_that_disagree_are_told() -> None:
    recording = complete()
    recording.transforms[2 * SECOND] = np.eye(4)
    assert "disagree by 4" in missing_parts(recording, 5)[0]
    recording = complete()
    recording.path = 3
    assert missing_parts(recording, 5) == ["camera_path: 3 poses at the end, wanted 4"]
