"""camera.pnp: known cameras recovered from noisy matches, refusals with reasons, the solver against its twin."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from attnchain_ros.camera.pnp import estimate_pose
from attnchain_ros.config import CameraConfig
from attnchain_ros.errors import InputError, ShapeError
from attnchain_ros.lab.reference import pnp as twin

K = np.array([[600.0, 0, 319.5], [0, 600.0, 239.5], [0, 0, 1]])
CONFIG = CameraConfig()


def camera(rng: np.random.Generator) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.random(random_state=rng).as_matrix()
    pose[:3, 3] = rng.uniform([-0.4, -0.3, 3.0], [0.4, 0.3, 5.0])
    return pose


def look(pose: np.ndarray, points: np.ndarray) -> np.ndarray:
    flat = (points @ pose[:3, :3].T + pose[:3, 3]) @ K.T
    return flat[:, :2] / flat[:, 2:]


def matches(rng: np.random.Generator, count: int, outliers: float, noise: float, flat: bool = False) -> tuple:
    points = rng.uniform(-1, 1, (count, 3)) * ([1, 1, 0] if flat else [1, 1, 1])
    pose = camera(rng)
    pixels = look(pose, points) + rng.normal(size=(count, 2)) * noise
    wrong = rng.permutation(count) < round(outliers * count)
    pixels[wrong] = rng.uniform([0, 0], [640, 480], (int(wrong.sum()), 2))
    return points, pixels, pose, wrong


def angle_deg(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(Rotation.from_matrix(a[:3, :3].T @ b[:3, :3]).magnitude()))


@pytest.mark.parametrize("seed", range(6))
def test_known_camera_among_outliers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, pixels, pose, wrong = matches(rng, 300, 0.3, 0.5)
    found = estimate_pose(points, pixels, K, CONFIG, 8.0, seed)
    assert found.valid and found.reason == ""
    # 210 matches of 0.5 px noise: expected error about 0.5 / 600 / sqrt(210) rad = 0.003 deg; worst seen 0.02 deg.
    # An outlier that falls within 8 px of its place by chance is kept by the threshold.
    assert angle_deg(found.camera_from_object, pose) < 0.1
    assert np.abs(found.camera_from_object[:3, 3] - pose[:3, 3]).max() < 0.02
    assert found.inliers[~wrong].all() and found.inliers[wrong].mean() < 0.05
    assert 0.3 < found.reprojection_px < 1.0
    assert np.linalg.det(found.camera_from_object[:3, :3]) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_flat_object(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    points, pixels, pose, wrong = matches(rng, 200, 0.3, 0.5, flat=True)
    found = estimate_pose(points, pixels, K, CONFIG, 8.0, seed)
    assert found.valid and found.inliers[~wrong].all()
    assert angle_deg(found.camera_from_object, pose) < 1.0


@pytest.mark.parametrize("seed", range(3))
def test_coarse_matches(seed: int) -> None:
    """Matches as the bridge gives them: patch centres, so errors of several pixels everywhere."""
    rng = np.random.default_rng(200 + seed)
    points, pixels, pose, _ = matches(rng, 600, 0.2, 6.0)
    found = estimate_pose(points, pixels, K, CONFIG, 15.0, seed)
    assert found.valid and found.inliers.mean() > 0.7
    assert angle_deg(found.camera_from_object, pose) < 1.5
    assert np.abs(found.camera_from_object[:3, 3] - pose[:3, 3]).max() < 0.1


def test_exact_matches_give_the_exact_camera() -> None:
    points, pixels, pose, _ = matches(np.random.default_rng(7), 60, 0.0, 0.0)
    found = estimate_pose(points, pixels, K, CONFIG, 8.0, 0)
    np.testing.assert_allclose(found.camera_from_object, pose, atol=1e-6)


@pytest.mark.parametrize("flat", [False, True])
def test_against_twin(flat: bool) -> None:
    points, pixels, _, _ = matches(np.random.default_rng(8), 40, 0.2, 0.5, flat)
    found = estimate_pose(points, pixels, K, CONFIG, 8.0, 0)
    slow, inliers = twin.estimate_pose(points, pixels, K, 8.0)
    assert np.array_equal(found.inliers, inliers)
    # Both end in the least squares of the same inliers; OpenCV stops at a relative change of 1e-7.
    np.testing.assert_allclose(found.camera_from_object, slow, atol=1e-4)


def test_same_seed_same_pose_and_any_seed_the_same_camera() -> None:
    points, pixels, _, _ = matches(np.random.default_rng(9), 200, 0.4, 0.5)
    first, second = (estimate_pose(points, pixels, K, CONFIG, 8.0, 3) for _ in range(2))
    assert np.array_equal(first.camera_from_object, second.camera_from_object)
    other = estimate_pose(points, pixels, K, CONFIG, 8.0, 4)
    np.testing.assert_allclose(other.camera_from_object, first.camera_from_object, atol=1e-3)


def test_order_of_matches_only_orders_the_inliers() -> None:
    rng = np.random.default_rng(10)
    points, pixels, _, _ = matches(rng, 150, 0.2, 0.3)
    order = rng.permutation(150)
    plain = estimate_pose(points, pixels, K, CONFIG, 8.0, 0)
    shuffled = estimate_pose(points[order], pixels[order], K, CONFIG, 8.0, 0)
    assert np.array_equal(plain.inliers[order], shuffled.inliers)
    np.testing.assert_allclose(plain.camera_from_object, shuffled.camera_from_object, atol=1e-4)


def test_missing_matches_are_outliers() -> None:
    points, pixels, _, _ = matches(np.random.default_rng(11), 100, 0.0, 0.2)
    pixels[::10] = np.nan
    found = estimate_pose(points, pixels, K, CONFIG, 8.0, 0)
    assert found.valid and not found.inliers[::10].any() and found.inliers.sum() == 90


def test_points_behind_the_camera_never_agree() -> None:
    """Their mirrored projection satisfies the projection formula exactly."""
    rng = np.random.default_rng(14)
    seen = rng.uniform([-1, -1, 0.5], [1, 1, 4.0], (200, 3))
    behind = np.arange(200) % 5 == 0
    seen[behind, 2] = rng.uniform(-1.0, -0.5, 40)
    pose = camera(rng)
    points = (seen - pose[:3, 3]) @ pose[:3, :3]
    found = estimate_pose(points, look(pose, points), K, CONFIG, 8.0, 0)
    assert found.valid and np.array_equal(found.inliers, ~behind)


def test_refusals_say_why() -> None:
    rng = np.random.default_rng(12)
    points, pixels, _, _ = matches(rng, 200, 1.0, 0.0)
    found = estimate_pose(points, pixels, K, CONFIG, 8.0, 0)
    assert not found.valid and "of 200 matches agree" in found.reason
    assert not found.inliers.any() and np.isnan(found.reprojection_px)
    assert np.array_equal(found.camera_from_object, np.eye(4))

    few = estimate_pose(points[:14], pixels[:14], K, CONFIG, 8.0, 0)
    assert not few.valid and few.reason == "14 matches, at least 15 are needed"
    assert not estimate_pose(points[:0], pixels[:0], K, CONFIG, 8.0, 0).valid

    same = estimate_pose(np.ones((30, 3)), pixels[:30], K, CONFIG, 8.0, 0)
    assert not same.valid and same.reason == "all object points coincide"

    line = np.linspace(-1, 1, 50)[:, None] * [1.0, 0.5, 0.2]
    assert isinstance(estimate_pose(line, look(camera(rng), line), K, CONFIG, 8.0, 0).reason, str)


def test_many_matches_are_judged_by_a_share_of_them() -> None:
    rng = np.random.default_rng(13)
    points, pixels, pose, wrong = matches(rng, 6000, 0.5, 0.5)
    found = estimate_pose(points, pixels, K, CONFIG, 8.0, 0)
    assert found.inliers[~wrong].all() and angle_deg(found.camera_from_object, pose) < 0.1


def test_bad_input_is_named() -> None:
    with pytest.raises(ShapeError, match=r"points_px has shape \[3, 2\], wanted \[n=4, 2\]: one pixel"):
        estimate_pose(np.zeros((4, 3)), np.zeros((3, 2)), K, CONFIG, 8.0, 0)
    with pytest.raises(InputError, match="threshold_px is 0"):
        estimate_pose(np.zeros((4, 3)), np.zeros((4, 2)), K, CONFIG, 0.0, 0)
