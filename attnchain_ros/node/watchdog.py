"""Why nothing comes: what a user needs to hear when the node waits in vain."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import QoSProfile

from . import qos

_IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
_MOST_LISTED = 8


def explain_silence(node: Node, topic: str, message_type: str, profile: QoSProfile | None) -> str:
    """Say why no message may have come on a topic.

    Args:
        node: asks the graph.
        topic: as subscribed, relative or absolute.
        message_type: such as ``sensor_msgs/msg/Image``.
        profile: what was subscribed with, None = not subscribed.
    """
    name = node.resolve_topic_name(topic)
    publishers = node.get_publishers_info_by_topic(name)
    if not publishers:
        found = [
            f"{other} ({types[0]}; {_offers(node, other)})"
            for other, types in sorted(node.get_topic_names_and_types())
            if types[0] in _IMAGE_TYPES and other != name and node.count_publishers(other)
        ]
        listed = ", ".join(found[:_MOST_LISTED]) if found else "none"
        return (
            f"nothing publishes {name}. Image topics with publishers: {listed}. "
            f"Remap it, for instance: --ros-args -r {topic}:=/camera/image_raw"
        )
    others = sorted({endpoint.topic_type for endpoint in publishers} - {message_type})
    if others:
        return f"{name} is published as {', '.join(others)}, this node reads {message_type}: remap to another topic"
    offers = _offers(node, name)
    if profile is None:
        return f"{name} has {len(publishers)} publisher(s) ({offers}), but this node does not subscribe"
    return (
        f"{name} has {len(publishers)} publisher(s) ({offers}) and this node subscribes with {qos.describe(profile)}, "
        f"but no message came: the publisher may be silent, or the network lose large messages. To ask for something "
        f"else set the parameter qos_overrides.{name}.subscription.reliability"
    )


def _offers(node: Node, name: str) -> str:
    return "; ".join(sorted({qos.describe(info.qos_profile) for info in node.get_publishers_info_by_topic(name)}))
