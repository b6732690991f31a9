"""The node's publishers: what a window's result becomes, built only for topics that someone listens to.

Latched topics without subscribers keep the way to build their last message; whoever comes later gets it then.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
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
from .standing import StandingOutputs
from .transforms import transform_broadcaster

_MARKER = "mesh"
"""Namespace of the markers."""
_OBJECT_POSE = "~/object_pose"


@dataclass
class _Shown:
    """What was published of one object: the camera's way, whether there was a pose, when a marker was last sent."""

    path: deque[tuple[int, np.ndarray]] = field(default_factory=deque)
    pose_seen: bool = False
    marker_ns: int | None = None

    def marker_is_due(self, stamp_ns: int, rate_hz: float) -> bool:
        """Whether a marker may be sent; it is taken to be."""
        last = self.marker_ns
        if last is not None and 0 <= stamp_ns - last < 1e9 / rate_hz:
            return False
        self.marker_ns = stamp_ns
        return True


class Outputs:
    """Creates the publishers and publishes windows; thread-safe.

    Objects share the topics whose messages say whose they are; for the others each has its own (``wire.Names.topic``),
    made with its first window.

    Args:
        node: owner of the publishers.
        objects: that may be there at once.
        fixed: there is a frame that stands still.
    Attributes:
        rivals: looks for other senders of the same frames.
    """

    def __init__(self, node: LifecycleNode, objects: int = 1, *, fixed: bool = False) -> None:
        self._node = node
        self._objects = objects
        self._fixed = fixed
        self._shown: dict[int, _Shown] = {}
        self._lock = threading.Lock()
        self._kept: dict[tuple[Any, int], Callable[[], Any]] = {}
        self._made: dict[str, Any] = {}
        self._complete = False
        self._tf: Any = None
        self.rivals = RivalWatch(node, self._warn)
        try:
            self._create()
        except Exception:  # for instance an override of QoS that does not exist: nothing is left half made
            self.destroy()
            raise
        self._complete = True
        difference = building.check_cdr()
        self._fast = not difference
        if difference:
            self._warn(f"markers and paths are built from Python objects, which is slow: {difference}")

    def _create(self) -> None:
        objects, burst = self._objects, qos.burst_output
        self._mesh = self._publisher(AnimatedMesh, "~/mesh", qos.window_output(objects))
        self._tracks = self._publisher(PointCloud2, "~/tracks", burst())
        self._tracks_window = self._publisher(Tracks, "~/tracks_window", qos.window_output(objects))
        self._camera_pose = self._publisher(PoseWithCovarianceStamped, "~/camera_pose", burst())
        if objects == 1:
            self._publisher(PoseWithCovarianceStamped, _OBJECT_POSE, burst())
        self._camera_path = self._publisher(Path, "~/camera_path", qos.latched_output(objects))
        self._markers = self._publisher(MarkerArray, "~/markers", qos.latched_output(objects))
        self._planning = Planning(self._publisher, lambda text: self._node.get_logger().info(text), objects)
        self._standing = StandingOutputs(self._publisher, _heard, objects) if self._fixed else None
        self._tf = transform_broadcaster(self._node)

    def _warn(self, text: str) -> None:
        self._node.get_logger().warning(text)

    def _publisher(self, message_type: type[Any], topic: str, profile: Any) -> Any:
        """The publisher of a topic, made when it is first asked for."""
        found = self._made.get(topic)
        if found is None:
            found = self._made[topic] = own_publisher(self._node, message_type, topic, profile, active=self._complete)
        return found

    def destroy(self) -> None:
        """Remove all publishers."""
        self.rivals.close()
        for publisher in self._made.values():
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
            for key in [key for key in self._kept if _heard(key[0])]:
                key[0].publish(self._kept.pop(key)())

    def forget(self, settings: NodeSettings) -> None:
        """An object is gone: take away its marker and the topics that are its own.

        Args:
            settings: of the object.
        """
        names = settings.names("")
        with self._lock:
            self._shown.pop(names.object_id, None)
            if self._standing is not None:
                self._standing.forget(names.object_id)
            self._kept = {key: build for key, build in self._kept.items() if key[1] != names.object_id}
            if _heard(self._markers):
                now_ns = int(self._node.get_clock().now().nanoseconds)
                fields = wire.no_marker(now_ns, names.object_frame, _MARKER, names.object_id)
                self._markers.publish(building.build("visualization_msgs/msg/MarkerArray", fields))
            own = names.topic("")
            for topic in [topic for topic in self._made if topic.startswith(own)]:
                self._node.destroy_lifecycle_publisher(self._made.pop(topic))

    def _offer(self, publisher: Any, object_id: int, build: Callable[[], Any]) -> None:
        if _heard(publisher):
            self._kept.pop((publisher, object_id), None)
            publisher.publish(build())
        else:
            self._kept[publisher, object_id] = build

    def _publish(self, result: WindowResult, camera: CameraModel, camera_frame: str, settings: NodeSettings) -> None:
        wanted = settings.node.publish
        names = settings.names(camera_frame)
        shown = self._shown.setdefault(names.object_id, _Shown())
        if result.index == 0:
            shown.path.clear()
            shown.pose_seen = False

        def offer(publisher: Any, build: Callable[[], Any]) -> None:
            self._offer(publisher, names.object_id, build)

        if wanted.mesh:
            offer(self._mesh, lambda: building.build("attnchain_ros/msg/AnimatedMesh", wire.mesh(result, names)))
        if wanted.tracks_window:

            def tracks_window() -> Tracks:
                points_px = camera.distort_points(result.tracks.points_px)
                return building.build("attnchain_ros/msg/Tracks", wire.tracks(result, points_px, names))

            offer(self._tracks_window, tracks_window)
        self._publish_frames(result, names, settings, shown)
        if wanted.camera and shown.path:
            path = tuple(shown.path)
            offer(self._camera_path, lambda: self._path_message(path, names.object_frame))
        if self._standing is not None:
            self._standing.publish(result, names, settings.node, offer, fast=self._fast)
        self._planning.offer(result, names, wanted, offer, fast=self._fast)
        if wanted.markers and shown.marker_is_due(int(result.stamps_ns[-1]), settings.node.markers_rate_hz):
            offer(self._markers, lambda: self._markers_message(result, names))

    def _publish_frames(self, result: WindowResult, names: wire.Names, settings: NodeSettings, shown: _Shown) -> None:
        """What goes out for each frame: cloud, poses, TF."""
        wanted = settings.node.publish
        object_pose = self._publisher(PoseWithCovarianceStamped, names.topic("object_pose"), qos.burst_output())
        transforms = []
        # A shared frame was published with its first window.
        for frame in range(int(result.shared_first), result.frames):
            if wanted.tracks and _heard(self._tracks):
                self._tracks.publish(building.build("sensor_msgs/msg/PointCloud2", wire.cloud(result, frame, names)))
            # Before the first good pose there is nothing to repeat, and an identity would be a lie.
            shown.pose_seen = shown.pose_seen or bool(result.camera.valid[frame])
            if not shown.pose_seen:
                continue
            # What is doubted is withheld where no covariance can say so; diagnostics count it ("poses withheld").
            if result.camera.valid[frame]:
                row = wire.pose_row(invert_pose(wire.scaled_pose(result, frame)))
                shown.path.append((int(result.stamps_ns[frame]), row))
                if wanted.tf:
                    fields = wire.transform(result, frame, names)
                    transforms.append(building.build("geometry_msgs/msg/TransformStamped", fields))
            for publisher, pose in ((self._camera_pose, wire.camera_pose), (object_pose, wire.object_pose)):
                if wanted.camera and _heard(publisher):
                    fields = pose(result, frame, names)
                    publisher.publish(building.build("geometry_msgs/msg/PoseWithCovarianceStamped", fields))
        while len(shown.path) > settings.node.path_length:
            shown.path.popleft()
        if transforms:
            self.rivals.sending(transforms)
            self._tf.sendTransform(transforms)

    def _path_message(self, path: tuple[tuple[int, np.ndarray], ...], object_frame: str) -> Any:
        """The camera's way in the object's frame."""
        args = object_frame, np.array([stamp for stamp, _ in path]), np.array([row for _, row in path])
        return cdr.path(*args) if self._fast else building.build("nav_msgs/msg/Path", wire.path(*args))

    def _markers_message(self, result: WindowResult, names: wire.Names) -> Any:
        """The mesh at the window's last frame."""
        vertices = result.vertices[-1] * np.float32(result.scale)
        points, colors = wire.shaded_triangles(vertices, result.faces, result.vertex_colors)
        args = int(result.stamps_ns[-1]), names.object_frame, _MARKER, names.object_id, points, colors
        if self._fast:
            return cdr.marker_array(*args)
        return building.build("visualization_msgs/msg/MarkerArray", wire.markers(*args))


def own_publisher(node: LifecycleNode, message_type: type[Any], topic: str, profile: Any, *, active: bool) -> Any:
    """A publisher that follows the node's transitions; ``active``: the node has been activated already."""
    found = node.create_lifecycle_publisher(message_type, topic, profile, qos_overriding_options=qos.overriding())
    if active:
        found.on_activate(None)  # type: ignore[arg-type]
    return found


def _heard(publisher: Any) -> bool:
    """Whether someone listens now."""
    return bool(publisher.get_subscription_count() > 0)
