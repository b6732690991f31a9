"""A frame that stands still, from /tf to the topics: with a node in this process that knows the answers."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Path as PathMessage
from node import hand_made_tf2
from node.hand_made import HandMadeEngine, camera_from_object_at, vertices_at
from node.ros_harness import DOMAIN, LATCHED, RELIABLE, Client, image_message, mask_message
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import PointCloud2
from tf2_msgs.msg import TFMessage

from attnchain_ros import wire
from attnchain_ros.camera.poses import apply_pose, pose_from_quaternion
from attnchain_ros.files.camera_bag import CameraBagWriter
from attnchain_ros.node.building import build
from attnchain_ros.node.lifecycle import AttnChainNode
from attnchain_ros.node.replaying import plan_replay
from attnchain_ros.rollout.window import Window, WindowResult
from attnchain_ros.stream.frame import Frame
from attnchain_ros.wire.fields import CLOUD_DTYPE

pytestmark = pytest.mark.ros

STEP_NS = 50_000_000
START_NS = 10**9
NAME = "attnchain_node"
BASE = {
    "autostart": False, "frames": 4, "queue_size": 16, "overflow_policy": "block", "watchdog_s": 0.0, "live": False,
    "fixed_frame": "odom", "tf_timeout_s": 0.0,
}  # fmt: skip
Make = Callable[..., AttnChainNode]


class MovingEngine(HandMadeEngine):
    """Hands the camera's place on as the rollout does; lengths are metres unless ``metric`` is false."""

    metric = True

    def answer(self, window: Window, shared_first: bool) -> WindowResult:
        """The truth."""
        result = super().answer(window, shared_first)
        return replace(result, metric=self.metric, fixed_from_camera=window.fixed_from_camera)


class UnitlessEngine(MovingEngine):
    metric = False


@pytest.fixture
def make() -> Iterator[Make]:
    """Nodes that are active and spin."""
    context = Context()
    context.init(domain_id=DOMAIN)
    executor = MultiThreadedExecutor(num_threads=4, context=context)
    thread = threading.Thread(target=executor.spin, daemon=True)
    nodes: list[AttnChainNode] = []

    def built(engine: type[HandMadeEngine] = MovingEngine, **parameters: Any) -> AttnChainNode:
        overrides = [Parameter(name, value=value) for name, value in {**BASE, **parameters}.items()]
        node = AttnChainNode(partial(engine), context=context, parameter_overrides=overrides)
        nodes.append(node)
        executor.add_node(node)
        node.trigger_configure()
        node.trigger_activate()
        return node

    thread.start()
    yield built
    for node in nodes:
        node.end()
    executor.shutdown()
    thread.join(10)
    for node in nodes:
        node.destroy_node()
    context.try_shutdown()


def base_at(stamp_ns: int) -> np.ndarray:
    """odom_from_base: drives along x and turns about z, evenly."""
    seconds = stamp_ns * 1e-9
    half = 0.25 * seconds
    return pose_from_quaternion(np.array([seconds, 0.5, 0.0]), np.array([0, 0, np.sin(half), np.cos(half)]))


BASE_FROM_CAMERA = pose_from_quaternion(np.array([0.1, 0.0, 0.6]), np.array([-0.5, 0.5, -0.5, 0.5]))


def send_tf(client: Client, node: AttnChainNode, stamps: list[int]) -> None:
    """Tell where the robot was, and how its camera is mounted, and wait until the node knows."""
    static = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    moving = client.node.create_publisher(TFMessage, "/tf", QoSProfile(depth=100))
    mounted = client.node.create_publisher(TFMessage, "/tf_static", static)
    try:
        client.wait_until(
            lambda: moving.get_subscription_count() and mounted.get_subscription_count(), "the node hears"
        )
        mounted.publish(tf_message(wire.frame_transform(BASE_FROM_CAMERA, 1, "base", "camera_optical")))
        for stamp in stamps:
            moving.publish(tf_message(wire.frame_transform(base_at(stamp), stamp, "odom", "base")))
        buffer = node.session._fixed.buffer  # type: ignore[union-attr]

        def known() -> bool:
            try:
                return all(np.isfinite(buffer.look_up("odom", "camera_optical", stamp)).all() for stamp in stamps)
            except ValueError:
                return False

        client.wait_until(known, "the node knows")
    finally:
        client.node.destroy_publisher(moving)
        client.node.destroy_publisher(mounted)


