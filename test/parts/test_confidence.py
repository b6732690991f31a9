"""Confidence of tracks falls with what speaks against them."""

from __future__ import annotations

import numpy as np
import pytest

from attnchain_ros.parts.confidence import track_confidence


def confidence(**changes: float) -> float:
    values = {"alive": True, "since": 3.0, "beside": 0.5, "support": 4.0, "hidden": False, **changes}
    return float(track_confidence(*(np.array([value]) for value in values.values()))[0])


def test_a_fresh_track_that_agrees_with_those_around_is_sure() -> None:
    assert confidence(since=0.0, beside=0.2) > 0.97


@pytest.mark.parametrize(
    "worse", [{"since": 12.0}, {"beside": 3.0}, {"beside": np.nan}, {"support": 0.0}, {"alive": False}]
)
def test_what_speaks_against_a_track_lowers_it(worse: dict[str, float]) -> None:
    assert confidence(**worse) < confidence() - 0.02


@pytest.mark.parametrize("worse", [{"since": 12.0}, {"support": 0.0}, {"hidden": True}])
def test_what_speaks_against_a_guess_lowers_it(worse: dict[str, float]) -> None:
    assert confidence(alive=False, **worse) < confidence(alive=False) - 0.02


def test_it_is_the_logistic_curve_that_was_fitted() -> None:
    value = 4.35 - 1.70 * np.log(4.0) - 0.56 * 0.5 + 0.51 * np.log(5.0)
    assert confidence() == pytest.approx(1 / (1 + np.exp(-value)), abs=1e-6)
    value = -0.06 - 0.51 * np.log(4.0) + 0.72 * np.log(5.0) - 0.75
    assert confidence(alive=False, hidden=True) == pytest.approx(1 / (1 + np.exp(-value)), abs=1e-6)
