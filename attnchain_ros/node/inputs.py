"""The node's subscriptions: callbacks that decode, push into the buffer and return."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSPolicyKind, QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ..errors import InputError
from ..stream.camera import camera_numbers, looks_rectified, rectified_text
from ..stream.decode import decode_depth, decode_mask, decode_message, is_jpeg
from ..stream.frame import Calibration, DepthImage, Frame, IdImage, MaskImage, Refused
from ..stream.objects import ALL_OBJECTS, check_ids, instance_ids, instance_mask
from ..stream.several import ObjectStreams
from ..threads import going_first
from . import qos
from .log_once import LogOnce
from .losses import LossWatch
from .parameters import NodeConfig
from .statistics import Statistics


def stamp_ns(message: Any) -> int:
    """The stamp of a message with a header, in nanoseconds."""
    stamp = message.header.stamp
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


@dataclass(eq=False)
class Input:
    """One topic: what is subscribed and with which profile.

    Attributes:
        topic: relative name.
        message_type, callback, group: as for ``create_subscription``.
        latched: the last sample of latched publishers is wanted (masks, camera_info).
        subscription: None while the node is not active.
        leaving: the subscription before, kept until the new one has found its publishers; both hear the same then.
        heard_ns: newest stamp since there are two.
        asked: profile before the user's overrides; profile: what is really subscribed with.
        told: profiles that the log has named.
    """

    topic: str
    message_type: type[Any]
    callback: Callable[[Any], None]
    group: MutuallyExclusiveCallbackGroup
    latched: bool
    subscription: Subscription[Any] | None = None
    leaving: Subscription[Any] | None = None
    heard_ns: int = 0
    asked: QoSProfile | None = None
    profile: QoSProfile | None = None
    told: set[str] = field(default_factory=set)

    @property
    def type_name(self) -> str:
        """Such as ``sensor_msgs/msg/Image``."""
        return f"sensor_msgs/msg/{self.message_type.__name__}"

    def hear(self, message: Any) -> None:
        """Pass a message on; while there are two subscriptions, only once and in order."""
        if self.leaving is not None:
            stamp = stamp_ns(message)
            if 0 < stamp <= self.heard_ns:
                return
            self.heard_ns = stamp
        self.callback(message)


class Inputs:
    """Subscribes to image, mask, camera_info and depth while the node is active.

    Args:
        node: owner of the subscriptions.
        streams, statistics: where things go.
        complain: tells what cannot be used.
        options: the node's options now; transports, foreground and use_depth are read once.
        clock: seconds of a steady clock.
        watch: called with every image that was decoded, before the streams; must return at once.
    """

    def __init__(
        self,
        node: Node,
        streams: ObjectStreams,
        statistics: Statistics,
        complain: LogOnce,
        options: Callable[[], NodeConfig],
        clock: Callable[[], float] = time.monotonic,
        *,
        watch: Callable[[Frame], None] = lambda frame: None,
    ) -> None:
        self._node = node
        self._watch = watch
        self._streams = streams
        self._statistics = statistics
        self._complain = complain
        self._options = options
        self._clock = clock
        self._mask_seen: int | None = None
        fixed = options()
        self._lock = threading.Lock()  # transitions and the timer that follows publishers run in different threads
        # Images and masks have groups of their own: with policy block either may wait for the other.
        image_group, mask_group, other_group = (MutuallyExclusiveCallbackGroup() for _ in range(3))
        image_topic, image_type = (
            ("image/compressed", CompressedImage) if fixed.image_transport == "compressed" else ("image", Image)
        )
        mask_topic, mask_type = (
            ("mask/compressed", CompressedImage) if fixed.mask_transport == "compressed" else ("mask", Image)
        )
        self.image = Input(image_topic, image_type, self._on_image, image_group, latched=False)
        self.mask = Input(mask_topic, mask_type, self._on_mask, mask_group, latched=True)
        self._inputs = [
            Input("camera_info", CameraInfo, self._on_camera_info, other_group, latched=True),
            *([Input("depth", Image, self._on_depth, other_group, latched=False)] if fixed.use_depth else []),
            *([self.mask] if fixed.foreground == "none" else []),  # not where the node makes masks itself
            self.image,
        ]
        self.losses = LossWatch(image_topic, ("camera_info", mask_topic))

    def subscribe(self) -> None:
        """Create all subscriptions."""
        topic = self._node.resolve_topic_name(self.image.topic)
        if looks_rectified(topic) and not self._options().image_rectified:
            self._complain("looks_rectified", rectified_text(topic, "image_rectified"))
        with self._lock:
            for entry in self._inputs:
                self._create(entry, self._wanted(entry))

    def unsubscribe(self) -> None:
        """Destroy all subscriptions."""
        self.losses.clear()
        with self._lock:
            for entry in self._inputs:
                self._part(entry)
                if entry.subscription is not None:
                    self._node.destroy_subscription(entry.subscription)
                    entry.subscription = entry.asked = entry.profile = None

    def follow_publishers(self) -> None:
        """Subscribe anew where the publishers that have come offer something else; what the user overrode stays.

        Where all publishers have gone nothing is done: the same ones mostly come back.
        """
        with self._lock:
            for entry in self._inputs:
                if entry.subscription is None:
                    continue
                self._part(entry)
                wanted = self._wanted(entry)
                if qos.same(wanted, entry.asked, besides=self._overridden(entry)):
                    continue
                # Both for a while: an image that comes before the new one has found its publisher is not lost.
                entry.heard_ns, entry.leaving = 0, entry.subscription
                self._create(entry, wanted)
                text = qos.describe(entry.profile or wanted)
                if text not in entry.told:  # a publisher that comes and goes must not fill the log
                    entry.told.add(text)
                    self._node.get_logger().info(f"{entry.subscription.topic_name}: subscribing with {text}")

    def _part(self, entry: Input) -> None:
        """Give up the subscription before."""
        leaving, entry.leaving = entry.leaving, None
        if leaving is not None:
            self._node.destroy_subscription(leaving)

    def _wanted(self, entry: Input) -> QoSProfile:
        # The lossless profile is for everything that has to meet at a stamp.
        profile = qos.camera_input(
            lossless=self._options().overflow_policy == "block",
            depth=qos.IMAGE_DEPTH if entry is self.image else qos.COMPANION_DEPTH,
        )
        publishers = self._node.get_publishers_info_by_topic(self._node.resolve_topic_name(entry.topic))
        if not publishers and entry.asked is not None and profile.history == entry.asked.history:
            return entry.asked
        return qos.fit_publishers(profile, publishers, latched=entry.latched)

    def _overridden(self, entry: Input) -> list[QoSPolicyKind]:
        """The policies that the user set for this topic."""
        name = f"qos_overrides.{self._node.resolve_topic_name(entry.topic)}.subscription."
        given = getattr(self._node, "_parameter_overrides", {})
        return [kind for kind in qos.OVERRIDABLE if f"{name}{kind.name.lower()}" in given]

    def _create(self, entry: Input, profile: QoSProfile) -> None:
        entry.asked = qos.copy(profile)
        # Only those that the user gave: rclpy declares each as a parameter, which would hold the first value for ever.
        kinds = self._overridden(entry)
        options: dict[str, Any] = {"qos_overriding_options": QoSOverridingOptions(kinds)} if kinds else {}
        entry.subscription = self._node.create_subscription(
            entry.message_type, entry.topic, partial(self._hear, entry), profile, callback_group=entry.group, **options
        )
        entry.profile = profile  # rclpy has put the overrides in

    def _hear(self, entry: Input, message: Any) -> None:
        self.losses.hear(entry.topic, stamp_ns(message), self._clock())
        entry.hear(message)

    def _on_image(self, message: Image | CompressedImage) -> None:
        with going_first():
            taken = self._take(message)
        self._streams.take_in(taken)  # after the measurement: with policy block this waits on purpose

    def _take(self, message: Image | CompressedImage) -> Frame | Refused:
        """What an image is to the streams."""
        started = self._clock()
        try:
            decoded = decode_message(message)
            if decoded.rgb is None:
                raise InputError(
                    f"images of encoding {getattr(message, 'encoding', '')!r} hold no picture: publish colours"
                )
        except InputError as error:
            # Without the numbers in the text, which may differ from frame to frame.
            self._complain(f"image: {_kind_of(message)} {type(error).__name__}", f"image refused: {error}")
            self._statistics.image(started, self._clock() - started)
            return Refused(str(error), frame=True)
        frame_id, stamp = message.header.frame_id, stamp_ns(message)
        if stamp == 0:
            stamp = int(self._node.get_clock().now().nanoseconds)
            text = "images have no stamps: the time of their arrival is used, and the newest mask for each"
            self._complain("no_stamps", text)
        frame = Frame(decoded.rgb, decoded.mask, stamp, frame_id=frame_id, arrived_s=started)
        self._watch(frame)
        self._statistics.image(started, self._clock() - started)
        return frame

    def _on_mask(self, message: Image | CompressedImage) -> None:
        try:
            if self._streams.several:
                self._streams.take_in(IdImage(check_ids(decode_mask(message, ALL_OBJECTS)), stamp_ns(message)))
                return
            instance = self._options().mask_instance_id
            raw = decode_mask(message, instance)
            mask = instance_mask(raw, instance)
        except InputError as error:
            self._complain(f"mask: {_kind_of(message)} {type(error).__name__}", f"mask refused: {error}")
            return
        self._tell_once(message, raw, instance)
        self._streams.take_in(MaskImage(mask, stamp_ns(message)))

    def _tell_once(self, message: Image | CompressedImage, raw: np.ndarray, instance: int) -> None:
        """What is taken for granted with the first mask; looked at once, since it costs as much as decoding."""
        if self._mask_seen == instance:
            return
        self._mask_seen = instance
        if isinstance(message, CompressedImage) and is_jpeg(message.data):
            self._complain("mask_jpeg", "masks come as JPEG, which blurs their edges: cut at half; publish PNG")
        ids = instance_ids(raw) if not instance else []
        if len(ids) > 1:
            text = f"masks hold ids {', '.join(map(str, ids))}: all are taken as one object; set mask_instance_id"
            self._complain("mask_ids", text)

    def _on_depth(self, message: Image) -> None:
        try:
            self._streams.take_in(DepthImage(decode_depth(message), stamp_ns(message), message.header.frame_id))
        except InputError as error:
            self._complain(f"depth: {_kind_of(message)} {type(error).__name__}", f"depth refused: {error}")

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._streams.take_in(Calibration(camera_numbers(message), stamp_ns(message)))


def _kind_of(message: Image | CompressedImage) -> str:
    """Encoding of an image, or format of a compressed one."""
    return str(message.format if isinstance(message, CompressedImage) else message.encoding)
