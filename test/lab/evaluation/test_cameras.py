from __future__ import annotations

import numpy as np
import pytest
from made_up import turn
from scipy.spatial.transform import Rotation

from attnchain_ros.lab.evaluation.cameras import (
    covariances_in_frame,
    pose_errors,
    pose_in_frame,
    rotation_errors_deg,
    translation_errors,
    within_two_sigma,
)


def pose(rotation: np.ndarray, shift: list[float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, shift
    return matrix


@pytest.mark.parametrize("angle", [0.0, 1e-5, 30.0, 179.9, 180.0])
def test_angle_by_hand(angle: float) -> None:
    base = turn(1, 40)
    found = rotation_errors_deg(pose(turn(2, angle) @ base, [0, 0, 1])[None], pose(base, [0, 0, 1])[None])
    assert found[0] == pytest.approx(angle, abs=1e-9)


def test_translation_is_a_share_of_the_distance() -> None:
    found = translation_errors(pose(np.eye(3), [0, 3, 4.5])[None], pose(np.eye(3), [0, 3, 4])[None])
    assert found[0] == pytest.approx(0.1)


def test_pose_in_another_frame_sees_the_same_directions() -> None:
    camera = pose(turn(0, 20) @ turn(1, 30), [0.1, 0.2, 3])
    similarity = pose(0.8 * turn(2, 50), [0.3, -0.1, 0.2])
    points = np.random.default_rng(0).normal(size=(6, 3))
    moved = points @ similarity[:3, :3].T + similarity[:3, 3]
    there = pose_in_frame(camera[None], similarity)[0]
    seen, before = moved @ there[:3, :3].T + there[:3, 3], points @ camera[:3, :3].T + camera[:3, 3]
    assert np.allclose(seen, 0.8 * before, atol=1e-12)  # the same rays, lengths in the other units
    assert np.allclose(there[:3, :3] @ there[:3, :3].T, np.eye(3), atol=1e-12)


def test_covariances_follow_their_poses_into_another_frame() -> None:
    """A pose that is off by what a covariance says, taken to the other frame, is off by what the other one says."""
    rng = np.random.default_rng(4)
    pose, similarity = np.eye(4), np.eye(4)
    pose[:3, :3] = Rotation.random(random_state=rng).as_matrix()
    pose[:3, 3] = 0.2, -0.1, 3.0
    similarity[:3, :3] = 1.7 * Rotation.random(random_state=rng).as_matrix()
    similarity[:3, 3] = 0.3, 0.4, -0.2
    root = rng.normal(size=(6, 6)) * 0.004
    spread = root @ root.T
    found = covariances_in_frame(pose[None], spread[None], similarity)[0]
    moved = np.tile(pose, (20000, 1, 1))
    errors = rng.multivariate_normal(np.zeros(6), spread, len(moved))
    moved[:, :3, :3] = Rotation.from_rotvec(errors[:, 3:]).as_matrix() @ pose[:3, :3]
    moved[:, :3, 3] += errors[:, :3]
    truth = np.repeat(pose_in_frame(pose[None], similarity), len(moved), axis=0)
    away = pose_errors(pose_in_frame(moved, similarity), truth)
    size = np.sqrt(np.outer(np.diag(found), np.diag(found)))
    # 20000 samples: 1 % of an entry's scale is one standard deviation.
    np.testing.assert_allclose(found / size, away.T @ away / len(away) / size, atol=0.05)
    assert within_two_sigma(away, np.repeat(found[None], len(away), axis=0)).mean() == pytest.approx(0.9545, abs=0.01)
    place = found[None, :3, :3].repeat(len(away), axis=0)
    assert within_two_sigma(away[:, :3], place).mean() == pytest.approx(0.9545, abs=0.01)
