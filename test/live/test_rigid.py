"""The robust pose: against a general minimiser, its covariance, and what it does with what does not agree."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from attnchain_ros.camera.poses import apply_pose
from attnchain_ros.camera.tracks3d import project
from attnchain_ros.lab.reference import live as twin
from attnchain_ros.live.rigid import AGREE_PX, NOISE_PX, SAMPLES, SCALE_PX, START_PX, _misses, fit_rigid
from attnchain_ros.parts.solving import PartMotions, Sightings, pixel_misses

INTRINSICS = np.array([[300.0, 0, 159.5], [0, 290.0, 119.5], [0, 0, 1]])


def scene(seed: int, count: int = 60, outliers: float = 0.3, noise_px: float = 0.2):
    """Points, their pixels, the true pose, a start some degrees away, and which points agree."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-0.6, 0.6, (count, 3)) + np.array([0.2, -0.1, 0.3])
    pose = np.eye(4)
    pose[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    pose[:3, 3] = 0.2, -0.1, 3.0
    pixels = project(INTRINSICS, apply_pose(pose, points)) + rng.normal(scale=noise_px, size=(count, 2))
    wrong = rng.permutation(count) < outliers * count
    pixels[wrong] += rng.uniform(15, 40, (int(wrong.sum()), 2)) * rng.choice([-1, 1], (int(wrong.sum()), 2))
    start = twin.moved(pose, np.array([0.02, -0.02, 0.03, 0.02, -0.03, 0.02]))
    return points, pixels, pose, start, ~wrong


def apart(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Degrees and units between two poses."""
    turn = Rotation.from_matrix(one[:3, :3].T @ other[:3, :3]).magnitude()
    return float(np.degrees(turn)), float(np.linalg.norm(one[:3, 3] - other[:3, 3]))


@pytest.mark.parametrize("seed", range(2))
def test_it_ends_where_a_general_minimiser_of_the_printed_cost_ends(seed: int):
    points, pixels, _, start, _ = scene(seed, count=18)
    found = fit_rigid(points, pixels, INTRINSICS, start).camera_from_object
    slow = twin.fit_rigid(points, pixels, INTRINSICS, start, [START_PX, SCALE_PX])
    at = [twin.cost(pose, points, pixels, INTRINSICS, SCALE_PX) for pose in (found, slow)]
    assert at[0] <= at[1] * (1 + 1e-6)
    turn, shift = apart(found, slow)
    assert turn < 0.01 and shift < 1e-3


@pytest.mark.parametrize("seed", range(10))
def test_a_third_of_wrong_points_changes_nothing(seed: int):
    points, pixels, pose, start, right = scene(seed)
    fit = fit_rigid(points, pixels, INTRINSICS, start)
    turn, shift = apart(fit.camera_from_object, pose)
    assert turn < 0.3 and shift < 0.01
    np.testing.assert_array_equal(fit.agrees, right)
    away = np.linalg.norm(project(INTRINSICS, apply_pose(fit.camera_from_object, points)) - pixels, axis=1)
    assert fit.residual_px == pytest.approx(np.sqrt(np.minimum(away**2, START_PX**2).mean()))
    assert (away[fit.agrees] <= AGREE_PX).all()


def test_the_covariance_is_that_of_jacobians_by_differences():
    points, pixels, _, start, _ = scene(4, outliers=0.0)
    fit = fit_rigid(points, pixels, INTRINSICS, start)
    wanted = twin.pose_covariance(fit.camera_from_object, points, INTRINSICS, NOISE_PX, SAMPLES)
    np.testing.assert_allclose(fit.covariance, wanted, rtol=1e-4, atol=1e-12)


def test_the_covariance_holds_the_errors_of_many_trials():
    """With independent noise of the assumed size the errors are as the covariance of so many samples says, or less."""
    squares = []
    for seed in range(60):
        points, pixels, pose, start, _ = scene(seed, count=int(SAMPLES), outliers=0.0, noise_px=NOISE_PX)
        fit = fit_rigid(points, pixels, INTRINSICS, start)
        turn = Rotation.from_matrix(fit.camera_from_object[:3, :3] @ pose[:3, :3].T).as_rotvec()
        error = np.concatenate([fit.camera_from_object[:3, 3] - pose[:3, 3], turn])
        squares.append(error @ np.linalg.inv(fit.covariance) @ error)
    assert 3.0 < np.mean(squares) < 9.0  # six degrees of freedom


def test_points_that_do_not_determine_a_pose_have_no_covariance():
    _, _, pose, start, _ = scene(0)
    line = np.outer(np.linspace(-0.5, 0.5, 30), [1.0, 0.2, -0.3])
    fit = fit_rigid(line, project(INTRINSICS, apply_pose(pose, line)), INTRINSICS, start)
    assert np.isinf(fit.covariance.diagonal()).all() or fit.covariance[3:, 3:].diagonal().max() > 1e3


def test_its_jacobian_is_that_of_the_parts():
    points, pixels, pose, _, _ = scene(1)
    points[0] = (np.linalg.inv(pose) @ [0.1, 0.0, -0.5, 1.0])[:3]  # behind the camera
    middle = points.mean(axis=0)
    place = apply_pose(pose, middle[None])[0]
    found = _misses((points - middle) @ pose[:3, :3].T, place, pixels, INTRINSICS)
    alone = np.zeros(len(points), np.int64)
    tracks = Sightings(points - middle, alone, pixels, np.ones(len(points)), np.eye(4), INTRINSICS)
    for one, other in zip(found, pixel_misses(PartMotions(pose[None, :3, :3], place[None]), tracks), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)
    assert not found[1][0].any()
