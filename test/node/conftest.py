"""Only for tests with ROS: what its wheels warn about and we cannot change."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """The wheels' rosidl imports lark, which imports modules that Python renamed; until they pin a newer lark."""
    for module in ("sre_parse", "sre_constants"):
        config.addinivalue_line("filterwarnings", f"ignore:module '{module}' is deprecated:DeprecationWarning")
