"""The node's publishers: what a window's result becomes, built only for topics that someone listens to.

Latched topics without subscribers keep the way to build their last message; whoever comes later gets it then.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Path
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import PointCloud2
from visualization_msgs.msg import MarkerArray

from attnchain_ros.msg import AnimatedMesh, Tracks

from .. import wire
from ..camera.poses import invert_pose
from ..rollout.window import WindowResult
from ..stream.camera import CameraModel
from . import building, cdr, qos
from .parameters import NodeSettings
from .planning import Planning
from .rivals import RivalWatch
from .transforms import transform_broadcaster


class Outputs:
    """Creates the publishers and publishes windows; thread-safe.

    Attributes:
        rivals: looks for other senders of the same frame.
    """

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._path: deque[tuple[int, np.ndarray]] = deque()
        self._pose_seen = False
        self._last_marker_ns: int | None = None
        self._lock = threading.Lock()
        self._kept: dict[Any, Callable[[], Any]] = {}
        self._made: list[Any] = []
        self._tf: Any = None
        self.rivals = RivalWatch(node, self._warn)
        try:
            self._create()
        except Exception:  # for instance an override of QoS that does not exist: nothing is left half made
            self.destroy()
            raise
        difference = building.check_cdr()
        self._fast = not difference
        if difference:
            self._warn(f"markers and paths are built from Python objects, which is slow: {difference}")

    def _create(self) -> None:
        latched, burst, window = qos.latched_output, qos.burst_output, qos.window_output
        self._mesh = self._publisher(AnimatedMesh, "~/mesh", window())
        self._tracks = self._publisher(PointCloud2, "~/tracks", burst())
        self._tracks_window = self._publisher(Tracks, "~/tracks_window", window())
        self._camera_pose = self._publisher(PoseWithCovarianceStamped, "~/camera_pose", burst())
        self._object_pose = self._publisher(PoseWithCovarianceStamped, "~/object_pose", burst())
        self._camera_path = self._publisher(Path, "~/camera_path", latched())
        self._markers = self._publisher(MarkerArray, "~/markers", latched())
        self._planning = Planning(self._publisher, lambda text: self._node.get_logger().info(text))
        self._tf = transform_broadcaster(self._node)

    def _warn(self, text: str) -> None:
        self._node.get_logger().warning(text)

    def _publisher(self, message_type: type[Any], topic: str, profile: Any) -> Any:
        publisher = self._node.create_lifecycle_publisher(
            message_type, topic, profile, qos_overriding_options=qos.overriding()
        )
        self._made.append(publisher)
        return publisher

    def destroy(self) -> None:
        """Remove all publishers."""
        self.rivals.close()
        for publisher in self._made:
            self._node.destroy_lifecycle_publisher(publisher)
        tf_publisher = getattr(self._tf, "pub_tf", None)
        if tf_publisher is not None:
            self._node.destroy_publisher(tf_publisher)

    def publish(self, result: WindowResult, camera: CameraModel, camera_frame: str, settings: NodeSettings) -> None:
        """Publish everything about one window.

        Args:
            result: of the rollout.
            camera: for the way from undistorted to published pixels.
            camera_frame: frame_id of the images.
            settings: of the node.
        """
        with self._lock:
            self._publish(result, camera, camera_frame, settings)

    def serve_late(self) -> None:
        """Give latched topics their last message where the first subscriber came after it; call now and then."""
        with self._lock:
            for publisher in [publisher for publisher in self._kept if _heard(publisher)]:
                publisher.publish(self._kept.pop(publisher)())

    def _offer(self, publisher: Any, build: Callable[[], Any]) -> None:
        if _heard(publisher):
            self._kept.pop(publisher, None)
            publisher.publish(build())
        else:
            self._kept[publisher] = build

    def _publish(self, result: WindowResult, camera: CameraModel, camera_frame: str, settings: NodeSettings) -> None:
        wanted = settings.node.publish
        names = wire.Names(camera_frame, settings.object_frame, settings.node.object_id)
        if result.index == 0:
            self._path.clear()
            self._pose_seen = False
        if wanted.mesh:
            self._offer(self._mesh, lambda: building.build("attnchain_ros/msg/AnimatedMesh", wire.mesh(result, names)))
        if wanted.tracks_window:

            def tracks_window() -> Tracks:
                points_px = camera.distort_points(result.tracks.points_px)
                return building.build("attnchain_ros/msg/Tracks", wire.tracks(result, points_px, names))

            self._offer(self._tracks_window, tracks_window)
        transforms = []
        # A shared frame was published with its first window.
        for frame in range(int(result.shared_first), result.frames):
            if wanted.tracks and _heard(self._tracks):
                self._tracks.publish(building.build("sensor_msgs/msg/PointCloud2", wire.cloud(result, frame, names)))
            # Before the first good pose there is nothing to repeat, and an identity would be a lie.
            self._pose_seen = self._pose_seen or bool(result.camera.valid[frame])
            if not self._pose_seen:
                continue
            # What is doubted is withheld where no covariance can say so; diagnostics count it ("poses withheld").
            if result.camera.valid[frame]:
                row = wire.pose_row(invert_pose(wire.scaled_pose(result, frame)))
                self._path.append((int(result.stamps_ns[frame]), row))
                if wanted.tf:
                    fields = wire.transform(result, frame, names)
                    transforms.append(building.build("geometry_msgs/msg/TransformStamped", fields))
            for publisher, pose in ((self._camera_pose, wire.camera_pose), (self._object_pose, wire.object_pose)):
                if wanted.camera and _heard(publisher):
                    fields = pose(result, frame, names)
                    publisher.publish(building.build("geometry_msgs/msg/PoseWithCovarianceStamped", fields))
        while len(self._path) > settings.node.path_length:
            self._path.popleft()
        if transforms:
            self.rivals.sending(transforms)
            self._tf.sendTransform(transforms)
        if wanted.camera and self._path:
            path = tuple(self._path)
            self._offer(self._camera_path, lambda: self._path_message(path, names.object_frame))
        self._planning.offer(result, names, wanted, self._offer, fast=self._fast)
        if wanted.markers and self._marker_is_due(int(result.stamps_ns[-1]), settings.node.markers_rate_hz):
            self._offer(self._markers, lambda: self._markers_message(result, names))

    def _marker_is_due(self, stamp_ns: int, rate_hz: float) -> bool:
        last = self._last_marker_ns
        if last is not None and 0 <= stamp_ns - last < 1e9 / rate_hz:
            return False
        self._last_marker_ns = stamp_ns
        return True

    def _path_message(self, path: tuple[tuple[int, np.ndarray], ...], object_frame: str) -> Any:
        """The camera's way in the object's frame."""
        args = object_frame, np.array([stamp for stamp, _ in path]), np.array([row for _, row in path])
        return cdr.path(*args) if self._fast else building.build("nav_msgs/msg/Path", wire.path(*args))

    def _markers_message(self, result: WindowResult, names: wire.Names) -> Any:
        """The mesh at the window's last frame."""
        vertices = result.vertices[-1] * np.float32(result.scale)
        points, colors = wire.shaded_triangles(vertices, result.faces, result.vertex_colors)
        args = int(result.stamps_ns[-1]), names.object_frame, "mesh", names.object_id, points, colors
        if self._fast:
            return cdr.marker_array(*args)
        return building.build("visualization_msgs/msg/MarkerArray", wire.markers(*args))


def _heard(publisher: Any) -> bool:
    """Whether someone listens now."""
    return bool(publisher.get_subscription_count() > 0)
