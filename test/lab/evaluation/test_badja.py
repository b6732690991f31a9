from __future__ import annotations

import numpy as np
import pytest

from attnchain_ros.errors import InputError
from attnchain_ros.lab.evaluation import badja as fast
from attnchain_ros.lab.reference import badja as slow


def test_by_hand() -> None:
    truth = np.zeros((3, 2, 2))
    found = np.zeros((3, 2, 2))
    found[0] = 99.0  # the first frame does not count
    found[1, 0, 0] = 2.9
    found[1, 1, 0] = 3.0  # strict
    found[2, 0, 1] = 9.9
    found[2, 1, 1] = np.nan
    visible = np.array([[1, 1], [1, 1], [1, 1]], bool)
    # 0.2 * sqrt(2500) = 10 pixels.
    scores = fast.score_badja(found, truth, visible, np.array([1.0, 2500, 2500]))
    assert (scores.seg_a, scores.delta_3px, scores.joints) == (0.75, 0.25, 4)
    assert fast.score_badja(found, truth, visible, np.array([1.0, 2500, 2400])).seg_a == 0.5


@pytest.mark.parametrize("seed", [0, 1])
def test_against_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 300, (7, 5, 2))
    found = truth + rng.normal(size=truth.shape) * 8
    visible = rng.random((7, 5)) < 0.6
    area = rng.uniform(500, 4000, 7)
    scores = fast.score_badja(found, truth, visible, area)
    assert (scores.seg_a, scores.delta_3px, scores.joints) == pytest.approx(
        slow.score_badja(found, truth, visible, area), abs=1e-15
    )


def test_nothing_to_measure() -> None:
    visible = np.array([[1], [0]], bool)
    with pytest.raises(InputError, match="after the first of 2 frames"):
        fast.score_badja(np.zeros((2, 1, 2)), np.zeros((2, 1, 2)), visible, np.ones(2))
