from __future__ import annotations

import numpy as np
import pytest

from attnchain_ros.errors import InputError
from attnchain_ros.lab.evaluation import badja as fast


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


def test_only_visible_joints_count_each_against_its_own_frames_area() -> None:
    errors = np.array([[0, 0, 0], [1.0, 5.0, 50.0], [4.0, 5.0, 2.0]])
    found = np.stack([errors, np.zeros_like(errors)], axis=2)
    visible = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 1]], bool)
    # Limits 0.2 * sqrt(400) = 4 (1 is near, 5 is not) and 0.2 * sqrt(900) = 6 (4 and 2 are); 1 and 2 are within 3 px.
    scores = fast.score_badja(found, np.zeros((3, 3, 2)), visible, np.array([0.0, 400, 900]))
    assert (scores.seg_a, scores.delta_3px, scores.joints) == (0.75, 0.5, 4)


def test_nothing_to_measure() -> None:
    visible = np.array([[1], [0]], bool)
    with pytest.raises(InputError, match="after the first of 2 frames"):
        fast.score_badja(np.zeros((2, 1, 2)), np.zeros((2, 1, 2)), visible, np.ones(2))
