"""Messages built from a known result, without DDS."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
from geometry_msgs.msg import Pose, PoseWithCovarianceStamped
from node.hand_made import FACES, camera_from_object_at, make_result
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import PointCloud2
from visualization_msgs.msg import MarkerArray

from attnchain_ros import wire
from attnchain_ros.camera.poses import pose_from_quaternion
from attnchain_ros.lab.reference import poses as twin
from attnchain_ros.msg import AnimatedMesh, Tracks
from attnchain_ros.node import cdr
from attnchain_ros.node.building import build, check_cdr
from attnchain_ros.rollout.window import WindowResult
from attnchain_ros.wire import KEPT_POSE_VARIANCE

pytestmark = pytest.mark.ros

STAMPS = np.array([1_000_000_000, 1_500_000_000, 3_000_000_001])


NAMES = wire.Names("camera", "object", 1)


def mesh_message(result: WindowResult) -> AnimatedMesh:
    return build("attnchain_ros/msg/AnimatedMesh", wire.mesh(result, NAMES))


def tracks_message(result: WindowResult, object_id: int = 1) -> Tracks:
    names = dataclasses.replace(NAMES, object_id=object_id)
    return build("attnchain_ros/msg/Tracks", wire.tracks(result, result.tracks.points_px, names))


def track_cloud(result: WindowResult, frame: int) -> PointCloud2:
    return build("sensor_msgs/msg/PointCloud2", wire.cloud(result, frame, NAMES))


def camera_pose(result: WindowResult, frame: int) -> PoseWithCovarianceStamped:
    return build("geometry_msgs/msg/PoseWithCovarianceStamped", wire.camera_pose(result, frame, NAMES))


def object_pose(result: WindowResult, frame: int) -> PoseWithCovarianceStamped:
    return build("geometry_msgs/msg/PoseWithCovarianceStamped", wire.object_pose(result, frame, NAMES))


def matrix(pose: Pose) -> np.ndarray:
    place, turn = pose.position, pose.orientation
    return pose_from_quaternion(np.array([place.x, place.y, place.z]), np.array([turn.x, turn.y, turn.z, turn.w]))


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_mesh_tf_pose_and_cloud_share_one_scale(scale: float):
    result = make_result(STAMPS, scale=scale)
    mesh = mesh_message(result)
    vertices = np.array(mesh.vertices).reshape(3, 6, 3)
    np.testing.assert_allclose(vertices, result.vertices * scale, rtol=1e-7)
    for frame in range(3):
        transform = build("geometry_msgs/msg/TransformStamped", wire.transform(result, frame, NAMES)).transform
        shift = np.array([transform.translation.x, transform.translation.y, transform.translation.z])
        rotation = camera_from_object_at(int(STAMPS[frame]))[:3, :3]
        cloud = track_cloud(result, frame)
        rows = np.frombuffer(bytes(cloud.data), np.float32).reshape(-1, 7)[:, :3]
        # the tracks are the vertices: carried by TF they are the cloud
        np.testing.assert_allclose(vertices[frame] @ rotation.T + shift, rows, atol=1e-6)
        pose = camera_pose(result, frame).pose.pose
        position = np.array([pose.position.x, pose.position.y, pose.position.z])
        np.testing.assert_allclose(rotation @ position + shift, 0, atol=1e-12)
    assert mesh.scale == scale and mesh.metric == (scale != 1.0)
    assert np.array(mesh.triangles).reshape(-1, 3).tolist() == FACES.tolist()
    assert [(stamp.sec, stamp.nanosec) for stamp in mesh.stamps] == [(1, 0), (1, 500_000_000), (3, 1)]


def test_a_repeated_pose_is_flagged_by_its_covariance():
    result = make_result(STAMPS)
    camera = dataclasses.replace(result.camera, valid=np.array([True, False, True]))
    result = dataclasses.replace(result, camera=camera)
    for pose in (camera_pose, object_pose):
        good, kept = (pose(result, frame).pose.covariance for frame in (0, 1))
        assert np.diag(good.reshape(6, 6)).max() < 0.01
        assert np.array_equal(kept.reshape(6, 6), np.diag([KEPT_POSE_VARIANCE] * 6))
    unknown = dataclasses.replace(result, camera=dataclasses.replace(camera, covariance=None))
    assert object_pose(unknown, 0).pose.covariance[0] == KEPT_POSE_VARIANCE


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_the_object_in_the_camera_is_the_inverse_of_the_camera_in_the_object(scale):
    result = make_result(STAMPS, scale=scale)
    for frame in range(3):
        camera, thing = camera_pose(result, frame), object_pose(result, frame)
        there, back = (matrix(message.pose.pose) for message in (camera, thing))
        np.testing.assert_allclose(there @ back, np.eye(4), atol=1e-6)
        assert camera.header.stamp == thing.header.stamp
        assert thing.header.stamp.sec == STAMPS[frame] // 10**9
        assert (camera.header.frame_id, thing.header.frame_id) == (NAMES.object_frame, NAMES.camera_frame)
        transform = build("geometry_msgs/msg/TransformStamped", wire.transform(result, frame, NAMES)).transform
        assert transform.translation.z == thing.pose.pose.position.z
        covariance = thing.pose.covariance.reshape(6, 6)
        wanted = np.array([1e-4, 2e-4, 9e-4]) * scale**2
        np.testing.assert_allclose(np.diag(covariance), [*wanted, 1e-5, 2e-5, 3e-5], rtol=1e-9)
        sampled = twin.invert_covariance(back, covariance, 20000, frame)
        found = camera.pose.covariance.reshape(6, 6)
        size = np.sqrt(np.outer(np.diag(found), np.diag(found)))
        np.testing.assert_allclose(found / size, sampled / size, atol=0.05)


def test_tracks_without_3d_are_empty_or_nan():
    result = make_result(STAMPS)
    nothing = np.full_like(result.tracks.points_object, np.nan)
    tracks = dataclasses.replace(result.tracks, points_object=nothing, points_camera=nothing)
    result = dataclasses.replace(result, tracks=tracks)
    message = tracks_message(result, 3)
    assert len(message.points_object) == 0 and np.isnan(np.array(message.points_camera)).all()
    assert set(message.visible) == {Tracks.VISIBLE, Tracks.HIDDEN}
    assert list(message.ids) == list(range(10, 16)) and message.object_id == 3
    assert not track_cloud(result, 0).is_dense


def test_messages_survive_the_wire():
    result = make_result(STAMPS)
    for message in (mesh_message(result), tracks_message(result), track_cloud(result, 1), camera_pose(result, 2)):
        assert deserialize_message(serialize_message(message), type(message)) == message


def test_numpy_built_markers_are_what_the_middleware_reads():
    assert check_cdr() == ""


def test_the_check_notices_other_bytes(monkeypatch: pytest.MonkeyPatch):
    right = cdr.marker_array
    monkeypatch.setattr(cdr, "marker_array", lambda *args: right(*args) + b"\0")
    assert "from the middleware" in check_cdr()

    def one_bit_less(*args) -> bytes:
        data = bytearray(right(*args))
        data[20] ^= 1  # inside the header
        return bytes(data)

    monkeypatch.setattr(cdr, "marker_array", one_bit_less)
    assert "differently" in check_cdr()


def test_large_markers_are_built_quickly():
    rng = np.random.default_rng(0)
    vertices, faces = rng.normal(size=(20_000, 3)).astype(np.float32), rng.integers(0, 20_000, (40_000, 3))
    colors = rng.integers(0, 256, (20_000, 3)).astype(np.uint8)
    times = []
    for _ in range(3):
        started = time.process_time()
        points, shaded = wire.shaded_triangles(vertices, faces, colors)
        data = cdr.marker_array(1_000_000_002, "object", "mesh", 1, points, shaded)
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
    down = wire.shaded_triangles(vertices, np.array([[0, 1, 2]]), white)[1]
    up = wire.shaded_triangles(vertices, np.array([[0, 2, 1]]), white)[1]
    assert up[0, 0] > down[0, 0] > 0.3 and (up[:, 3] == 1).all()
