"""Noticing another node of this name, or another sender of the object's TF frame; neither is an error to ROS."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from geometry_msgs.msg import TransformStamped
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from tf2_msgs.msg import TFMessage

_TF = "/tf"
_LISTEN_S = 30.0
_REMEMBERED = 4096


class RivalWatch:
    """Looks for rivals; any thread.

    A robot's /tf is busy, so it is listened to only for ``_LISTEN_S`` after those who publish it have changed, and only
    messages that hold the frame's name are opened.

    Args:
        node: listens and asks the graph.
        complain: told once of each rival.
    """

    def __init__(self, node: Node, complain: Callable[[str], object]) -> None:
        self._node = node
        self._complain = complain
        self._group = MutuallyExclusiveCallbackGroup()
        self._lock = threading.Lock()
        self._frames: frozenset[str] = frozenset()
        self._sent: deque[tuple[Any, ...]] = deque(maxlen=_REMEMBERED)
        self._subscription: Any = None
        self._publishers: frozenset[bytes] | None = None
        self._until_s = 0.0
        self._told: set[str] = set()

    def sending(self, transforms: Sequence[TransformStamped]) -> None:
        """To be called before the node sends transforms of its own."""
        with self._lock:
            self._sent.extend(_key(transform) for transform in transforms)

    def look(self, frames: Iterable[str], now_s: float) -> None:
        """To be called now and then.

        Args:
            frames: the objects' TF frames.
            now_s: of a steady clock.
        """
        self._look_for_name()
        publishers = frozenset(bytes(found.endpoint_gid) for found in self._node.get_publishers_info_by_topic(_TF))
        with self._lock:
            self._frames = frozenset(frames)
            if publishers != self._publishers:
                self._publishers, self._until_s = publishers, now_s + _LISTEN_S
        if now_s < self._until_s and self._subscription is None:
            profile = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
            self._subscription = self._node.create_subscription(
                TFMessage, _TF, self._on_tf, profile, callback_group=self._group, raw=True
            )
        elif now_s >= self._until_s:
            self.close()

    def close(self) -> None:
        """Stop listening."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            self._node.destroy_subscription(subscription)

    def _look_for_name(self) -> None:
        ours = (self._node.get_name(), self._node.get_namespace())
        found = self._node.get_publishers_info_by_topic(self._node.resolve_topic_name("~/status"))
        if sum((each.node_name, each.node_namespace) == ours for each in found) > 1:
            name = self._node.get_fully_qualified_name()
            self._tell(
                name,
                f"another node is named {name} too: their topics, services and parameters cannot be told apart; "
                "start one of them under another name (--ros-args -r __node:=...)",
            )

    def _on_tf(self, data: bytes, info: Any) -> None:
        with self._lock:
            wanted = [frame for frame in self._frames if frame.encode() + b"\0" in data]
        if not wanted:
            return
        message = deserialize_message(data, TFMessage)
        with self._lock:
            foreign = {
                transform.child_frame_id
                for transform in message.transforms
                if transform.child_frame_id in wanted and _key(transform) not in self._sent
            }
        for frame in sorted(foreign):
            self._tell(
                frame,
                f"{self._sender(info)} sends transforms of {frame} as well: whoever reads TF sees the object jump from "
                "one to the other; give each node its own object_id or object_frame_prefix",
            )

    def _sender(self, info: Any) -> str:
        """Name of the node that sent a message, as far as this ROS distribution tells."""
        found = self._node.get_publishers_info_by_topic(_TF)
        number = (info.get("publisher_gid") or {}).get("data") if isinstance(info, dict) else None
        exact = [each for each in found if number is not None and bytes(each.endpoint_gid) == bytes(number)]
        names = sorted({f"{each.node_namespace.rstrip('/')}/{each.node_name}" for each in exact or found})
        if exact:
            return f"node {names[0]}"
        return f"another node (of those that publish {_TF}: {', '.join(names)})"

    def _tell(self, cause: str, text: str) -> None:
        with self._lock:
            if cause in self._told:
                return
            self._told.add(cause)
        self._complain(text)


def _key(transform: TransformStamped) -> tuple[Any, ...]:
    """What tells our transforms from another node's of the same image."""
    place, turn, stamp = transform.transform.translation, transform.transform.rotation, transform.header.stamp
    numbers = (place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w)
    return (transform.child_frame_id, stamp.sec, stamp.nanosec, *(float(number) for number in numbers))
