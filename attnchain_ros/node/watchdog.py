"""Why nothing comes: what a user needs to hear when the node waits in vain."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy

from . import qos
from .inputs import Input
from .losses import Loss, explain_loss

_IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
_MOST_LISTED = 8


def explain_silence(node: Node, entry: Input, lost: str = "", *, heard: bool = False) -> str:
    """Say why no message may have come on a topic: its publishers, their types and QoS, and what to set.

    Args:
        node: asks the graph.
        entry: what the node reads.
        lost: that messages are lost on the way, for topics that should come.
        heard: messages came before.
    """
    name = node.resolve_topic_name(entry.topic)
    publishers = node.get_publishers_info_by_topic(name)
    if not publishers:
        return _explain_no_publisher(node, entry, name)
    count = f"{len(publishers)} publisher{'' if len(publishers) == 1 else 's'}"
    others = sorted({endpoint.topic_type for endpoint in publishers} - {entry.type_name})
    if len(others) == len({endpoint.topic_type for endpoint in publishers}):
        return f"{name} is published as {', '.join(others)}, this node reads {entry.type_name}: remap to another topic"
    offers = _offers(node, name)
    if entry.profile is None:
        return f"{name} has {count} ({offers}), but this node does not subscribe"
    asked = qos.describe(entry.profile)
    wrong = qos.mismatches(entry.profile, [endpoint.qos_profile for endpoint in publishers])
    if wrong:
        keys = " and ".join(f"qos_overrides.{name}.subscription.{policy}" for policy in wrong)
        return (
            f"{name} has {count} ({offers}), but this node asks for {asked}, which they do not offer: "
            f"leave out the override {keys}, or set it to what they offer"
        )
    if lost:
        return lost
    if heard:
        return f"messages came on {name} and stopped, though it has {count} ({offers}): it may be paused or too slow"
    return (
        f"{name} has {count} ({offers}) and this node subscribes with {asked}, but no message came: the publisher may "
        f"be silent, or the network lose large messages. To ask for something else set the parameter "
        f"qos_overrides.{name}.subscription.reliability"
    )


def explain_losses(node: Node, entry: Input, loss: Loss | None) -> str:
    """Say what is lost on the way and what helps, "" = nothing is."""
    if loss is None or entry.profile is None:
        return ""
    reliable = entry.profile.reliability == ReliabilityPolicy.RELIABLE
    return explain_loss(loss, node.resolve_topic_name(entry.topic), reliable, entry.topic.endswith("compressed"))


def explain_missing_masks(node: Node, entry: Input, nearest_s: float | None, tolerance_s: float) -> str:
    """Say why images get no masks.

    Args:
        node: asks the graph.
        entry: what the node reads masks from.
        nearest_s: seconds between the newest image's stamp and the nearest mask's, None = no mask came.
        tolerance_s: the largest difference that is accepted.
    """
    if nearest_s is None:
        return (
            explain_silence(node, entry)
            + ". Without any mask node set foreground to sam2 and click on the object, or to grabcut "
            "(docs/troubleshooting.md tells when that fails)"
        )
    name = node.resolve_topic_name(entry.topic)
    return (
        f"masks come on {name}, but the nearest one is {nearest_s:.3f} s away from the newest image "
        f"(mask_tolerance_s is {tolerance_s:g}), or is empty or of another size. If their stamps differ, publish masks "
        "with the stamp of their image or set mask_mode to latest; if they come late, raise queue_size"
    )


def _explain_no_publisher(node: Node, entry: Input, name: str) -> str:
    found = [
        f"{other} ({types[0]}; {_offers(node, other)})"
        for other, types in sorted(node.get_topic_names_and_types())
        if types[0] in _IMAGE_TYPES and other != name and node.count_publishers(other)
    ]
    listed = ", ".join(found[:_MOST_LISTED]) + (", ..." if len(found) > _MOST_LISTED else "") if found else "none"
    twin = name.removesuffix("/compressed") if name.endswith("/compressed") else f"{name}/compressed"
    if node.count_publishers(twin):
        transport = "raw" if name.endswith("/compressed") else "compressed"
        option = "image_transport" if entry.topic.startswith("image") else "mask_transport"
        return f"nothing publishes {name}, but {twin} is published: set the parameter {option} to {transport}"
    return (
        f"nothing publishes {name}. Image topics with publishers: {listed}. "
        f"Remap it, for instance: --ros-args -r {entry.topic}:=/camera/image_raw"
    )


def _offers(node: Node, name: str) -> str:
    return "; ".join(sorted({qos.describe(info.qos_profile) for info in node.get_publishers_info_by_topic(name)}))
