from __future__ import annotations

import numpy as np
import pytest

from attnchain_ros.errors import InputError
from attnchain_ros.lab.evaluation import drift as fast
from attnchain_ros.lab.reference import drift as slow
from attnchain_ros.stream.windows import split_frames


def test_window_means_by_hand() -> None:
    values = np.arange(8.0)
    windows = split_frames(8, 4)  # 0-3, 3-6, 6-7
    assert fast.window_means(values, windows) == [1.5, 5.0, 7.0]
    with pytest.raises(InputError, match="window 1"):
        fast.window_means(values[:5], windows)


def test_correlation_by_hand() -> None:
    tokens = np.array([[1.0, 0, -1], [-1, 0, 1]])
    assert fast.token_correlation(tokens, tokens, np.array([0, 1])) == pytest.approx(1)
    assert fast.token_correlation(tokens, tokens, np.array([1, 0])) == pytest.approx(-1)
    assert fast.token_correlation(tokens, tokens, np.array([0, 0])) == pytest.approx(0)
    # A part that all tokens of a frame share is no likeness.
    assert fast.token_correlation(tokens + np.array([5, -3, 9]), tokens, np.array([0, 1])) == pytest.approx(1)
    assert fast.token_correlation(np.ones((2, 3)), tokens, np.array([0, 1])) == 0.0


def test_correlation_against_twin() -> None:
    rng = np.random.default_rng(0)
    anchor, last, match = rng.normal(size=(12, 5)), rng.normal(size=(9, 5)), rng.integers(0, 9, 12)
    assert fast.token_correlation(anchor, last, match) == pytest.approx(
        slow.token_correlation(anchor, last, match), abs=1e-14
    )
    with pytest.raises(InputError, match="not among 0 to 8"):
        fast.token_correlation(anchor, last, match + 9)
