from __future__ import annotations

import numpy as np
import pytest
from made_up import turn

from attnchain_ros.errors import InputError
from attnchain_ros.lab.evaluation import worldtrack as fast
from attnchain_ros.lab.reference import worldtrack as slow


def test_by_hand() -> None:
    truth = np.zeros((2, 3, 3))
    truth[..., 2] = 4.0
    truth[1, 0, 2] = 4.2  # moves
    truth[1, 1, 2] = 4.005  # does not
    truth[1, 2, 0] = 9.0  # moves, but is hidden at first
    visible = np.array([[1, 1, 0], [1, 1, 1]], bool)
    found = truth * 0.5
    scores = fast.score_worldtrack(found, truth, visible)
    assert (scores.apd_dynamic, scores.points, scores.dynamic_points) == (1.0, 2, 1)
    found[1, 0] = found[0, 0]  # the moving point stays: lengths 4 and 4.2 against 2 and 2, scale 2.05
    scores = fast.score_worldtrack(found, truth, visible)
    # Errors |4.1 - 4| = 0.1 and |4.1 - 4.2| = 0.1, up to rounding at the first threshold.
    assert scores.within_dynamic[1:] == (1.0, 1.0, 1.0)
    found[1, 0] = np.nan
    scores = fast.score_worldtrack(found, truth, visible)
    assert scores.within_dynamic == (0.5, 0.5, 0.5, 0.5) and scores.apd_dynamic == 0.5  # 4.1 - 4 = 0.0999...


def test_thresholds_are_inclusive() -> None:
    truth = np.zeros((3, 1, 3))
    truth[:, 0, 2] = [4.0, 4.0, 5.0]
    found = truth.copy()
    found[2, 0, 2] = 4.5  # medians 4 and 4: scale 1, error exactly 0.5
    scores = fast.score_worldtrack(found, truth, np.ones((3, 1), bool))
    assert scores.within_dynamic == pytest.approx((2 / 3, 2 / 3, 1, 1))


@pytest.mark.parametrize("seed", [0, 1])
def test_against_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(66, 5, 3)).cumsum(axis=0) * 0.02 + [0, 0, 4]
    truth[:, 1] = truth[0, 1]
    found = 3 * truth + rng.normal(size=truth.shape) * rng.choice([0.1, 2], size=(66, 5, 1))
    found[rng.random((66, 5)) < 0.05] = np.nan
    visible = rng.random((66, 5)) < 0.8
    visible[0, :3] = True
    scores = fast.score_worldtrack(found, truth, visible)
    assert scores.apd_dynamic == pytest.approx(slow.score_worldtrack(found, truth, visible), abs=1e-15)
    truth[64:] += 100  # frames after the 64th have no say
    assert fast.score_worldtrack(found, truth, visible).apd_dynamic == scores.apd_dynamic


def test_no_points() -> None:
    truth = np.zeros((2, 1, 3))
    with pytest.raises(InputError, match="none of 1 points"):
        fast.score_worldtrack(truth, truth, np.array([[0], [1]], bool))
    still = fast.score_worldtrack(truth + 1, truth + 1, np.ones((2, 1), bool))
    assert still.apd_dynamic is None and still.apd_all == 1.0
    absent = fast.score_worldtrack(truth * np.nan, truth + 1, np.ones((2, 1), bool))
    assert absent.apd_all == 0.0


def test_points_in_the_first_camera() -> None:
    rng = np.random.default_rng(3)
    world = rng.normal(size=(1, 4, 3)).repeat(3, axis=0)
    poses = np.tile(np.eye(4), (3, 1, 1))
    for frame in range(3):
        poses[frame, :3, :3], poses[frame, :3, 3] = turn(frame, 20 + 10 * frame), rng.normal(size=3)
    in_camera = np.stack([w @ p[:3, :3].T + p[:3, 3] for w, p in zip(world, poses, strict=True)])
    found = fast.world_points(in_camera, poses)
    for frame in range(3):
        assert np.allclose(found[frame], in_camera[0], atol=1e-13)
