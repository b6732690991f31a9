"""What is published in a frame that stands still, and the part of TF that it takes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Path
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import PointCloud2
from tf2_msgs.msg import TFMessage

from .. import wire
from ..camera.frames import FrameBuffer, rigid_pose
from ..rollout.window import WindowResult
from . import building, cdr, qos
from .inputs import stamp_ns
from .parameters import NodeConfig
from .tf2 import DistributionInput

POSE, TRACKS, PATH = "object_pose_fixed", "tracks_fixed", "object_path"
_DEPTH = 1000
"""Of TF: many senders, each with a burst of its own; one lost static transform is lost for ever."""


def transform_input(node: Node) -> TransformInput | DistributionInput:
    """What listens to TF: tf2_ros's listener and buffer where there are any; ROS 2 from Python wheels has none."""
    moving = QoSProfile(depth=_DEPTH)
    static = QoSProfile(depth=_DEPTH, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    found: TransformInput | DistributionInput
    try:
        import tf2_ros
    except ImportError:
        found = TransformInput(node, moving, static)
    else:
        found = DistributionInput(node, tf2_ros, moving, static)
    node.get_logger().info(f"TF is looked up by: {found.name}")
    return found


class TransformInput:
    """Listens to /tf and /tf_static while subscribed; callbacks only store.

    Args:
        node: owner of the subscriptions.
        moving, static: profiles of the two topics.
    Attributes:
        buffer: what was told.
    """

    name = "own buffer"

    def __init__(self, node: Node, moving: QoSProfile, static: QoSProfile) -> None:
        self._node = node
        self._profiles = moving, static
        self.buffer = FrameBuffer()
        self._group = MutuallyExclusiveCallbackGroup()
        self._subscriptions: list[Any] = []

    def subscribe(self) -> None:
        """Begin to listen."""
        for topic, profile, held in zip(("/tf", "/tf_static"), self._profiles, (False, True), strict=True):
            take = partial(self._take, static=held)
            found = self._node.create_subscription(TFMessage, topic, take, profile, callback_group=self._group)
            self._subscriptions.append(found)

    def unsubscribe(self) -> None:
        """Stop listening; what holds for ever is kept."""
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())
        self.buffer.clear()

    def _take(self, message: TFMessage, static: bool) -> None:
        for one in message.transforms:
            place, turn = one.transform.translation, one.transform.rotation
            pose = rigid_pose((place.x, place.y, place.z), (turn.x, turn.y, turn.z, turn.w))
            self.buffer.add(one.header.frame_id, one.child_frame_id, stamp_ns(one), pose, static=static)


class StandingOutputs:
    """~/object_pose_fixed, ~/tracks_fixed and ~/object_path; only images for which all is known are published.

    Args:
        publisher: gives one for a message's class, a topic and a profile; the same one for the same topic.
        heard: whether a publisher has listeners.
        objects: that may be there at once; of several each has a pose and a path topic of its own.
    """

    def __init__(
        self,
        publisher: Callable[[type[Any], str, Any], Any],
        heard: Callable[[Any], bool],
        objects: int = 1,
    ) -> None:
        self._publisher, self._heard = publisher, heard
        self._paths: dict[int, deque[tuple[int, np.ndarray]]] = {}
        self._cloud = publisher(PointCloud2, f"~/{TRACKS}", qos.burst_output())
        if objects == 1:
            self._at(f"~/{POSE}"), self._path_at(f"~/{PATH}")

    def _at(self, topic: str) -> Any:
        return self._publisher(PoseWithCovarianceStamped, topic, qos.burst_output())

    def _path_at(self, topic: str) -> Any:
        return self._publisher(Path, topic, qos.latched_output())

    def forget(self, object_id: int) -> None:
        """An object is gone."""
        self._paths.pop(object_id, None)

    def publish(
        self,
        result: WindowResult,
        names: wire.Names,
        options: NodeConfig,
        offer: Callable[[Any, Callable[[], Any]], None],
        *,
        fast: bool,
    ) -> None:
        """Publish a window's images; a shared first one was published with the window before.

        Args:
            result, names: of the window.
            options: the frame's name, which outputs are wanted, and how long the path is.
            offer: takes a latched publisher and the way to build its message.
            fast: build bytes instead of Python objects where that is possible.
        """
        fixed, wanted = options.fixed_frame, options.publish
        path = self._paths.setdefault(names.object_id, deque())
        if result.index == 0:
            path.clear()
        poses, grown = self._at(names.topic(POSE)), False
        for frame in range(int(result.shared_first), result.frames):
            pose = wire.fixed_from_object(result, frame)
            if pose is None:
                continue
            path.append((int(result.stamps_ns[frame]), wire.pose_row(pose)))
            grown = True
            if wanted.camera and self._heard(poses):
                fields = wire.fixed_pose(result, frame, fixed)
                assert fields is not None
                poses.publish(building.build("geometry_msgs/msg/PoseWithCovarianceStamped", fields))
            if wanted.tracks and self._heard(self._cloud):
                fields = wire.fixed_cloud(result, frame, names, fixed)
                assert fields is not None
                self._cloud.publish(building.build("sensor_msgs/msg/PointCloud2", fields))
        while len(path) > options.path_length:
            path.popleft()
        if wanted.camera and grown:
            rows = tuple(path)
            offer(self._path_at(names.topic(PATH)), lambda: _path_message(rows, fixed, fast))


def _path_message(path: tuple[tuple[int, np.ndarray], ...], fixed_frame: str, fast: bool) -> Any:
    args = fixed_frame, np.array([stamp for stamp, _ in path]), np.array([row for _, row in path])
    return cdr.path(*args) if fast else building.build("nav_msgs/msg/Path", wire.path(*args))
