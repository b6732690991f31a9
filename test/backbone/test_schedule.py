"""Diffusion times against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from attnchain_ros.backbone.schedule import shift_time, stage_one_schedule, stage_zero_schedule


def test_stage_one_ends_and_first_step() -> None:
    """Times run from 1000 to 3 s / (1 + 2 s) of the shifted 1 / 1000; the step after 1000 is worked out by hand."""
    schedule = stage_one_schedule(4)
    last = 3 * 0.001 / (1 + 2 * 0.001)
    second = 1 + (last - 1) / 4
    assert schedule.times[0] == pytest.approx(1000.0)
    assert schedule.times[1] == pytest.approx(1000 * 3 * second / (1 + 2 * second))
    assert schedule.sigmas[-1] == pytest.approx(3 * last / (1 + 2 * last))
    assert schedule.distances.sum() == pytest.approx(1.0 - schedule.sigmas[-1])
    assert (schedule.distances > 0).all() and schedule.steps == 4


def test_stage_zero_ends_at_zero_noise() -> None:
    schedule = stage_zero_schedule(10)
    assert schedule.times.tolist() == pytest.approx([1000 - 100 * i for i in range(10)])
    assert schedule.sigmas[-1] == 0.0
    assert stage_zero_schedule(10, 3.0).times[5] == pytest.approx(750.0)


def test_shift_keeps_the_ends() -> None:
    assert shift_time(np.array([0.0, 1.0]), 3.0).tolist() == [0.0, 1.0]
    assert shift_time(np.array(0.3), 1.0) == pytest.approx(0.3)
