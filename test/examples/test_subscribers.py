"""The example subscribers on messages of a known scene; without their package they say which to install."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest
from examples_folder import EXAMPLES, load_example
from geometry_msgs.msg import Pose
from node.hand_made import FACES, make_result
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from attnchain_ros import wire
from attnchain_ros.msg import AnimatedMesh, Tracks
from attnchain_ros.node.building import build

pytestmark = pytest.mark.ros

STAMPS = np.array([1_000_000_000, 1_500_000_000])
NAMES = wire.Names("camera", "object_1", 1)
NEEDED = {"show_images": "cv_bridge", "read_tracks": "sensor_msgs_py", "moveit_object": "moveit_msgs"}


def test_meshes_become_trimeshes() -> None:
    result = make_result(STAMPS, scale=0.5)
    message: AnimatedMesh = build("attnchain_ros/msg/AnimatedMesh", wire.mesh(result, NAMES))
    first, last = load_example("read_mesh").frames_of(message)
    np.testing.assert_allclose(first.vertices, 0.5 * result.vertices[0])
    np.testing.assert_allclose(last.vertices, 0.5 * result.vertices[1])
    assert first.faces.tolist() == FACES.tolist() and last.is_watertight
    assert first.visual.vertex_colors[:, :3].tolist() == result.vertex_colors.tolist()


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_a_missing_package_is_named_with_the_command(name: str) -> None:
    if importlib.util.find_spec(NEEDED[name]) is not None:
        pytest.skip(f"{NEEDED[name]} is installed")
    done = subprocess.run([sys.executable, EXAMPLES / f"{name}.py"], capture_output=True, text=True, check=False)
    apt = NEEDED[name].replace("_", "-")
    assert done.returncode != 0 and f"sudo apt install ros-$ROS_DISTRO-{apt}" in done.stderr


def test_tracks_are_painted_where_they_are_seen() -> None:
    pytest.importorskip("cv_bridge", reason="cv_bridge comes with a ROS 2 distribution")
    result = make_result(STAMPS)
    message: Tracks = build("attnchain_ros/msg/Tracks", wire.tracks(result, result.tracks.points_px, NAMES))
    images = {(1, 0): np.zeros((24, 32, 3), np.uint8)}
    (picture,) = load_example("show_images").painted(message, images)
    for (x, y), seen in zip(result.tracks.points_px[0], result.tracks.visible[0], strict=True):
        column, row = round(float(x)), round(float(y))
        if seen and 0 <= column < 32 and 0 <= row < 24:
            assert picture[row, column].tolist() == [0, 200, 255]


def test_clouds_are_described() -> None:
    pytest.importorskip("sensor_msgs_py", reason="sensor_msgs_py comes with a ROS 2 distribution")
    result = make_result(STAMPS)
    message: PointCloud2 = build("sensor_msgs/msg/PointCloud2", wire.cloud(result, 0, NAMES))
    seen = result.tracks.visible[0]
    distance = np.linalg.norm(result.tracks.points_camera[0], axis=1)
    nearest = result.tracks.ids[seen][distance[seen].argmin()]
    text = load_example("read_tracks").describe(message)
    assert text == f"1.000000000: {seen.sum()} of {len(seen)} points are seen, the nearest is point {nearest}"


class _Message:
    """A message of a package that is not installed here: what its fields are given, and what the example appends to."""

    ADD = b"\x00"

    def __init__(self, **fields: object) -> None:
        self.header, self.pose = Header(), Pose()
        self.meshes: list[object] = []
        self.mesh_poses: list[Pose] = []
        self.__dict__.update(fields)


def test_a_mesh_becomes_a_collision_object(monkeypatch: pytest.MonkeyPatch) -> None:
    for package, name in (("moveit_msgs", "CollisionObject"), ("shape_msgs", "Mesh")):
        if importlib.util.find_spec(package) is None:
            stand_in = ModuleType(f"{package}.msg")
            setattr(stand_in, name, _Message)
            monkeypatch.setitem(sys.modules, package, ModuleType(package))
            monkeypatch.setitem(sys.modules, f"{package}.msg", stand_in)
    example = load_example("moveit_object")
    mesh = example.Mesh()
    found = example.collision_object(mesh, "object_1", "thing")
    assert found.id == "thing" and found.operation == b"\x00" and list(found.meshes) == [mesh]
    assert found.header.frame_id == "object_1" and found.header.stamp.sec == 0
    assert found.pose.orientation.w == 1.0 and [pose.orientation.w for pose in found.mesh_poses] == [1.0]
