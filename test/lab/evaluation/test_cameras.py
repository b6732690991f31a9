from __future__ import annotations

import numpy as np
import pytest
from made_up import turn

from attnchain_ros.lab.evaluation.cameras import pose_in_frame, rotation_errors_deg, translation_errors


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
