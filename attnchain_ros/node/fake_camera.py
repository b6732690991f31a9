"""A clip published as a camera would: image, camera_info, mask and depth with rising stamps at a steady rate."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image

from .. import wire
from ..errors import InputError
from ..stream.config import StreamConfig
from ..stream.frame import Frame
from ..stream.source import FrameSource
from ..stream.windows import clip_frames
from . import qos
from .building import build
from .settling import wait_for_subscribers

_FLUSH_S = 5.0
_IMAGE = "sensor_msgs/msg/Image"


class FakeCamera:
    """The publishers of one camera, with relative names.

    Args:
        node: owner of the publishers.
        frame_id: optical frame named in the messages.
        reliable: offer reliable instead of best-effort delivery.
    """

    def __init__(self, node: Node, frame_id: str, *, reliable: bool) -> None:
        self._node = node
        self._frame_id = frame_id
        self._infos = node.create_publisher(CameraInfo, "camera_info", qos.camera_output(reliable=reliable))
        self._masks = node.create_publisher(Image, "mask", qos.camera_output(reliable=reliable))
        self._depths = node.create_publisher(Image, "depth", qos.camera_output(reliable=reliable))
        self._images = node.create_publisher(Image, "image", qos.camera_output(reliable=reliable))
        self._publishers: tuple[Any, ...] = (self._infos, self._masks, self._depths, self._images)

    @property
    def subscribed(self) -> bool:
        """Whether someone listens to the image."""
        return bool(self._images.get_subscription_count() > 0)

    def wait_for_subscribers(self) -> None:
        """Wait, for ever if need be, until someone listens to the image and nobody comes or goes any more."""
        topics = [publisher.topic_name for publisher in self._publishers]
        wait_for_subscribers(self._node, topics, lambda: self.subscribed)

    def publish(self, frame: Frame, stamp_ns: int, intrinsics: np.ndarray | None) -> None:
        """Publish one frame; the image last, so that a node that gets it has the rest already, mostly.

        ``intrinsics``: its [3, 3] K in pixels, or None = uncalibrated.
        """
        at = stamp_ns, self._frame_id
        height, width = frame.image.shape[:2]
        info = wire.camera_info(intrinsics, (height, width), *at)
        self._infos.publish(build("sensor_msgs/msg/CameraInfo", info))
        if frame.mask is not None:
            mask = frame.mask.astype(np.uint8) * np.uint8(255)
            self._masks.publish(build(_IMAGE, wire.image(mask, "mono8", *at)))
        if frame.depth_m is not None:
            depth = frame.depth_m.astype(np.float32)
            self._depths.publish(build(_IMAGE, wire.image(depth, "32FC1", *at)))
        self._images.publish(build(_IMAGE, wire.image(frame.image, "rgb8", *at)))

    def flush(self) -> bool:
        """Wait until reliable subscribers have everything; False if they did not in time."""
        return all([publisher.wait_for_all_acked(Duration(seconds=_FLUSH_S)) for publisher in self._publishers])


def run(
    source: FrameSource,
    config: StreamConfig,
    *,
    rate_hz: float,
    reliable: bool = False,
    loop: bool = False,
    namespace: str = "",
    frame_id: str = "camera_optical_frame",
    intrinsics: np.ndarray | None = None,
    wait_for_subscriber: bool = True,
) -> int:
    """Publish a clip until it ends, or for ever with ``loop``.

    Args:
        source: the clip.
        config: how its frames are read.
        rate_hz: images per second.
        reliable: offer reliable instead of best-effort delivery.
        loop: start again at the end; stamps go on rising.
        namespace: of the topics.
        frame_id: optical frame named in the messages.
        intrinsics: [3, 3] K in pixels, or None = the clip's.
        wait_for_subscriber: publish nothing before someone listens to the image.
    Returns:
        0 when the clip ended or the user interrupted it, 1 when reliable subscribers did not get everything.
    Raises:
        InputError: the clip has no frames.
    """
    context = Context()
    # No handlers of rclpy: an interrupt is Python's own KeyboardInterrupt here.
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("fake_camera", namespace=namespace, context=context)
    log = node.get_logger()
    try:
        camera = FakeCamera(node, frame_id, reliable=reliable)
        if wait_for_subscriber:
            log.info(f"waiting for a subscriber of {node.resolve_topic_name('image')}")
            camera.wait_for_subscribers()
        clip = _Clip(source, config, intrinsics)
        count = _publish_all(node, camera, clip, rate_hz, loop)
        if reliable and not camera.flush():
            log.error(f"published {count} frames, but not all were received within {_FLUSH_S:g} s")
            return 1
        log.info(f"published {count} frames")
        return 0
    except KeyboardInterrupt:
        log.info("interrupted")
        return 0
    finally:
        node.destroy_node()
        context.shutdown()


@dataclass(frozen=True)
class _Clip:
    """Frames with their K, from the start every time."""

    source: FrameSource
    config: StreamConfig
    intrinsics: np.ndarray | None

    def __iter__(self) -> Iterator[tuple[Frame, np.ndarray | None]]:
        for frame, own in clip_frames(self.source, self.config):
            yield frame, own if self.intrinsics is None else self.intrinsics


def _publish_all(node: Node, camera: FakeCamera, clip: _Clip, rate_hz: float, loop: bool) -> int:
    period_ns = round(1e9 / rate_hz)
    first_stamp_ns = node.get_clock().now().nanoseconds
    started = time.monotonic()
    number = late = 0
    while True:
        before = number
        for frame, intrinsics in clip:
            wait_s = started + number / rate_hz - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            else:
                late += wait_s < -1 / rate_hz
            camera.publish(frame, first_stamp_ns + number * period_ns, intrinsics)
            number += 1
        if number == before:
            raise InputError(f"{clip.source.name} has no frames")
        if not loop:
            break
    if late:
        node.get_logger().warning(f"{late} of {number} frames came later than {rate_hz:g} Hz asks for")
    return number
