"""Hears everything that the node publishes, over ROS, and keeps it as plain arrays."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Path
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, PointCloud2
from tf2_msgs.msg import TFMessage

from attnchain_ros.msg import AnimatedMesh, Tracks

from ...camera.poses import pose_from_quaternion
from ...wire import KEPT_POSE_VARIANCE

_DEPTH = 1000


@dataclass(frozen=True)
class Pose:
    """A camera pose as published: object_from_camera [4, 4], and whether it was estimated in this very frame."""

    object_from_camera: np.ndarray
    estimated: bool


@dataclass
class Recording:
    """What was heard; stamps in nanoseconds.

    Attributes:
        intrinsics: K [3, 3] by the stamp of each camera_info, which comes with every image.
        meshes, tracks: messages of each window by window_index.
        clouds: colours [Q, 3] uint8 of each frame's track cloud.
        poses: of ~/camera_pose.   transforms: camera_from_object [4, 4] of /tf.   path: poses in the last path.
        arrived_s: when each window's mesh came, seconds since the recorder started.
    """

    intrinsics: dict[int, np.ndarray] = field(default_factory=dict)
    meshes: dict[int, Any] = field(default_factory=dict)
    tracks: dict[int, Any] = field(default_factory=dict)
    clouds: dict[int, np.ndarray] = field(default_factory=dict)
    poses: dict[int, Pose] = field(default_factory=dict)
    transforms: dict[int, np.ndarray] = field(default_factory=dict)
    path: int = 0
    arrived_s: list[float] = field(default_factory=list)


def stamp_ns(stamp: Any) -> int:
    """A Time as nanoseconds."""
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def rigid_matrix(position: Any, quaternion: Any) -> np.ndarray:
    """[4, 4] from a message's position and quaternion (x, y, z, w)."""
    xyzw = np.array([quaternion.x, quaternion.y, quaternion.z, quaternion.w])
    return pose_from_quaternion(np.array([position.x, position.y, position.z]), xyzw)


class Recorder:
    """Subscribes in a ROS context and a thread of its own; use it as a context manager.

    Args:
        namespace: of the node and the camera.
        domain: ROS domain.
        object_frame: name of the object's TF frame.
    """

    def __init__(self, namespace: str, domain: int, object_frame: str) -> None:
        self.recording = Recording()
        self._object_frame = object_frame
        self._changed = threading.Condition()
        self._started = time.monotonic()
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node("recorder", namespace=namespace, context=self._context)
        reliable = QoSProfile(depth=_DEPTH, reliability=ReliabilityPolicy.RELIABLE)
        latched = QoSProfile(
            depth=_DEPTH, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
        )
        for message_type, topic, profile, take in (
            (CameraInfo, "camera_info", reliable, self._on_info),
            (AnimatedMesh, "attnchain_node/mesh", latched, self._on_mesh),
            (Tracks, "attnchain_node/tracks_window", latched, self._on_tracks),
            (PointCloud2, "attnchain_node/tracks", reliable, self._on_cloud),
            (PoseWithCovarianceStamped, "attnchain_node/camera_pose", reliable, self._on_pose),
            (Path, "attnchain_node/camera_path", latched, self._on_path),
            (TFMessage, "/tf", reliable, self._on_transforms),
        ):
            self._node.create_subscription(message_type, topic, self._noting(take), profile)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name="recorder", daemon=True)
        self._thread.start()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(timeout_sec=2.0)
        self._context.try_shutdown()
        self._thread.join(timeout=2.0)

    def wait(self, condition: Callable[[Recording], bool], seconds: float) -> bool:
        """Wait until the condition holds for what was heard; False if it does not in time."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self.recording), seconds)

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def _noting(self, take: Callable[[Any], None]) -> Callable[[Any], None]:
        def callback(message: Any) -> None:
            with self._changed:
                take(message)
                self._changed.notify_all()

        return callback

    def _on_info(self, message: CameraInfo) -> None:
        self.recording.intrinsics[stamp_ns(message.header.stamp)] = np.array(message.k, np.float64).reshape(3, 3)

    def _on_mesh(self, message: AnimatedMesh) -> None:
        if int(message.window_index) not in self.recording.meshes:  # the node sends a latched message again at times
            self.recording.arrived_s.append(time.monotonic() - self._started)
        self.recording.meshes[int(message.window_index)] = message

    def _on_tracks(self, message: Tracks) -> None:
        self.recording.tracks[int(message.window_index)] = message

    def _on_cloud(self, message: PointCloud2) -> None:
        offset = next(item.offset for item in message.fields if item.name == "rgb")
        rows = np.frombuffer(bytes(message.data), np.uint8).reshape(message.width, message.point_step)
        # 0x00RRGGBB, little-endian: blue comes first.
        self.recording.clouds[stamp_ns(message.header.stamp)] = rows[:, offset : offset + 3][:, ::-1].copy()

    def _on_pose(self, message: PoseWithCovarianceStamped) -> None:
        pose = message.pose.pose
        self.recording.poses[stamp_ns(message.header.stamp)] = Pose(
            rigid_matrix(pose.position, pose.orientation), float(message.pose.covariance[0]) < KEPT_POSE_VARIANCE
        )

    def _on_path(self, message: Path) -> None:
        self.recording.path = len(message.poses)

    def _on_transforms(self, message: TFMessage) -> None:
        for item in message.transforms:
            if item.child_frame_id == self._object_frame:
                moved = rigid_matrix(item.transform.translation, item.transform.rotation)
                self.recording.transforms[stamp_ns(item.header.stamp)] = moved
