"""A lifecycle node whose executor does not wake up for events of QoS.

rclpy gives every publisher and subscription two or three such events with callbacks that only log, and its executor
puts each of them into every wait set anew, in Python. Beside a camera of 640 x 480 pixels at 30 Hz on two cores that
took so much of Python's lock that a window needed 7 to 17 s instead of 2.3, services 0.4 s, and every third image was
lost; without the events it is 2.8 s, 8 ms, and none. What they would say of our inputs the watchdog says, with what to
do.
"""

from __future__ import annotations

from typing import Any

from rclpy.lifecycle import LifecycleNode

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # ROS 2 Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks


class QuietNode(LifecycleNode):
    """As rclpy's; publishers and subscriptions have no callbacks of events unless some are given."""

    def create_publisher(self, *arguments: Any, **options: Any) -> Any:
        """As rclpy's."""
        return super().create_publisher(*arguments, **_without(PublisherEventCallbacks, options))

    def create_lifecycle_publisher(self, *arguments: Any, **options: Any) -> Any:
        """As rclpy's."""
        return super().create_lifecycle_publisher(*arguments, **_without(PublisherEventCallbacks, options))

    def create_subscription(self, *arguments: Any, **options: Any) -> Any:
        """As rclpy's."""
        return super().create_subscription(*arguments, **_without(SubscriptionEventCallbacks, options))


def _without(kind: Any, options: dict[str, Any]) -> dict[str, Any]:
    return {"event_callbacks": kind(use_default_callbacks=False), **options}
