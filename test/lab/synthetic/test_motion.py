"""attnchain_ros.lab.synthetic.motion: rotations against scipy, rigid parts, joints that hold, slides, the fit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from attnchain_ros.errors import InputError
from attnchain_ros.lab.synthetic.families import FAMILIES
from attnchain_ros.lab.synthetic.model import Model, boxes
from attnchain_ros.lab.synthetic.motion import (
    PERIOD_FRAMES,
    Motion,
    Waves,
    fit_unit_sphere,
    ping_pong,
    pose_model,
    rotation_matrices,
    take_frames,
)


def drawn(family: str, seed: int) -> tuple[Model, Motion]:
    """A random thing."""
    rng = np.random.default_rng(seed)
    model = FAMILIES[family].draw_model(rng)
    return model, FAMILIES[family].draw_motion(rng, model)


def test_rotation_matrices_agree_with_scipy() -> None:
    angles = np.random.default_rng(0).uniform(-2, 2, (50, 3))
    wanted = Rotation.from_euler("xzy", angles[:, [0, 2, 1]]).as_matrix()
    np.testing.assert_allclose(rotation_matrices(angles), wanted, atol=1e-14)


def test_waves_are_sums_of_sinusoids() -> None:
    waves = Waves.still(2)
    waves.amplitude[:, 1, 2], waves.cycles[:, 1, 2], waves.phase[:, 1, 2] = (2.0, 0.5), (3, 7), (0.3, -1.0)
    times = np.array([0.0, 10.5, 300.0])
    found = waves.at(times)
    turn = 2 * np.pi * times / 240
    np.testing.assert_allclose(found[:, 1, 2], 2 * np.sin(3 * turn + 0.3) + 0.5 * np.sin(7 * turn - 1), atol=1e-12)
    assert np.count_nonzero(found) == 3


@pytest.mark.parametrize("family", FAMILIES)
def test_parts_are_rigid_and_joints_hold(family: str) -> None:
    model, motion = drawn(family, 1)
    pose = pose_model(model, motion, np.arange(20))
    length = np.linalg.norm(model.ends - model.starts, axis=1)
    np.testing.assert_allclose(np.linalg.norm(pose.ends - pose.starts, axis=-1), length[None].repeat(20, 0), atol=1e-12)
    slides = motion.slides.at(np.arange(20))
    for part, parent in enumerate(model.parents):
        moved = pose.rotations[:, part] @ model.starts[part] + pose.shifts[:, part]
        np.testing.assert_allclose(pose.starts[:, part], moved, atol=1e-12)
        np.testing.assert_allclose(np.linalg.det(pose.rotations[:, part]), 1.0, atol=1e-12)
        if parent >= 0:
            # The pivot as the part carries it is where the parent carries it, but for the slide.
            pivot = model.pivots[part]
            own = pose.rotations[:, part] @ pivot + pose.shifts[:, part]
            held = np.einsum("fij,fj->fi", pose.rotations[:, parent], pivot + slides[:, part]) + pose.shifts[:, parent]
            np.testing.assert_allclose(own, held, atol=1e-12)


def test_a_slide_moves_along_the_turned_parent() -> None:
    model = Model(
        boxes([(-1, -1, -1), (1, -1, -1)], [(1, 1, 1), (2, 1, 1)]),
        (-1, 0),
        np.array([[0.0, 0, 0], [1, 0, 0]]),
        np.zeros((2, 3), dtype=np.uint8),
        soft=False,
    )
    turns, slides = Waves.still(2), Waves.still(2)
    turns.amplitude[0, 0, 1], turns.phase[0, 0, 1] = np.pi / 2, np.pi / 2  # a constant quarter turn about y
    slides.amplitude[0, 1, 0], slides.phase[0, 1, 0] = 0.5, np.pi / 2  # a constant slide along x
    pose = pose_model(model, Motion(turns, slides), np.zeros(1))
    # A quarter turn about y takes +x to -z.
    np.testing.assert_allclose(pose.centers[0], [[0, 0, 0], [0, 0, -2.0]], atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_motion_repeats_after_the_period_and_not_before(family: str) -> None:
    model, motion = drawn(family, 2)
    pose = pose_model(model, motion, np.array([3, 3 + PERIOD_FRAMES, 3 + PERIOD_FRAMES // 2]))
    np.testing.assert_allclose(pose.ends[0], pose.ends[1], atol=1e-10)
    assert np.abs(pose.ends[0] - pose.ends[2]).max() > 0.01


@pytest.mark.parametrize("family", FAMILIES)
def test_fit_centres_frame_zero_in_the_unit_sphere(family: str) -> None:
    for seed in range(3):
        model, motion = drawn(family, seed)
        scale, period = fit_unit_sphere(model, motion)
        farthest = (np.linalg.norm(period.corners, axis=-1) + period.radii[:, None]).max()
        np.testing.assert_allclose(farthest, 0.985, atol=1e-12)
        first, reach = period.corners[0], period.radii[:, None, None]
        np.testing.assert_allclose((first + reach).max((0, 1)), -(first - reach).min((0, 1)), atol=1e-12)
        # The rigid motions belong to the scaled thing.
        scaled = model.scaled(scale)
        moved = np.einsum("fpij,pj->fpi", period.rotations, scaled.ends) + period.shifts
        np.testing.assert_allclose(moved, period.ends, atol=1e-12)
        assert take_frames(period, np.arange(4)).starts.shape == (4, len(model.parents), 3)


def test_ping_pong() -> None:
    order = ping_pong(16, 240)
    assert order[:18].tolist() == [*range(16), 14, 13]
    assert set(np.abs(np.diff(order)).tolist()) == {1} and order.max() == 15
    assert ping_pong(1, 3).tolist() == [0, 0, 0]
    with pytest.raises(InputError, match="0 frames"):
        ping_pong(0, 3)
