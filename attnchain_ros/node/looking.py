"""Who and what is in the ROS graph: ``python -m attnchain_ros.node.looking SECONDS`` writes it as one line of JSON.

For ``attnchain doctor``, which starts it as a process of its own: a middleware that hangs takes nobody with it.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.type_support import check_for_type_support
from rclpy.utilities import get_rmw_implementation_identifier

from . import qos

INTERFACES = ("attnchain_ros.msg", "attnchain_ros.srv")
OPTIONAL = {"shape_msgs": "~/object_mesh", "vision_msgs": "~/object_box"}
"""Packages that the node does without -> the topic that comes with them."""
_NAME = "attnchain_doctor"
_POLL_S = 0.1


def look(seconds: float) -> dict[str, Any]:
    """Join the graph for a while.

    Args:
        seconds: how long to wait for others, who take a moment to be discovered.
    Returns:
        rmw, domain, range (of discovery), nodes, topics (name, types, offers, publishers, subscribers), messages,
        messages_error, left_out (topics of the node without their package).
    """
    messages, fault = built_messages()
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node(_NAME, context=context, enable_rosout=False, start_parameter_services=False)
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(min(_POLL_S, max(0.0, end - time.monotonic())))
        # No parameter /use_sim_time or the like of our own is in the way: others only.
        names = sorted(name for name in _full_names(node) if name != f"/{_NAME}")
        return {
            "rmw": get_rmw_implementation_identifier(),
            "domain": context.get_domain_id(),
            "range": os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET"),
            "nodes": names,
            "topics": [_topic(node, name, types) for name, types in sorted(node.get_topic_names_and_types())],
            "messages": messages,
            "messages_error": fault,
            "left_out": [
                f"{topic} ({name})" for name, topic in OPTIONAL.items() if importlib.util.find_spec(name) is None
            ],
        }
    finally:
        node.destroy_node()
        context.shutdown()


def built_messages() -> tuple[list[str], str]:
    """Names of our messages and services whose libraries can be loaded, and why not all can, "" = they can."""
    names = []
    try:
        for module in map(importlib.import_module, INTERFACES):
            for name in sorted(vars(module)):
                kind = getattr(module, name)
                if isinstance(kind, type) and name[:1].isupper() and "_" not in name:
                    check_for_type_support(kind)
                    names.append(name)
    # Generated code fails as it likes: a library that is missing, one of another version, a name that is not there.
    except Exception as error:
        return names, f"{type(error).__name__}: {error}"
    return names, ""


def _full_names(node: Node) -> list[str]:
    return [f"{space.rstrip('/')}/{name}" for name, space in node.get_node_names_and_namespaces()]


def _topic(node: Node, name: str, types: list[str]) -> dict[str, Any]:
    publishers = node.get_publishers_info_by_topic(name)
    return {
        "name": name,
        "types": types,
        "offers": sorted({qos.describe(endpoint.qos_profile) for endpoint in publishers}),
        "publishers": len(publishers),
        "subscribers": node.count_subscribers(name),
    }


def main(words: Sequence[str]) -> int:
    """Print the report; 0 when it is whole."""
    sys.stdout.write(json.dumps(look(float(words[0]))) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
