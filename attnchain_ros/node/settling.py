"""Waiting until subscribers are really there, before the first message that must not be lost is sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rclpy.node import Node

SETTLE_S = 1.0
"""Subscriptions count as settled when they have not changed for so long. A publisher that sees a subscriber is not yet
seen by it, and the node subscribes anew, within half a second, with what it finds offered."""
_LIMIT_S = 10.0


def wait_for_subscribers(node: Node, topics: Sequence[str], is_ready: Callable[[], bool]) -> None:
    """Wait, for ever if need be, until someone is there and nobody comes or goes any more.

    Args:
        node: asks the graph; need not be spun.
        topics: full names; their subscriptions must stay the same for ``SETTLE_S`` (or ``_LIMIT_S`` must pass).
        is_ready: whether those who matter are there.
    """
    seen: set[tuple[str, bytes]] = set()
    first = since = time.monotonic()
    while True:
        now = time.monotonic()
        found = {
            (topic, bytes(endpoint.endpoint_gid))
            for topic in topics
            for endpoint in node.get_subscriptions_info_by_topic(topic)
        }
        if found != seen:
            seen, since = found, now
        if not is_ready():
            first = now
        elif now - since >= SETTLE_S or now - first >= _LIMIT_S:
            return
        time.sleep(0.02)
