"""Messages built from a known result, without DDS."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
from node.hand_made import FACES, camera_from_object_at, make_result
from rclpy.serialization import deserialize_message, serialize_message
from visualization_msgs.msg import MarkerArray

from attnchain_ros.files.published import KEPT_POSE_VARIANCE, scaled_pose
from attnchain_ros.msg import Tracks
from attnchain_ros.node import cdr, messages
from attnchain_ros.node.window_messages import mesh_message, tracks_message

pytestmark = pytest.mark.ros

STAMPS = np.array([1_000_000_000, 1_500_000_000, 3_000_000_001])


def random_rotations(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    found = []
    for _ in range(count):
        q, r = np.linalg.qr(rng.normal(size=(3, 3)))
        q = q * np.sign(np.diag(r))
        found.append(q if np.linalg.det(q) > 0 else q[:, [1, 0, 2]])
    # half turns, where the simple formula divides by zero
    return [*found, np.eye(3), np.diag([1.0, -1, -1]), np.diag([-1.0, 1, -1]), np.diag([-1.0, -1, 1])]


def test_quaternions_turn_as_the_matrix_does():
    for rotation in random_rotations(50):
        x, y, z, w = messages.quaternion_xyzw(rotation)
        assert abs(x * x + y * y + z * z + w * w - 1) < 1e-12 and w >= 0
        # rotate a vector by q v q*, written out with cross products
        axis = np.array([x, y, z])
        for vector in np.eye(3):
            turned = vector + 2 * np.cross(axis, np.cross(axis, vector) + w * vector)
            np.testing.assert_allclose(turned, rotation @ vector, atol=1e-12)


def test_known_quaternion():
    quarter_about_z = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    np.testing.assert_allclose(messages.quaternion_xyzw(quarter_about_z), [0, 0, np.sqrt(0.5), np.sqrt(0.5)])


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_mesh_tf_pose_and_cloud_share_one_scale(scale: float):
    result = make_result(STAMPS, scale=scale)
    mesh = mesh_message(result, "object_1", 1)
    vertices = np.array(mesh.vertices).reshape(3, 6, 3)
    np.testing.assert_allclose(vertices, result.vertices * scale, rtol=1e-7)
    for frame in range(3):
        transform = messages.transform_message(0, "camera", "object", scaled_pose(result, frame)).transform
        shift = np.array([transform.translation.x, transform.translation.y, transform.translation.z])
        rotation = camera_from_object_at(int(STAMPS[frame]))[:3, :3]
        cloud = messages.track_cloud(result, frame, "camera")
        rows = np.frombuffer(bytes(cloud.data), np.float32).reshape(-1, 7)[:, :3]
        # the tracks are the vertices: carried by TF they are the cloud
        np.testing.assert_allclose(vertices[frame] @ rotation.T + shift, rows, atol=1e-6)
        pose = messages.camera_pose(result, frame, "object").pose.pose
        position = np.array([pose.position.x, pose.position.y, pose.position.z])
        np.testing.assert_allclose(rotation @ position + shift, 0, atol=1e-12)
    assert mesh.scale == scale and mesh.metric == (scale != 1.0)
    assert np.array(mesh.triangles).reshape(-1, 3).tolist() == FACES.tolist()
    assert [(stamp.sec, stamp.nanosec) for stamp in mesh.stamps] == [(1, 0), (1, 500_000_000), (3, 1)]


def test_a_repeated_pose_is_flagged_by_its_covariance():
    result = make_result(STAMPS)
    camera = dataclasses.replace(result.camera, valid=np.array([True, False, True]))
    result = dataclasses.replace(result, camera=camera)
    good, kept = (messages.camera_pose(result, frame, "object").pose.covariance for frame in (0, 1))
    assert np.diag(good.reshape(6, 6)).max() < 0.01
    assert np.diag(kept.reshape(6, 6)).min() == KEPT_POSE_VARIANCE


def test_tracks_without_3d_are_empty_or_nan():
    result = make_result(STAMPS)
    nothing = np.full_like(result.tracks.points_object, np.nan)
    tracks = dataclasses.replace(result.tracks, points_object=nothing, points_camera=nothing)
    result = dataclasses.replace(result, tracks=tracks)
    message = tracks_message(result, result.tracks.points_px, "camera", "object", 3)
    assert len(message.points_object) == 0 and np.isnan(np.array(message.points_camera)).all()
    assert set(message.visible) == {Tracks.VISIBLE, Tracks.HIDDEN}
    assert list(message.ids) == list(range(10, 16)) and message.object_id == 3
    assert not messages.track_cloud(result, 0, "camera").is_dense


def test_messages_survive_the_wire():
    result = make_result(STAMPS)
    for message in (mesh_message(result, "o", 1), tracks_message(result, result.tracks.points_px, "c", "o", 1)):
        assert deserialize_message(serialize_message(message), type(message)) == message


def test_numpy_built_markers_are_what_the_middleware_reads():
    assert messages.check_cdr() == ""


def test_the_check_notices_other_bytes(monkeypatch: pytest.MonkeyPatch):
    right = cdr.marker_array
    monkeypatch.setattr(cdr, "marker_array", lambda *args: right(*args) + b"\0")
    assert "from the middleware" in messages.check_cdr()

    def one_bit_less(*args) -> bytes:
        data = bytearray(right(*args))
        data[20] ^= 1  # inside the header
        return bytes(data)

    monkeypatch.setattr(cdr, "marker_array", one_bit_less)
    assert "differently" in messages.check_cdr()


def test_large_markers_are_built_quickly():
    rng = np.random.default_rng(0)
    vertices, faces = rng.normal(size=(20_000, 3)).astype(np.float32), rng.integers(0, 20_000, (40_000, 3))
    colors = rng.integers(0, 256, (20_000, 3)).astype(np.uint8)
    times = []
    for _ in range(3):
        started = time.process_time()
        points, shaded = messages.shaded_triangles(vertices, faces, colors)
        data = cdr.marker_array((1, 2), "object", "mesh", 1, points, shaded)
        times.append(time.process_time() - started)
    # seen: 0.02 s of processor time; 120,000 Point objects take about 0.4 s
    assert min(times) < 0.1
    message = deserialize_message(data, MarkerArray)
    assert len(message.markers[0].points) == 120_000
    point = message.markers[0].points[-1]
    np.testing.assert_allclose([point.x, point.y, point.z], vertices[faces[-1, 2]])


def test_shading_is_brighter_towards_the_light():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 0, 1]], np.float32)
    white = np.full((3, 3), 255, np.uint8)
    down = messages.shaded_triangles(vertices, np.array([[0, 1, 2]]), white)[1]
    up = messages.shaded_triangles(vertices, np.array([[0, 2, 1]]), white)[1]
    assert up[0, 0] > down[0, 0] > 0.3 and (up[:, 3] == 1).all()
