"""Only for tests with ROS: what its wheels warn about and we cannot change, and a client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from node.ros_harness import Client


def pytest_configure(config: pytest.Config) -> None:
    """The wheels' rosidl imports lark, which imports modules that Python renamed; until they pin a newer lark."""
    for module in ("sre_parse", "sre_constants"):
        config.addinivalue_line("filterwarnings", f"ignore:module '{module}' is deprecated:DeprecationWarning")


@pytest.fixture
def client() -> Iterator[Client]:
    """Somebody else in the graph, who leaves when the test ends."""
    from node.ros_harness import Client  # needs rclpy, which a machine without ROS lacks

    found = Client()
    yield found
    found.close()
