from __future__ import annotations

import numpy as np
import pytest

from attnchain_ros.lab.evaluation.tracks import TrueTracks, track_errors, true_tracks

K = np.array([[100.0, 0, 50], [0, 100, 50], [0, 0, 1]])


def test_a_sliding_plate_by_hand() -> None:
    """Two plates face the camera; the far one slides by 0.2 to the right and behind the near one."""
    plate = np.array([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]])
    near = 0.2 * plate + [0.05, 0, 1]
    far = [plate + np.array([0, 0, 2]), plate + np.array([0.2, 0, 2])]
    vertices = np.stack([np.concatenate([near, part]) for part in far])
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    poses = np.stack([np.eye(4)] * 2)
    queries = np.array([[38.0, 50], [60, 50], [30, 65], [99, 99], [np.nan, 0]])
    truth = true_tracks(vertices, faces, poses, K, (101, 101), queries, 1.0)
    assert truth.on_object.tolist() == [True, True, True, False, False]
    # At depth 2, 0.2 units are 10 pixels; the near plate (columns 45 to 65) does not move.
    assert np.allclose(truth.points_px[1, :3], [[48, 50], [60, 50], [40, 65]], atol=1e-3)
    assert truth.visible[:, :3].tolist() == [[True, True, True], [False, True, True]]
    assert not truth.visible[:, 3:].any()
    assert np.allclose(truth.points_world[1, 0] - truth.points_world[0, 0], [0.2, 0, 0], atol=1e-6)
    assert truth.points_world[0, 0] == pytest.approx([-0.24, 0, 2], abs=1e-6)


def test_errors_by_hand() -> None:
    points = np.array([[[0.0, 0], [10, 10], [20, 20], [0, 0]], [[3, 4], [10, 10], [20, 26], [9, 9]]])
    visible = np.array([[True] * 4, [True, True, True, False]])
    truth = TrueTracks(points, visible, np.zeros((2, 4, 3)), np.array([True, True, True, False]))
    found = np.array([[[0.0, 0], [10, 10], [20, 20], [0, 0]], [[3, 4], [13, 10], [np.nan, np.nan], [0, 0]]])
    errors = track_errors(found, truth, close_px=3.0)
    assert (errors.visible, errors.absent, errors.off_object) == (3, 1, 1)
    assert errors.mean_px == pytest.approx(1.5) and errors.median_px == pytest.approx(1.5)
    assert errors.still_mean_px == pytest.approx((5 + 0 + 6) / 3)
    assert errors.close_share == pytest.approx(1 / 3)  # 3 is not below 3, and the absent one counts against it


def test_nothing_to_compare() -> None:
    truth = TrueTracks(np.full((2, 1, 2), np.nan), np.zeros((2, 1), bool), np.zeros((2, 1, 3)), np.zeros(1, bool))
    errors = track_errors(np.zeros((2, 1, 2)), truth, 4.0)
    assert errors.mean_px is None and errors.close_share is None and errors.visible == 0
