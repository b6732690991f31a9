"""camera.tracks3d and camera.scale: points carried by the surface, agreement of 2D and 3D, visibility, metric scale."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from attnchain_ros.camera.raycast import intersect_pixels, rasterize
from attnchain_ros.camera.scale import metric_scale
from attnchain_ros.camera.tracks3d import carry_points, project, to_camera, visibility
from attnchain_ros.errors import InputError, ShapeError
from attnchain_ros.lab.reference import tracks3d as twin

K = np.array([[60.0, 0, 31.5], [0, 60.0, 23.5], [0, 0, 1]])
CUBE = np.array([[x, y, z] for x in (-1.0, 1) for y in (-1.0, 1) for z in (-1.0, 1)])
SQUARES = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
FACES = np.concatenate([SQUARES[:, [0, 1, 2]], SQUARES[:, [0, 2, 3]]])


def poses(rng: np.random.Generator, frames: int) -> np.ndarray:
    found = np.tile(np.eye(4), (frames, 1, 1))
    found[:, :3, :3] = Rotation.random(frames, random_state=rng).as_matrix()
    found[:, :3, 3] = rng.uniform([-0.3, -0.2, 4.5], [0.3, 0.2, 6.0], (frames, 3))
    return found


def moving_cube(frames: int) -> np.ndarray:
    scale = np.linspace(1.0, 1.3, frames)[:, None, None]
    return (CUBE * scale).astype(np.float32)


def test_against_twins() -> None:
    rng = np.random.default_rng(0)
    vertices, pose = moving_cube(3), poses(rng, 3)
    face = np.array([0, 5, -1, 11])
    weight = rng.dirichlet([1, 1, 1], 4)
    carried = carry_points(vertices, FACES, face, weight)
    np.testing.assert_allclose(carried, twin.carry_points(vertices, FACES, face, weight), atol=2e-7)
    seen = to_camera(carried, pose)
    np.testing.assert_allclose(seen, twin.to_camera(carried.astype(float), pose), atol=1e-6)
    for frame in range(3):
        np.testing.assert_allclose(project(K, seen[frame]), twin.project(K, seen[frame]), atol=1e-6)
    assert np.isnan(carried[:, 2]).all() and np.isnan(seen[:, 2]).all()
    points = rng.uniform([-6, -5, -1], [6, 5, 8], (3, 200, 3)).astype(np.float32)
    points[1, :7] = np.nan
    buffers = [rasterize(twin.to_camera(vertices[[f]], pose[[f]])[0], FACES, K, 48, 64) for f in range(3)]
    fast, slow = (module(points, buffers, K, 0.1) for module in (visibility, twin.visibility))
    assert np.array_equal(fast, slow) and 0.02 < fast.mean() < 0.98


def test_one_pose_for_all_frames() -> None:
    pose = poses(np.random.default_rng(1), 1)[0]
    points = moving_cube(3)
    np.testing.assert_array_equal(to_camera(points, pose), to_camera(points, np.stack([pose] * 3)))


def test_lifted_pixel_projects_back_onto_itself() -> None:
    """2D and 3D tracks of one point agree through K: pixel -> ray -> surface -> camera -> pixel."""
    rng = np.random.default_rng(2)
    pose = poses(rng, 1)
    seen = to_camera(CUBE[None], pose)[0]
    pixels = rng.uniform([24, 16], [39, 31], (40, 2))
    face, weight = intersect_pixels(seen, FACES, K, pixels)
    assert (face >= 0).all()
    points = to_camera(carry_points(CUBE[None], FACES, face, weight), pose)
    # float32 points at depth 5 and weights: 60 px * 5e-7; worst seen 1e-5 px
    np.testing.assert_allclose(project(K, points)[0], pixels, atol=1e-4)


def test_rigid_motion_carries_tracks_rigidly() -> None:
    rng = np.random.default_rng(3)
    moves = poses(rng, 4)
    vertices = to_camera(np.stack([CUBE] * 4), moves)
    face, weight = rng.integers(0, 12, 10), rng.dirichlet([1, 1, 1], 10)
    rest = carry_points(CUBE[None], FACES, face, weight)
    np.testing.assert_allclose(
        carry_points(vertices, FACES, face, weight), to_camera(np.repeat(rest, 4, axis=0), moves), atol=2e-6
    )


def test_front_is_visible_and_back_is_hidden() -> None:
    pose = np.eye(4)
    pose[2, 3] = 6.0
    seen = to_camera(CUBE[None], pose)
    buffers = [rasterize(seen[0], FACES, K, 48, 64)]
    grid = np.stack(np.meshgrid([-0.7, 0, 0.6], [-0.6, 0.1, 0.7]), axis=-1).reshape(-1, 2)
    for z, wanted in ((5.0, True), (5.03, True), (5.1, False), (7.0, False)):
        points = np.concatenate([grid, np.full((9, 1), z)], axis=1)[None]
        assert (visibility(points, buffers, K, 0.05) == wanted).all(), z
    aside = np.array([[[0.0, 0, -5.0], [30.0, 0, 5.0], [np.nan, 0, 5.0], [1.9, 0, 9.0]]])
    assert visibility(aside, buffers, K, 0.05).tolist() == [[False, False, False, True]]


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="face indices run from -2 to 0"):
        carry_points(CUBE[None], FACES, np.array([0, -2]), np.zeros((2, 3)))
    with pytest.raises(InputError, match="0 buffers for 1 frames"):
        visibility(CUBE[None], [], K, 0.1)
    with pytest.raises(ShapeError, match="one pose per frame"):
        to_camera(CUBE[None], np.zeros((2, 4, 4)))


def test_metric_scale_bears_wrong_pixels() -> None:
    rng = np.random.default_rng(4)
    drawn = rng.uniform(4, 6, (20, 30)).astype(np.float32)
    drawn[:, 25:] = np.inf
    mask = np.ones((20, 30), dtype=bool)
    mask[:3] = False
    measured = drawn * np.float32(0.25) + rng.normal(size=drawn.shape).astype(np.float32) * 0.01
    measured[:, 25:] = 3.0
    measured[:3] = 9.0  # outside the mask
    measured[3:8] = 0.0  # unknown
    measured[8:12] = 7.5  # background seen through: a third of what is left
    measured[12, :4] = np.nan
    assert metric_scale(measured, mask, drawn) == pytest.approx(0.25, abs=0.003)
    assert metric_scale(measured, mask, drawn, min_pixels=301) is None
    assert metric_scale(measured, mask & False, drawn) is None
    with pytest.raises(ShapeError, match="depth image's size"):
        metric_scale(measured, mask[:5], drawn)
