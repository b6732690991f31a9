from __future__ import annotations

import pytest

from attnchain_ros.errors import ConfigError
from attnchain_ros.lab.evaluation.actionbench_config import PUBLISHED, REDUCED, ActionBenchConfig


def test_published_counts() -> None:
    assert PUBLISHED.describe() == (
        "100000 points a frame, 10000 queries; aligned on 10000 points, 24 starts, 200 iterations; seed 42"
    )
    assert PUBLISHED.learning_rate == 0.01
    assert REDUCED.points < PUBLISHED.points and REDUCED.iterations < PUBLISHED.iterations


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("points", 0, "points is 0"),
        ("starts", 25, "24 axis-aligned"),
        ("learning_rate", 0.0, "above 0"),
        ("seed", -1, "seed is -1"),
    ],
)
def test_counts_are_checked(name: str, value: float, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        ActionBenchConfig(**{name: value})