def tf_message(fields: wire.Fields) -> TFMessage:
    return TFMessage(transforms=[build("geometry_msgs/msg/TransformStamped", fields)])


def test_what_a_replayed_bag_offers_reaches_a_node_that_comes_later(make: Make, client: Client, tmp_path: Path):
    """With the profiles that replay.launch.py gives to the player; by default that may offer too little."""
    with CameraBagWriter(tmp_path / "bag", "camera_optical", "odom") as writer:
        writer.add(Frame(np.zeros((12, 16, 3), np.uint8), None, START_NS), np.eye(3), np.eye(4))
    offered = yaml.safe_load(plan_replay(str(tmp_path / "bag"), fixed_frame="odom").qos_yaml)
    kinds = {"reliability": ReliabilityPolicy, "durability": DurabilityPolicy, "history": HistoryPolicy}
    profiles = {
        topic: QoSProfile(**{name: kinds[name][value.upper()] for name, value in offered[topic].items()}, depth=1)
        for topic in ("/tf", "/tf_static")
    }
    publishers = {topic: client.node.create_publisher(TFMessage, topic, profiles[topic]) for topic in profiles}
    try:
        for child in ("base", "arm"):
            mounted = wire.frame_transform(BASE_FROM_CAMERA, 1, child, f"{child}_eye")
            publishers["/tf_static"].publish(tf_message(mounted))
        node = make()
        client.wait_until(lambda: publishers["/tf"].get_subscription_count() > 0, "the node hears")
        publishers["/tf"].publish(tf_message(wire.frame_transform(base_at(START_NS), START_NS, "odom", "base")))
        assert node.session is not None and node.session._fixed is not None
        buffer = node.session._fixed.buffer

        def known() -> bool:
            try:
                buffer.look_up("arm", "arm_eye", START_NS)
                return bool(np.isfinite(buffer.look_up("odom", "base_eye", START_NS)).all())
            except ValueError:
                return False

        client.wait_until(known, "the node knows both mountings and the way")
    finally:
        for publisher in publishers.values():
            client.node.destroy_publisher(publisher)


def feed(node: AttnChainNode, count: int) -> None:
    session = node.session
    assert session is not None
    for number in range(count):
        stamp = START_NS + number * STEP_NS
        session.inputs.mask.callback(mask_message(stamp))
        session.inputs.image.callback(image_message(stamp))


def stamp_of(message: Any) -> int:
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


def pose_of(pose: Any) -> np.ndarray:
    place, turn = pose.position, pose.orientation
    return pose_from_quaternion(np.array([place.x, place.y, place.z]), np.array([turn.x, turn.y, turn.z, turn.w]))


def listen(client: Client, node: AttnChainNode) -> dict[str, list[Any]]:
    kinds = {"object_pose_fixed": PoseWithCovarianceStamped, "tracks_fixed": PointCloud2}
    heard = {topic: client.listen(f"{NAME}/{topic}", kind, RELIABLE) for topic, kind in kinds.items()}
    heard["object_path"] = client.listen(f"{NAME}/object_path", PathMessage, LATCHED)
    client.wait_until(lambda: all(node.count_subscribers(f"/{NAME}/{topic}") for topic in heard), "everybody listens")
    return heard


def windows(node: AttnChainNode) -> int:
    assert node.session is not None
    return node.session.tracks[0].windows


