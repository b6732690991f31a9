"""What ``attnchain view --live`` listens to: a node's windows and poses, and the camera's images, into footage."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from attnchain_ros.msg import AnimatedMesh, Tracks

from ..view.footage import Footage
from ..view.messages import IMAGES, INFO, MESH, POSE, TRACKS, MessageTaker
from . import qos

COMPRESSED = "/compressed"


class LiveFeed:
    """Subscribes in a ROS context and a thread of its own; use it as a context manager.

    Args:
        footage: gets everything that is heard.
        node: name of the node, with its namespace.
        image: topic of the images; one that ends in ``/compressed`` is taken for compressed ones.
        camera_info: topic of their calibration.
        object_id: of the object; None = that of the first mesh.
        domain: ROS domain; None = the environment's.
    """

    def __init__(
        self,
        footage: Footage,
        *,
        node: str = "attnchain_node",
        image: str = "image",
        camera_info: str = "camera_info",
        object_id: int | None = None,
        domain: int | None = None,
    ) -> None:
        taker = MessageTaker(footage, object_id)
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node("attnchain_view", context=self._context, start_parameter_services=False)
        small = image.endswith(COMPRESSED)
        # Best effort hears every driver; a page that misses an image misses little.
        pictures = qos.camera_input(lossless=False)
        wanted: tuple[tuple[type[Any], str, str, Any], ...] = (
            (AnimatedMesh, MESH, f"{node}/mesh", qos.window_output()),
            (Tracks, TRACKS, f"{node}/tracks_window", qos.window_output()),
            (PoseWithCovarianceStamped, POSE, f"{node}/camera_pose", qos.burst_output()),
            (CameraInfo, INFO, camera_info, pictures),
            (CompressedImage if small else Image, IMAGES[small], image, pictures),
        )
        for message_type, kind, topic, profile in wanted:

            def take(message: Any, kind: str = kind) -> None:
                taker.take(kind, message)

            self._node.create_subscription(message_type, topic, take, profile)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name="live-feed", daemon=True)

    def __enter__(self) -> LiveFeed:
        """Begin to listen."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the graph."""
        self._executor.shutdown(timeout_sec=2.0)
        self._thread.join(timeout=2.0)
        self._node.destroy_node()
        self._context.try_shutdown()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return
