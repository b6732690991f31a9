"""The live pose's error on a clip: methods, ages, and what must come out where little happens."""

from __future__ import annotations

import numpy as np
import pytest

from attnchain_ros.lab.evaluation.live import HOLD, LIVE, METHODS, START_FRAME, VELOCITY, LiveError, measure_live
from attnchain_ros.lab.synthetic import ClipConfig, make_clip
from attnchain_ros.live.config import LiveConfig

AGES = (1, 6, 12)


@pytest.fixture(scope="module")
def errors() -> list[LiveError]:
    clip = make_clip(2, ClipConfig(family="drawer", frames=START_FRAME + AGES[-1] + 1, image_size=200, camera="orbit",
                                   surface_points=400))  # fmt: skip
    return measure_live(clip, AGES, LiveConfig(), seed=0)


def test_every_method_has_every_age(errors: list[LiveError]) -> None:
    assert sorted((row.method, row.frames) for row in errors) == sorted((name, age) for name in METHODS for age in AGES)
    assert all(np.isnan(row.sigmas) for row in errors if row.method != LIVE)


def test_what_is_held_falls_behind_and_what_is_followed_does_not(errors: list[LiveError]) -> None:
    found = {(row.method, row.frames): row for row in errors}
    assert found[HOLD, 12].points > 2 * found[HOLD, 1].points
    assert found[LIVE, 12].points < 0.5 * found[HOLD, 12].points
    # One frame on, constant velocity knows nearly everything: what is left is the noise of the start.
    assert found[VELOCITY, 1].rotation_deg < 3.0 and found[VELOCITY, 1].translation < 0.02


def test_the_same_seed_gives_the_same_errors(errors: list[LiveError]) -> None:
    clip = make_clip(2, ClipConfig(family="drawer", frames=START_FRAME + AGES[-1] + 1, image_size=200, camera="orbit",
                                   surface_points=400))  # fmt: skip
    again = measure_live(clip, AGES, LiveConfig(), seed=0)
    np.testing.assert_array_equal([row.points for row in again], [row.points for row in errors])
