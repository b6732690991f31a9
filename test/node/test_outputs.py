"""What is built, when, and from what: with publishers of a real node in this process."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Path as PathMessage
from node.hand_made import camera_from_object_at, make_result
from node.ros_harness import DOMAIN, LATCHED, LATCHED_WINDOWS, RELIABLE, Client
from rclpy.context import Context
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import PointCloud2
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from attnchain_ros import wire
from attnchain_ros.msg import AnimatedMesh, Tracks
from attnchain_ros.node import cdr, outputs
from attnchain_ros.node.outputs import Outputs
from attnchain_ros.node.parameters import NodeSettings, change
from attnchain_ros.node.qos import mismatches
from attnchain_ros.stream.camera import CameraModel

pytestmark = pytest.mark.ros

STAMPS = np.array([1_000_000_000, 1_100_000_000, 1_200_000_000])
BUILDERS = (
    (wire, "mesh"), (wire, "tracks"), (wire, "cloud"), (wire, "camera_pose"), (wire, "object_pose"),
    (wire, "shaded_triangles"), (cdr, "path"), (cdr, "marker_array"),
)  # fmt: skip


@pytest.fixture
def node() -> Iterator[LifecycleNode]:
    context = Context()
    context.init(domain_id=DOMAIN)
    found = LifecycleNode("attnchain_node", context=context)
    found.trigger_configure()
    yield found
    found.destroy_node()
    context.shutdown()


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the messages that were built."""
    names: list[str] = []

    def counted(name: str, build: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            names.append(name)
            return build(*args, **options)

        return call

    for module, name in BUILDERS:
        monkeypatch.setattr(module, name, counted(name, getattr(module, name)))
    return names


def activate(node: LifecycleNode) -> Outputs:
    found = Outputs(node)
    node.trigger_activate()
    return found


def publish(found: Outputs, index: int = 0, **changes: Any) -> None:
    stamps = STAMPS + index * 200_000_000
    result = make_result(stamps, index=index, shared_first=index > 0)
    settings = change(NodeSettings(), {"markers_rate_hz": 1000.0, **changes})
    found.publish(result, CameraModel(), "camera", settings)


def test_nothing_is_built_for_nobody_and_latched_topics_serve_who_comes_late(
    node: LifecycleNode, client: Client, built: list[str]
):
    found = activate(node)
    built.clear()  # the check at start
    publish(found)
    publish(found, 1)
    found.serve_late()
    assert built == []
    mesh = client.listen("attnchain_node/mesh", AnimatedMesh, LATCHED_WINDOWS)
    path = client.listen("attnchain_node/camera_path", PathMessage, LATCHED)

    def served() -> bool:
        found.serve_late()
        return bool(mesh and path)

    client.wait_until(served, "the last window for the late subscribers")
    assert built == ["mesh", "path"] and mesh[0].window_index == 1
    assert [item.header.stamp.nanosec for item in path[0].poses] == [
        0,
        100_000_000,
        200_000_000,
        300_000_000,
        400_000_000,
    ]
    found.destroy()


def test_each_topic_can_be_turned_off(node: LifecycleNode, client: Client, built: list[str]):
    found = activate(node)
    kinds = {
        "mesh": AnimatedMesh, "tracks": PointCloud2, "tracks_window": Tracks,
        "camera_pose": PoseWithCovarianceStamped,
        "object_pose": PoseWithCovarianceStamped, "camera_path": PathMessage, "markers": MarkerArray,
    }  # fmt: skip
    heard = {name: client.listen(f"attnchain_node/{name}", kind, RELIABLE) for name, kind in kinds.items()}
    client.wait_until(
        lambda: (
            all(client.node.count_publishers(f"/attnchain_node/{name}") for name in kinds)
            and all(node.count_subscribers(f"/attnchain_node/{name}") for name in kinds)
        ),
        "everybody is found",
    )
    built.clear()
    off = {f"publish.{name}": False for name in ("mesh", "tracks", "tracks_window", "camera", "tf", "markers")}
    publish(found, **off)
    assert built == []
    publish(found, 1)
    client.wait_until(lambda: all(heard.values()), "all topics")
    assert set(built) == {name for _, name in BUILDERS}
    found.destroy()


def test_a_pose_that_is_not_valid_has_no_transform_and_a_huge_covariance(node: LifecycleNode, client: Client):
    found = activate(node)
    poses = client.listen("attnchain_node/object_pose", PoseWithCovarianceStamped, RELIABLE)
    path = client.listen("attnchain_node/camera_path", PathMessage, LATCHED)
    transforms = client.listen("/tf", TFMessage, RELIABLE)
    client.wait_until(
        lambda: all(node.count_subscribers(topic) for topic in ("/attnchain_node/object_pose", "/tf")), "subscribers"
    )
    result = make_result(STAMPS)
    camera = dataclasses.replace(result.camera, valid=np.array([True, False, True]))
    found.publish(dataclasses.replace(result, camera=camera), CameraModel(), "camera", NodeSettings())
    client.wait_until(lambda: len(poses) == 3 and bool(transforms) and bool(path), "poses, path and TF")
    stamps = [item.header.stamp.nanosec for message in transforms for item in message.transforms]
    assert stamps == [0, 200_000_000] == [item.header.stamp.nanosec for item in path[0].poses]
    assert [pose.pose.covariance[0] == wire.KEPT_POSE_VARIANCE for pose in poses] == [False, True, False]
    found.destroy()


def test_a_middleware_that_reads_other_bytes_gets_objects(
    node: LifecycleNode, client: Client, monkeypatch: pytest.MonkeyPatch
):
    """The way out when the check at start fails: a warning, and the same messages."""
    right = {name: getattr(cdr, name) for name in ("path", "marker_array")}
    for name, build in right.items():
        monkeypatch.setattr(cdr, name, lambda *args, build=build: build(*args)[:-1])
    said: list[str] = []
    monkeypatch.setattr(outputs.Outputs, "_warn", lambda self, text: said.append(text))
    found = activate(node)
    assert len(said) == 1 and "built from Python objects, which is slow: a marker of 0 points" in said[0]
    path = client.listen("attnchain_node/camera_path", PathMessage, LATCHED)
    markers = client.listen("attnchain_node/markers", MarkerArray, LATCHED)
    publish(found)

    def served() -> bool:
        found.serve_late()
        return bool(path and markers)

    client.wait_until(served, "path and markers from objects")
    (marker,) = markers[0].markers
    assert len(marker.points) == 24 and marker.header.frame_id == "object_1"
    for item, stamp in zip(path[0].poses, STAMPS, strict=True):
        position = [item.pose.position.x, item.pose.position.y, item.pose.position.z]
        pose = camera_from_object_at(int(stamp))
        np.testing.assert_allclose(pose[:3, :3] @ position + pose[:3, 3], 0, atol=1e-12)
    found.destroy()


def test_destroy_takes_every_publisher_away(node: LifecycleNode, client: Client):
    topics = [
        "/tf",
        *(f"/attnchain_node/{name}" for name in ("mesh", "tracks", "tracks_window", "camera_pose", "markers")),
    ]
    for _ in range(3):
        found = Outputs(node)
        client.wait_until(lambda: all(client.node.count_publishers(topic) == 1 for topic in topics), "one of each")
        found.destroy()
    client.wait_until(lambda: not any(client.node.count_publishers(topic) for topic in topics), "none is left behind")


def test_the_checked_in_rviz_display_gets_what_it_asks_for(node: LifecycleNode) -> None:
    """As far as that can be said without the application: topics, their types, and QoS that matches what is offered."""
    activate(node)
    layout = yaml.safe_load((Path(__file__).parents[2] / "config" / "attnchain.rviz").read_text(encoding="utf-8"))
    shown = [
        (display["Class"].partition("/")[2], display["Topic"])
        for display in layout["Visualization Manager"]["Displays"]
        if display["Enabled"] and "attnchain_node/" in display.get("Topic", {}).get("Value", "")
    ]
    assert {kind for kind, _ in shown} == {"MarkerArray", "PointCloud2", "Path"}
    for kind, topic in shown:
        offers = node.get_publishers_info_by_topic(f"/{topic['Value']}")
        assert [offer.topic_type.rpartition("/")[2] for offer in offers] == [kind]
        asked = QoSProfile(
            depth=topic["Depth"],
            history=HistoryPolicy[word(topic["History Policy"])],
            reliability=ReliabilityPolicy[word(topic["Reliability Policy"])],
            durability=DurabilityPolicy[word(topic["Durability Policy"])],
        )
        assert mismatches(asked, [offer.qos_profile for offer in offers]) == [], topic


def word(policy: str) -> str:
    """RViz's name of a policy as rclpy writes it: ``Keep Last`` is ``KEEP_LAST``."""
    return policy.upper().replace(" ", "_")
