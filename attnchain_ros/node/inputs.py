"""The node's subscriptions: callbacks that decode, push into the buffer and return."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ..errors import InputError
from ..files.decode import DecodedImage, decode_compressed, decode_image, depth_metres, instance_mask
from . import qos
from .assembly import DepthBook
from .camera import CameraBook, CameraNumbers
from .frame_buffer import Frame, FrameBuffer
from .log_once import LogOnce
from .statistics import Statistics


def stamp_ns(message: Any) -> int:
    """The stamp of a message with a header, in nanoseconds."""
    stamp = message.header.stamp
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def decode_message(message: Image | CompressedImage) -> DecodedImage:
    """The picture in a message.

    Raises:
        InputError: encoding, sizes or bytes cannot be used.
    """
    if isinstance(message, CompressedImage):
        return decode_compressed(message.format, memoryview(message.data))
    return decode_image(
        message.encoding,
        message.height,
        message.width,
        message.step,
        bool(message.is_bigendian),
        memoryview(message.data),
    )


def camera_numbers(message: CameraInfo) -> CameraNumbers:
    """The fields of a CameraInfo that matter."""
    roi = message.roi
    return CameraNumbers(
        width=int(message.width),
        height=int(message.height),
        k=tuple(float(value) for value in message.k),
        p=tuple(float(value) for value in message.p),
        d=tuple(float(value) for value in message.d),
        model=message.distortion_model,
        roi=(int(roi.x_offset), int(roi.y_offset), int(roi.width), int(roi.height)),
        binning=(int(message.binning_x), int(message.binning_y)),
        frame_id=message.header.frame_id,
    )


@dataclass
class _Input:
    """One topic: what is subscribed and with which profile."""

    topic: str
    message_type: type[Any]
    callback: Callable[[Any], None]
    group: MutuallyExclusiveCallbackGroup
    latched: bool
    subscription: Subscription[Any] | None = None
    profile: QoSProfile | None = None


class Inputs:
    """Subscribes to image, mask, camera_info and depth while the node is active.

    Args:
        node: owner of the subscriptions.
        buffer, cameras, depths, statistics: where things go.
        instance_id: present value of ``mask_instance_id``.
        lossless: present value of "policy is block".
        compressed: read ``image/compressed`` instead of ``image``.
        clock: seconds of a steady clock.
    """

    def __init__(
        self,
        node: Node,
        buffer: FrameBuffer,
        cameras: CameraBook,
        depths: DepthBook,
        statistics: Statistics,
        complain: LogOnce,
        *,
        instance_id: Callable[[], int],
        lossless: Callable[[], bool],
        compressed: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node = node
        self._buffer = buffer
        self._cameras = cameras
        self._depths = depths
        self._statistics = statistics
        self._complain = complain
        self._instance_id = instance_id
        self._lossless = lossless
        self._clock = clock
        self._lock = threading.Lock()  # transitions and the timer that follows publishers run in different threads
        # Images and masks have groups of their own: with policy block either may wait for the other.
        image_group, mask_group, other_group = (MutuallyExclusiveCallbackGroup() for _ in range(3))
        image_topic, image_type = ("image/compressed", CompressedImage) if compressed else ("image", Image)
        self._inputs = [
            _Input("camera_info", CameraInfo, self._on_camera_info, other_group, latched=True),
            _Input("depth", Image, self._on_depth, other_group, latched=False),
            _Input("mask", Image, self._on_mask, mask_group, latched=True),
            _Input(image_topic, image_type, self._on_image, image_group, latched=False),
        ]

    @property
    def image(self) -> _Input:
        """The image input, for the watchdog."""
        return self._inputs[-1]

    @property
    def mask(self) -> _Input:
        """The mask input, for the watchdog."""
        return self._inputs[2]

    def subscribe(self) -> None:
        """Create all subscriptions."""
        with self._lock:
            for entry in self._inputs:
                self._create(entry, self._wanted(entry))

    def unsubscribe(self) -> None:
        """Destroy all subscriptions."""
        with self._lock:
            for entry in self._inputs:
                if entry.subscription is not None:
                    self._node.destroy_subscription(entry.subscription)
                    entry.subscription = None

    def follow_publishers(self) -> None:
        """Subscribe anew where the publishers that have come offer something else; an override by the user stays."""
        with self._lock:
            for entry in self._inputs:
                wanted = self._wanted(entry)
                if entry.subscription is None or self._overridden(entry) or _same(wanted, entry.profile):
                    continue
                self._node.get_logger().info(
                    f"{entry.subscription.topic_name}: subscribing with {qos.describe(wanted)}"
                )
                self._node.destroy_subscription(entry.subscription)
                self._create(entry, wanted)

    def _wanted(self, entry: _Input) -> QoSProfile:
        # The lossless profile is for everything that has to meet at a stamp.
        profile = qos.camera_input(lossless=self._lossless())
        publishers = self._node.get_publishers_info_by_topic(self._node.resolve_topic_name(entry.topic))
        return qos.fit_publishers(profile, publishers, latched=entry.latched)

    def _overridden(self, entry: _Input) -> bool:
        name = f"qos_overrides.{self._node.resolve_topic_name(entry.topic)}.subscription."
        return any(key.startswith(name) for key in getattr(self._node, "_parameter_overrides", {}))

    def _create(self, entry: _Input, profile: QoSProfile) -> None:
        entry.profile = QoSProfile(
            history=profile.history, depth=profile.depth, reliability=profile.reliability, durability=profile.durability
        )
        # Overrides are declared as parameters at the first creation and would hold its values for ever: only where
        # used.
        options = {"qos_overriding_options": qos.overriding()} if self._overridden(entry) else {}
        entry.subscription = self._node.create_subscription(
            entry.message_type, entry.topic, entry.callback, profile, callback_group=entry.group, **options
        )

    def _on_image(self, message: Image | CompressedImage) -> None:
        started = self._clock()
        try:
            decoded = decode_message(message)
            if decoded.rgb is None:
                raise InputError(
                    f"images of encoding {getattr(message, 'encoding', '')!r} hold no picture: publish colours"
                )
        except InputError as error:
            self._buffer.count_refused("undecodable")
            self._complain(f"image: {error}", f"image refused: {error}")
            self._statistics.image(started, self._clock() - started)
            return
        frame = Frame(stamp_ns(message), message.header.frame_id, decoded.rgb, decoded.mask, arrived_s=started)
        self._statistics.image(started, self._clock() - started)
        self._buffer.push(frame)  # after the measurement: with policy block this waits on purpose

    def _on_mask(self, message: Image) -> None:
        try:
            mask = instance_mask(decode_message(message).raw, self._instance_id())
        except InputError as error:
            self._complain(f"mask: {error}", f"mask refused: {error}")
            return
        self._buffer.push_mask(stamp_ns(message), mask)

    def _on_depth(self, message: Image) -> None:
        try:
            self._depths.add(stamp_ns(message), depth_metres(decode_message(message).raw))
        except InputError as error:
            self._complain(f"depth: {error}", f"depth refused: {error}")

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._cameras.update(camera_numbers(message))


def _same(first: QoSProfile, second: QoSProfile | None) -> bool:
    return second is not None and (first.reliability, first.durability, first.history) == (
        second.reliability,
        second.durability,
        second.history,
    )
