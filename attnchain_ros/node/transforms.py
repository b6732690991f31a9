"""Sending TF: tf2_ros's broadcaster where there is one; ROS 2 from Python wheels has none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from tf2_msgs.msg import TFMessage


class PlainBroadcaster:
    """As tf2_ros's: reliable, volatile, depth 100 on ``/tf``."""

    def __init__(self, node: Node) -> None:
        self.pub_tf = node.create_publisher(TFMessage, "/tf", QoSProfile(depth=100))

    def sendTransform(self, transform: Sequence[TransformStamped]) -> None:
        """Send transforms, stamped by the caller."""
        self.pub_tf.publish(TFMessage(transforms=list(transform)))


def transform_broadcaster(node: Node) -> Any:
    """What sends a node's transforms; its publisher is ``pub_tf``."""
    try:
        from tf2_ros import TransformBroadcaster
    except ImportError:
        return PlainBroadcaster(node)
    return TransformBroadcaster(node)
