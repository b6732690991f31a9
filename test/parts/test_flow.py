"""Pixels followed by flow: squares of frames, steps, finding again, and what the mesh shows."""

from __future__ import annotations

import numpy as np
import pytest

from attnchain_ros.camera.crop import Crop
from attnchain_ros.lab.reference import parts as twin
from attnchain_ros.mesh.types import vertex_normals
from attnchain_ros.parts.flow import (
    View,
    cut_view,
    find_again,
    flow_both_ways,
    read_mask,
    step_points,
    working_crop,
)
from attnchain_ros.parts.sight import look_at_points


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def texture(size: int, shift: tuple[float, float], phases: np.ndarray) -> np.ndarray:
    """[size, size, 3] uint8 smooth waves, moved by ``shift`` pixels."""
    y, x = np.mgrid[:size, :size]
    value = sum(
        np.sin(((x - shift[0]) * np.cos(a) + (y - shift[1]) * np.sin(a)) / w + p) for a, w, p in phases.tolist()
    )
    value = 127 + 25 * np.asarray(value)
    return np.repeat(np.clip(value, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


@pytest.fixture
def phases(rng: np.random.Generator) -> np.ndarray:
    return np.column_stack([rng.uniform(0, np.pi, 5), rng.uniform(3, 9, 5), rng.uniform(0, 6, 5)])


def test_working_squares_have_whole_pixels_and_are_never_enlarged() -> None:
    square = Crop(10.2, 20.7, 100.3, 224)
    found = working_crop(square, 256)
    assert found.size == found.side and found.x0 % 1 == 0.5 and found.y0 % 1 == 0.5
    assert found.x0 <= square.x0 and found.x0 + found.side >= square.x0 + square.side
    assert found.y0 <= square.y0 and found.y0 + found.side >= square.y0 + square.side
    assert working_crop(Crop(0, 0, 800, 1), 256).size == 256


@pytest.mark.parametrize("size", [40, 20])
def test_views_are_the_frame_seen_through_the_square(rng: np.random.Generator, size: int) -> None:
    image = np.repeat(rng.integers(0, 255, (60, 70, 1), np.uint8), 3, axis=2)
    mask = np.zeros((60, 70), bool)
    mask[:, :30] = True
    crop = Crop(9.5, 4.5, 40.0, size)
    view = cut_view(image, mask, crop)
    step = 40 // size
    cut = image[5:45, 10:50, 0].reshape(size, step, size, step).mean(axis=(1, 3))
    assert np.abs(view.grey - cut).max() <= 1
    assert np.array_equal(view.mask, mask[5:45:step, 10:50:step])


def test_beyond_the_frame_the_border_is_repeated_and_there_is_no_object() -> None:
    image = np.full((20, 20, 3), 77, np.uint8)
    image[:, 0] = 200
    view = cut_view(image, np.ones((20, 20), bool), Crop(-10.5, -5.5, 40.0, 40))
    assert (view.grey[:, :10] == 200).all() and (view.grey[:, 15:] == 77).all()
    assert not view.mask[:, :10].any() and not view.mask[:5].any() and view.mask[5:25, 10:30].all()
    outside = cut_view(image, np.ones((20, 20), bool), Crop(99.5, 99.5, 10.0, 10))
    assert not outside.mask.any()


def test_steps_against_the_twin(rng: np.random.Generator) -> None:
    there, back = (rng.normal(0, 2, (32, 32, 2)).astype(np.float32) for _ in range(2))
    back[8:24, 8:24] = -there[8:24, 8:24]
    points, mask = rng.uniform(0, 31, (200, 2)), rng.uniform(size=(32, 32)) > 0.3
    found, held = step_points(points, there, back, mask)
    wanted, twin_held = twin.step_points(points, there, back, mask)
    assert np.allclose(found, wanted, atol=1e-5) and np.array_equal(held, twin_held)
    assert held.any() and not held.all()
    lost = step_points(np.full((1, 2), np.nan), there, back, mask)
    assert np.isnan(lost[0]).all() and not lost[1].any()


def test_flow_follows_a_picture_that_moves(phases: np.ndarray) -> None:
    every = np.ones((128, 128), bool)
    views = [View(texture(128, (1.6 * f, -0.9 * f), phases)[..., 0], every) for f in range(2)]
    start = np.stack(np.meshgrid(np.arange(30, 100, 7.0), np.arange(30, 100, 7.0)), axis=-1).reshape(-1, 2)
    found, held = step_points(start, *flow_both_ways(*views), every)
    assert held.mean() > 0.95 and np.median(np.linalg.norm(found - start - [1.6, -0.9], axis=1)) < 0.2


def test_points_are_found_again_near_a_guess_and_not_far_away(rng: np.random.Generator, phases: np.ndarray) -> None:
    first, second = texture(128, (0, 0), phases)[..., 0], texture(128, (20, 10), phases)[..., 0]
    start = rng.uniform(30, 80, (40, 2))
    found, held = find_again(first, second, start, start + rng.normal((20, 10), 1.5, (40, 2)))
    assert held.mean() > 0.9 and np.abs(found[held] - start[held] - [20, 10]).max() < 0.2
    assert find_again(first, rng.integers(0, 255, (128, 128), np.uint8), start, start)[1].mean() < 0.1
    assert len(find_again(first, second, np.zeros((0, 2)), np.zeros((0, 2)))[0]) == 0


def test_masks_are_read_at_the_nearest_pixel() -> None:
    mask = np.zeros((4, 5), bool)
    mask[1, 3] = True
    points = np.array([[3.4, 0.6], [2.6, 1.4], [3.6, 1.0], [-0.6, 1.0], [np.nan, 1.0], [99.0, 1.0]])
    assert read_mask(mask, points).tolist() == [True, True, False, False, False, False]


def test_sight_of_a_cube() -> None:
    """Its front corners are seen; those behind are hidden by it."""
    x, y, z = np.meshgrid([-0.5, 0.5], [-0.5, 0.5], [2.5, 3.5], indexing="ij")
    vertices = np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1)
    faces = np.array([[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6],
                      [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]])  # fmt: skip
    normals = vertex_normals(vertices, faces)
    assert np.allclose(np.linalg.norm(normals, axis=1), 1.0)
    assert (normals * (vertices - [0, 0, 3]) > 0).all()
    matrix = np.array([[100.0, 0, 63.5], [0, 100.0, 63.5], [0, 0, 1]])
    points = np.array([[0.1, 0.2, 2.5], [0.1, 0.2, 3.5], [np.nan] * 3, [0.5, 0.0, 3.0]])
    towards = np.array([[0, 0, -1.0], [0, 0, 1.0], [0, 0, -1.0], [1.0, 0, 0]])
    sight = look_at_points((vertices, faces), points, towards, matrix, 128, 0.02)
    assert sight.visible.tolist()[:3] == [True, False, False] and sight.clear.tolist() == [True, False, False, False]
    assert np.allclose(sight.pixels[0], [63.5 + 4, 63.5 + 8])
