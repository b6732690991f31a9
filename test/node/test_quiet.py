"""The executor's wait set holds what the node waits for, and no events of QoS."""

from __future__ import annotations

import pytest
from node.hand_made import HandMadeEngine
from rclpy.context import Context
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from std_msgs.msg import String

from attnchain_ros.node.lifecycle import AttnChainNode
from attnchain_ros.node.quiet import PublisherEventCallbacks, QuietNode

pytestmark = pytest.mark.ros


@pytest.fixture
def context():
    made = Context()
    made.init(domain_id=39)
    yield made
    made.shutdown()


def events(node: LifecycleNode) -> int:
    """Waitables of all publishers and subscriptions."""
    return sum(len(one.event_handlers) for one in [*node.publishers, *node.subscriptions])


def test_no_events_unless_they_are_asked_for(context: Context):
    plain, quiet = (kind("node", context=context) for kind in (LifecycleNode, QuietNode))
    for node in (plain, quiet):
        node.create_publisher(String, "a", 1)
        node.create_lifecycle_publisher(String, "b", QoSProfile(depth=1))
        node.create_subscription(String, "c", lambda message: None, 1)
    assert events(plain) >= 6 and events(quiet) == 0
    heard = PublisherEventCallbacks(incompatible_qos=lambda event: None, use_default_callbacks=False)
    quiet.create_publisher(String, "d", 1, event_callbacks=heard)
    assert events(quiet) == 1
    plain.destroy_node()
    quiet.destroy_node()


def test_the_active_node_has_none(context: Context, tmp_path):
    options = {"autostart": False, "output_dir": str(tmp_path)}
    node = AttnChainNode(
        HandMadeEngine,
        context=context,
        parameter_overrides=[Parameter(name, value=value) for name, value in options.items()],
    )
    try:
        assert node.trigger_configure() == node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        assert len(list(node.publishers)) > 8 and len(list(node.subscriptions)) >= 4
        assert events(node) == 0
    finally:
        node.end()
        node.destroy_node()
