"""Sending TF: the broadcasters of ``tf2_ros``, with its topics and QoS."""

from __future__ import annotations

from collections.abc import Sequence

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile
from tf2_msgs.msg import TFMessage


def _listed(transform: TransformStamped | Sequence[TransformStamped]) -> list[TransformStamped]:
    return [transform] if isinstance(transform, TransformStamped) else list(transform)


class TransformBroadcaster:
    """Sends transforms that change: reliable, volatile, depth 100 on ``/tf``, as tf2_ros does."""

    def __init__(self, node: Node, qos: QoSProfile | None = None) -> None:
        chosen = qos or QoSProfile(depth=100, durability=DurabilityPolicy.VOLATILE, history=HistoryPolicy.KEEP_LAST)
        self.pub_tf = node.create_publisher(TFMessage, "/tf", chosen)

    def sendTransform(self, transform: TransformStamped | Sequence[TransformStamped]) -> None:
        """Send one transform or several, stamped by the caller."""
        self.pub_tf.publish(TFMessage(transforms=_listed(transform)))


class StaticTransformBroadcaster:
    """Sends transforms that stay: latched (transient local, depth 1) on ``/tf_static``, as tf2_ros does.

    A latched topic keeps one message per sender, so each message carries all transforms sent so far, the newest per
    child frame.
    """

    def __init__(self, node: Node, qos: QoSProfile | None = None) -> None:
        chosen = qos or QoSProfile(
            depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, history=HistoryPolicy.KEEP_LAST
        )
        self.pub_tf = node.create_publisher(TFMessage, "/tf_static", chosen)
        self._by_child: dict[str, TransformStamped] = {}

    def sendTransform(self, transform: TransformStamped | Sequence[TransformStamped]) -> None:
        """Add or replace one transform or several, and send all."""
        for item in _listed(transform):
            self._by_child[item.child_frame_id] = item
        self.pub_tf.publish(TFMessage(transforms=list(self._by_child.values())))
