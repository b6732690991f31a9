"""What planners get: the newest frame's mesh and box, right to the byte, where their packages are installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from node.hand_made import FACES, make_result, vertices_at
from node.ros_harness import DOMAIN, LATCHED, Client
from rclpy.context import Context
from rclpy.lifecycle import LifecycleNode
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from attnchain_ros import wire
from attnchain_ros.files.bag_file import build_message
from attnchain_ros.node import building, cdr, planning
from attnchain_ros.node.outputs import Outputs
from attnchain_ros.node.parameters import NodeSettings, change
from attnchain_ros.stream.camera import CameraModel

pytestmark = pytest.mark.ros

STAMPS = np.array([1_000_000_000, 1_100_000_000, 1_250_000_000])
NAMES = wire.Names("camera", "object_7", 7)
# vision_msgs is neither among the wheels nor in rosbags: its definitions as of ROS 2 Humble to Kilted.
VISION = {
    "Detection3DArray": "std_msgs/Header header\nvision_msgs/Detection3D[] detections",
    "Detection3D": "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n"
    "vision_msgs/BoundingBox3D bbox\nstring id",
    "ObjectHypothesisWithPose": "vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose",
    "ObjectHypothesis": "string class_id\nfloat64 score",
    "BoundingBox3D": "geometry_msgs/Pose center\ngeometry_msgs/Vector3 size",
}


def test_the_mesh_is_the_newest_frames_to_the_byte() -> None:
    """Against another implementation of CDR and of the message than the middleware's."""
    store = get_typestore(Stores.ROS2_JAZZY)
    result = make_result(STAMPS, scale=0.5)
    vertices = wire.newest_vertices(result)
    np.testing.assert_allclose(vertices, 0.5 * vertices_at(int(STAMPS[-1])), atol=1e-7)
    # An odd number of triangles, too, since padding depends on it.
    for faces in (FACES, FACES[:7], FACES[:0]):
        fields = wire.object_mesh(vertices, faces)
        wanted = store.serialize_cdr(build_message(store, building.MESH, fields), building.MESH)
        assert cdr.shape_mesh(vertices, faces) == bytes(wanted)


def test_the_box_is_around_the_newest_frame() -> None:
    store = get_typestore(Stores.ROS2_JAZZY)
    for name, text in VISION.items():
        store.register(get_types_from_msg(text, f"vision_msgs/msg/{name}"))
    result = make_result(STAMPS, scale=0.5)
    data = store.serialize_cdr(build_message(store, planning.BOX, wire.object_box(result, NAMES)), planning.BOX)
    found: Any = store.deserialize_cdr(data, planning.BOX)
    assert (found.header.stamp.sec, found.header.stamp.nanosec) == (1, 250_000_000)
    (detection,) = found.detections
    assert found.header.frame_id == detection.header.frame_id == "object_7" and detection.id == "7"
    side = 2 * 0.5 * float(vertices_at(int(STAMPS[-1])).max())
    size, center = detection.bbox.size, detection.bbox.center
    np.testing.assert_allclose([size.x, size.y, size.z], side, rtol=1e-6)
    np.testing.assert_allclose([center.position.x, center.position.y, center.position.z], 0, atol=1e-9)
    assert center.orientation.w == 1.0 and detection.results[0].hypothesis.score == pytest.approx(0.9)


def test_vertices_that_no_triangle_uses_are_not_in_the_box() -> None:
    result = make_result(STAMPS)
    half = FACES[(FACES != 1).all(axis=1)]  # without the vertex at -x
    fields = wire.object_box(type(result)(**{**vars(result), "faces": half}), NAMES)
    box = fields["detections"][0]["bbox"]
    assert box["size"]["x"] == pytest.approx(0.5 * box["size"]["y"]) and box["center"]["position"]["x"] > 0


@pytest.fixture
def node() -> Iterator[LifecycleNode]:
    context = Context()
    context.init(domain_id=DOMAIN)
    found = LifecycleNode("attnchain_node", context=context)
    found.trigger_configure()
    yield found
    found.destroy_node()
    context.shutdown()


def test_what_is_not_installed_is_left_out_and_named_once(node: LifecycleNode, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(building, "find_class", lambda name: None)
    left = planning.Planning(lambda *args: pytest.fail("nothing to publish"), told.append)
    assert told == [
        "~/object_mesh is left out: shape_msgs is not installed",
        "~/object_box is left out: vision_msgs is not installed",
    ]
    wanted = NodeSettings().node.publish
    left.offer(make_result(STAMPS), NAMES, wanted, lambda *args: pytest.fail("nobody to offer it to"), fast=True)
    assert len(told) == 2
    # The node's other outputs do not mind.
    outputs = Outputs(node)
    outputs.publish(make_result(STAMPS), CameraModel(), "camera", NodeSettings())
    outputs.destroy()


@pytest.mark.parametrize("fast", [True, False])
def test_each_can_be_switched_off_and_is_built_when_asked_for(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "find_class", lambda name: object)
    monkeypatch.setattr(building, "build", lambda name, fields: (name, fields))
    offered: dict[str, Any] = {}
    found = planning.Planning(lambda kind, topic, profile: topic, pytest.fail)
    settings = change(NodeSettings(), {"publish.object_box": False}).node.publish
    result = make_result(STAMPS)
    found.offer(result, NAMES, settings, lambda topic, build: offered.update({topic: build}), fast=fast)
    assert set(offered) == {"~/object_mesh"}
    made = offered["~/object_mesh"]()
    args = wire.newest_vertices(result), result.faces
    assert made == cdr.shape_mesh(*args) if fast else made[0] == building.MESH and len(made[1]["triangles"]) == 8
    settings = change(NodeSettings(), {"publish.object_mesh": False}).node.publish
    offered.clear()
    found.offer(result, NAMES, settings, lambda topic, build: offered.update({topic: build}), fast=fast)
    assert set(offered) == {"~/object_box"} and offered["~/object_box"]()[0] == planning.BOX


def test_a_latecomer_gets_the_newest_mesh_over_dds(node: LifecycleNode, client: Client) -> None:
    shape_msgs = pytest.importorskip("shape_msgs.msg", reason="shape_msgs is not installed")
    assert building.check_cdr() == ""
    outputs = Outputs(node)
    node.trigger_activate()
    for index in range(2):
        stamps = STAMPS + index * 250_000_000
        outputs.publish(
            make_result(stamps, index=index, shared_first=index > 0), CameraModel(), "camera", NodeSettings()
        )
    heard = client.listen("attnchain_node/object_mesh", shape_msgs.Mesh, LATCHED)

    def come() -> bool:
        outputs.serve_late()
        return len(heard) > 0

    client.wait_until(come, "the mesh")
    got = np.array([[point.x, point.y, point.z] for point in heard[-1].vertices])
    np.testing.assert_allclose(got, vertices_at(1_500_000_000), atol=1e-6)
    assert [list(triangle.vertex_indices) for triangle in heard[-1].triangles] == FACES.tolist()
    outputs.destroy()