@pytest.mark.parametrize("by", ["own buffer", "tf2_ros"])
def test_pose_tracks_and_path_are_published_where_the_object_really_is(
    make: Make, client: Client, monkeypatch: pytest.MonkeyPatch, by: str
):
    """By the node's own buffer, and by a module with tf2_ros's interface where there is one."""
    monkeypatch.setitem(sys.modules, "tf2_ros", hand_made_tf2.module() if by == "tf2_ros" else None)
    status = client.listen(f"{NAME}/status", DiagnosticStatus, LATCHED)
    node = make()
    assert node.session is not None and node.session.looked_up_by == by
    heard = listen(client, node)
    # Between two samples, 200 ms apart: images are stamped in the middle too.
    send_tf(client, node, [START_NS + number * 200_000_000 for number in range(3)])
    feed(node, 7)
    client.wait_until(lambda: len(heard["object_pose_fixed"]) == 7 and len(heard["tracks_fixed"]) == 7, "seven images")
    for message in heard["object_pose_fixed"]:
        stamp = stamp_of(message)
        true = base_at(stamp) @ BASE_FROM_CAMERA @ camera_from_object_at(stamp)
        assert message.header.frame_id == "odom"
        np.testing.assert_allclose(pose_of(message.pose.pose), true, atol=1e-6)
        covariance = np.reshape(message.pose.covariance, (6, 6))
        turn = (base_at(stamp) @ BASE_FROM_CAMERA)[:3, :3]
        np.testing.assert_allclose(covariance[:3, :3], turn @ np.diag([1e-4, 2e-4, 9e-4]) @ turn.T, atol=1e-9)
        np.testing.assert_allclose(covariance[3:, 3:], turn @ np.diag([1e-5, 2e-5, 3e-5]) @ turn.T, atol=1e-9)
    for cloud in heard["tracks_fixed"]:
        stamp = stamp_of(cloud)
        true = base_at(stamp) @ BASE_FROM_CAMERA @ camera_from_object_at(stamp)
        rows = np.frombuffer(bytes(cloud.data), CLOUD_DTYPE)
        places = np.column_stack([rows[axis] for axis in "xyz"])
        assert cloud.header.frame_id == "odom"
        np.testing.assert_allclose(places, apply_pose(true, vertices_at(stamp)), atol=1e-5)
    client.wait_until(lambda: heard["object_path"] and len(heard["object_path"][-1].poses) == 7, "the whole path")
    path = heard["object_path"][-1]
    assert path.header.frame_id == "odom"
    stamps = [stamp_of(each) for each in path.poses]
    assert stamps == [START_NS + number * STEP_NS for number in range(7)]
    assert node.session is not None and node.session.lookup_failures == {}

    def told() -> dict[str, str]:
        return {item.key: item.value for item in status[-1].values} if status else {}

    client.wait_until(lambda: told().get("fixed frame: TF by") == by, "the status says by what")
    node.trigger_deactivate()
    assert not node.session.lookup_failures
    client.wait_until(lambda: not client.node.get_subscriptions_info_by_topic("/tf"), "nobody listens any more")


def test_images_that_tf_does_not_reach_are_counted_said_and_left_out(make: Make, client: Client):
    node = make()
    heard = listen(client, node)
    send_tf(client, node, [START_NS, START_NS + 2 * STEP_NS])  # the fourth image comes after the last transform
    feed(node, 4)
    client.wait_until(lambda: windows(node) == 1 and len(heard["object_pose_fixed"]) == 3, "three of four images")
    assert node.session is not None and node.session.lookup_failures == {"too_new": 1}
    assert [stamp_of(each) for each in heard["object_pose_fixed"]] == [START_NS + row * STEP_NS for row in range(3)]


def test_nothing_is_published_in_metres_where_lengths_are_not(make: Make, client: Client):
    node = make(UnitlessEngine)
    heard = listen(client, node)
    send_tf(client, node, [START_NS, START_NS + 10 * STEP_NS])
    plain = client.listen(f"{NAME}/object_pose", PoseWithCovarianceStamped, RELIABLE)
    client.wait_until(lambda: node.count_subscribers(f"/{NAME}/object_pose"), "the listener is found")
    feed(node, 7)
    client.wait_until(lambda: windows(node) == 2 and len(plain) == 7, "two windows")
    assert not any(heard.values())


def test_without_tf_windows_go_on_and_without_the_parameter_there_is_nothing(make: Make, client: Client):
    node = make()
    feed(node, 4)
    client.wait_until(lambda: windows(node) == 1, "a window without TF")
    assert node.session is not None and node.session.lookup_failures == {"unknown": 4}
    node.trigger_deactivate()
    node.trigger_cleanup()
    assert node.set_parameters([Parameter("fixed_frame", value="")])[0].successful
    node.trigger_configure()
    node.trigger_activate()
    assert node.session is not None and node.session.lookup_failures is None

    plain = client.listen(f"{NAME}/object_pose", PoseWithCovarianceStamped, RELIABLE)
    client.wait_until(lambda: node.count_subscribers(f"/{NAME}/object_pose"), "the listener is found")
    feed(node, 4)
    client.wait_until(lambda: len(plain) == 4, "the pose of four images")
    assert node.count_publishers(f"/{NAME}/object_pose") == 1
    # What the graph says of a publisher that was destroyed follows a little later.
    client.wait_until(lambda: not node.count_publishers(f"/{NAME}/object_pose_fixed"), "the fixed one is gone")
