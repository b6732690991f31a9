"""Cameras from what rests, keyframes, and the first pose."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from attnchain_ros.camera.first_pose import find_first_pose
from attnchain_ros.camera.raycast import rasterize
from attnchain_ros.camera.tracks3d import to_camera
from attnchain_ros.lab.reference import parts as twin
from attnchain_ros.lab.synthetic import ClipConfig, split_clip
from attnchain_ros.parts.cameras import TrackedPoints, camera_series, object_share, pose_at_rest, smooth_poses
from attnchain_ros.parts.keyframes import least_missed, read_error, turn_between, worth_keeping
from attnchain_ros.parts.patches import Patches

INTRINSICS = np.array([[260.0, 0, 127.5], [0, 260.0, 127.5], [0, 0, 1]])


def pose_of(yaw_deg: float, distance: float = 3.0) -> np.ndarray:
    pose = np.eye(4)
    turn = Rotation.from_euler("x", 20, degrees=True) * Rotation.from_euler("y", -yaw_deg, degrees=True)
    pose[:3, :3] = np.diag([1.0, -1.0, -1.0]) @ turn.as_matrix()
    pose[:3, 3] = [0, 0, distance]
    return pose


def seen(points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    flat = (points @ pose[:3, :3].T + pose[:3, 3]) @ INTRINSICS.T
    return flat[:, :2] / flat[:, 2:]


def angle_deg(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.degrees(turn_between(one[:3, :3], other[:3, :3])))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_a_pose_ends_where_least_squares_ends(rng: np.random.Generator) -> None:
    points, true, start = rng.uniform(-0.7, 0.7, (60, 3)), pose_of(30), pose_of(27, 3.05)
    pixels = seen(points, true) + 0.3 * rng.normal(size=(60, 2))
    pixels[::5] += rng.uniform(-30, 30, (12, 2))
    weights = rng.uniform(0.3, 1, 60)
    found, away = pose_at_rest(points, pixels, weights, start, INTRINSICS)
    assert angle_deg(found, true) < 0.3 and (away < 2).sum() >= 45
    best = least_squares(
        lambda step: twin.rest_residuals(step, found, points, (pixels, weights), INTRINSICS), np.full(6, 1e-3),
        xtol=1e-14, ftol=1e-14, gtol=1e-12, jac="3-point",
    )  # fmt: skip
    assert np.abs(best.x).max() < 3e-4


def test_smoothing_against_the_twin(rng: np.random.Generator) -> None:
    first, middle = pose_of(0), np.array([0.1, 0.2, -0.1])
    poses = np.stack([pose_of(2.0 * f + rng.normal(), 3 + 0.05 * rng.normal()) for f in range(1, 9)])
    errors = np.where(np.arange(8) == 3, np.inf, rng.uniform(1, 5, 8))
    found = smooth_poses(first, poses, errors, 1.0, middle)
    turns = Rotation.from_matrix(poses[:, :3, :3] @ first[:3, :3].T).as_rotvec()
    own = Rotation.from_matrix(found[:, :3, :3] @ first[:3, :3].T).as_rotvec()
    shifts, own_shifts = ((p[:, :3, :3] - first[:3, :3]) @ middle + p[:, :3, 3] - first[:3, 3] for p in (poses, found))
    for values, smooth in ((turns, own), (shifts, own_shifts)):
        for axis in range(3):
            assert np.allclose(smooth[:, axis], twin.smooth_values(values[:, axis], errors, 1.0), atol=1e-9)


def frames_of(camera_deg: float, object_deg: float, chain_deg: float, rng: np.random.Generator) -> list[TrackedPoints]:
    """Ten frames of a thing that turns and is gone round; the chain gives it a turn of its own."""
    points = rng.uniform(-0.6, 0.6, (80, 3))
    frames = []
    for frame in range(1, 11):
        turn, says = (
            Rotation.from_euler("y", d * frame / 10, degrees=True).as_matrix() for d in (object_deg, chain_deg)
        )
        pixel = seen(points @ turn.T, pose_of(camera_deg * frame / 10)) + 0.2 * rng.normal(size=(80, 2))
        frames.append(TrackedPoints(points, points @ says.T, pixel, np.ones(80), np.ones(80)))
    return frames


def test_what_the_chain_lets_rest_is_the_cameras_turn(rng: np.random.Generator) -> None:
    found = camera_series(frames_of(20, 0, 3, rng), pose_of(0), INTRINSICS)
    assert found.enough.all() and angle_deg(found.poses[-1], pose_of(20)) < 1


def test_what_the_chain_turns_is_the_objects_turn(rng: np.random.Generator) -> None:
    found = camera_series(frames_of(0, 20, 18, rng), pose_of(0), INTRINSICS)
    assert found.enough.all() and angle_deg(found.poses[-1], pose_of(0)) < 3


def test_a_picture_that_stays_is_a_camera_that_stays(rng: np.random.Generator) -> None:
    found = camera_series(frames_of(0, 0, 25, rng), pose_of(0), INTRINSICS)
    assert angle_deg(found.poses[-1], pose_of(0)) < 0.5


def test_object_share() -> None:
    start = pose_of(0)
    whole, half = (np.stack([pose_of(share * d) for d in (5, 10)]) for share in (1.0, 0.5))
    assert object_share(start, whole, whole) == pytest.approx(0.0, abs=1e-9)
    assert object_share(start, whole, half) == pytest.approx(0.5, abs=0.02)
    assert object_share(start, whole, np.stack([start, start])) == pytest.approx(1.0, abs=1e-9)


def test_without_tracks_there_is_no_pose() -> None:
    none = TrackedPoints(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 2)), np.zeros(0), np.zeros(0))
    found = camera_series([none, none], pose_of(0), INTRINSICS)
    assert not found.enough.any() and np.allclose(found.poses, pose_of(0))


def test_read_error_against_the_twin(rng: np.random.Generator) -> None:
    of = np.repeat(np.arange(4), 5)
    patches = Patches(rng.normal(size=(20, 3)), of, np.zeros((0, 2), np.int64), 4)
    kept, now, variance = rng.normal(size=(20, 3)), rng.normal(size=(20, 3)), rng.uniform(0, 0.01, 20)
    assert read_error(variance, kept, now, 0.7, patches) == pytest.approx(twin.read_error(variance, kept, now, 0.7, of))


def test_keyframes_are_views_that_differ_and_are_sure() -> None:
    views = [pose_of(d)[:3, :3] for d in (0, 40, 90)]
    assert worth_keeping(pose_of(140)[:3, :3], views, np.full(9, 0.003), np.deg2rad(25))
    assert not worth_keeping(pose_of(60)[:3, :3], views, np.full(9, 0.003), np.deg2rad(25))
    assert not worth_keeping(pose_of(140)[:3, :3], views, np.full(9, 0.05), np.deg2rad(25))
    assert least_missed([*views, pose_of(100)[:3, :3], pose_of(200)[:3, :3]]) in (2, 3)
    # The first is never given up, however like another it is.
    assert least_missed([views[0], pose_of(1)[:3, :3], views[2]]) == 1


def test_the_first_pose_is_found_from_any_start() -> None:
    """A chest of drawers, whose outline looks alike from several sides, from a start that is 90 degrees off."""
    clip = split_clip("validation", 6, ClipConfig(frames=1, image_size=128))
    true = clip.camera_from_object[0]
    start = true.copy()
    start[:3, :3] = true[:3, :3] @ Rotation.from_euler("y", 90, degrees=True).as_matrix()
    found = find_first_pose((clip.vertices[0], clip.faces), clip.intrinsics, clip.masks[0], (start,))
    assert found is not None and angle_deg(found[0], true) < 3 and found[1] > 0.95
    assert find_first_pose((clip.vertices[0], clip.faces), clip.intrinsics, np.zeros_like(clip.masks[0])) is None


def test_a_start_that_fits_as_well_is_kept() -> None:
    """A box seen from the front fits from behind, too: what attention said decides."""
    x, y, z = np.meshgrid([-0.5, 0.5], [-0.3, 0.3], [-0.4, 0.4], indexing="ij")
    vertices = np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1).astype(np.float32)
    faces = np.array([[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6],
                      [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]], np.int32)  # fmt: skip
    true = pose_of(205)
    mask = rasterize(to_camera(vertices[None], true)[0], faces, INTRINSICS, 256, 256).face >= 0
    found = find_first_pose((vertices, faces), INTRINSICS, mask, (pose_of(210),))
    assert found is not None and angle_deg(found[0], true) < 6
