"""attnchain_ros.synthetic.motion: rotations against scipy, rigid parts, joints that hold, the fit."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from attnchain_ros.synthetic.creature import PART_PARENTS, draw_creature
from attnchain_ros.synthetic.motion import (
    PERIOD_FRAMES,
    draw_motion,
    fit_unit_sphere,
    pose_creature,
    rotation_matrices,
    take_frames,
)


def test_rotation_matrices_agree_with_scipy() -> None:
    angles = np.random.default_rng(0).uniform(-2, 2, (50, 3))
    wanted = Rotation.from_euler("xzy", angles[:, [0, 2, 1]]).as_matrix()
    np.testing.assert_allclose(rotation_matrices(angles), wanted, atol=1e-14)


def test_parts_are_rigid_and_joints_hold() -> None:
    rng = np.random.default_rng(1)
    creature, motion = draw_creature(rng), draw_motion(rng, drift=0.1)
    pose = pose_creature(creature, motion, np.arange(20))
    length = np.linalg.norm(creature.ends - creature.starts, axis=1)
    np.testing.assert_allclose(np.linalg.norm(pose.ends - pose.starts, axis=-1), length[None].repeat(20, 0), atol=1e-12)
    for part, parent in enumerate(PART_PARENTS):
        moved = pose.rotations[:, part] @ creature.starts[part] + pose.shifts[:, part]
        np.testing.assert_allclose(pose.starts[:, part], moved, atol=1e-12)
        if parent >= 0:
            joint = pose.rotations[:, parent] @ creature.pivots[part] + pose.shifts[:, parent]
            np.testing.assert_allclose(pose.starts[:, part], joint, atol=1e-12)


def test_motion_repeats_after_the_period_and_not_before() -> None:
    rng = np.random.default_rng(2)
    creature, motion = draw_creature(rng), draw_motion(rng)
    pose = pose_creature(creature, motion, np.array([3, 3 + PERIOD_FRAMES, 3 + PERIOD_FRAMES // 2]))
    np.testing.assert_allclose(pose.ends[0], pose.ends[1], atol=1e-10)
    assert np.abs(pose.ends[0] - pose.ends[2]).max() > 0.01


def test_fit_centres_frame_zero_in_the_unit_sphere() -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        creature, motion = draw_creature(rng), draw_motion(rng)
        scale, period = fit_unit_sphere(creature, motion)
        points = np.stack([period.starts, period.ends], axis=2)
        farthest = (np.linalg.norm(points, axis=-1) + period.radii[:, None]).max()
        np.testing.assert_allclose(farthest, 0.985, atol=1e-12)
        reach = period.radii[:, None, None]
        np.testing.assert_allclose((points[0] + reach).max((0, 1)), -(points[0] - reach).min((0, 1)), atol=1e-12)
        # The rigid motions belong to the scaled animal.
        scaled = creature.scaled(scale)
        moved = np.einsum("fpij,pj->fpi", period.rotations, scaled.ends) + period.shifts
        np.testing.assert_allclose(moved, period.ends, atol=1e-12)
        assert take_frames(period, np.arange(4)).starts.shape == (4, 13, 3)
