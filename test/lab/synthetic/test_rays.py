"""attnchain_ros.lab.synthetic.rays against its twin; what hides a point."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from attnchain_ros.lab.reference import rays as twin
from attnchain_ros.lab.synthetic import ClipConfig, make_clip
from attnchain_ros.lab.synthetic.motion import Pose
from attnchain_ros.lab.synthetic.rays import camera_shapes, hidden_points, meet_box, meet_capsule

_X, _Y = np.linspace(-0.5, 0.5, 19)[None, None, :], np.linspace(-0.4, 0.45, 17)[None, :, None]


def _rays() -> np.ndarray:
    x, y = np.broadcast_arrays(_X[0], _Y[0])
    return np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)


def test_boxes_agree_with_the_twin() -> None:
    met = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        centers, half = rng.uniform(-0.5, 0.5, (2, 3)) + np.array([0, 0, 3]), rng.uniform(0.05, 0.9, 3)
        axes = Rotation.random(2, random_state=seed).as_matrix()
        found = meet_box(centers, axes, half, _X, _Y).reshape(2, -1)
        for frame in range(2):
            wanted = twin.meet_box(centers[frame], axes[frame], half, _rays())
            both = np.isfinite(wanted) & np.isfinite(found[frame])
            # Only rays through an edge may differ.
            assert (np.isfinite(wanted) != np.isfinite(found[frame])).mean() < 0.005
            # Worst seen over 100 seeds 3.0e-6: a face almost along the ray.
            np.testing.assert_allclose(found[frame][both], wanted[both], atol=2e-5)
            met += both.sum()
    assert met > 1000


def test_capsules_agree_with_the_twin() -> None:
    met = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        start, end = rng.uniform(-0.8, 0.8, (2, 2, 3)) + np.array([0, 0, 3])
        radius = float(rng.uniform(0.05, 0.6))
        found = meet_capsule(start, end, radius, _X, _Y).reshape(2, -1)
        for frame in range(2):
            wanted = twin.meet_capsule(start[frame], end[frame], radius, _rays())
            np.testing.assert_array_equal(np.isfinite(wanted), np.isfinite(found[frame]))
            both = np.isfinite(wanted)
            # The result is float32 at a distance of about 3: worst seen over 100 seeds 1.5e-7.
            np.testing.assert_allclose(found[frame][both], wanted[both], atol=2e-6)
            met += both.sum()
    assert met > 1000


def test_a_box_straight_ahead() -> None:
    hit = meet_box(np.array([[0, 0, 3.0]]), np.eye(3)[None], np.array([0.5, 0.25, 1.0]), _X, _Y)[0]
    # The front face at z = 2 covers |x| <= 0.25 and |y| <= 0.125.
    inside = (np.abs(_X[0]) < 0.25) & (np.abs(_Y[0]) < 0.125)
    np.testing.assert_allclose(hit[inside], 2.0, atol=1e-6)
    assert np.isinf(hit[~inside]).mean() > 0.9


def _plates(half: list[list[float]], radii: list[float], centers: list[list[float]]) -> Pose:
    count = len(radii)
    axes = np.broadcast_to(np.eye(3), (1, count, 3, 3))
    return Pose(np.array(centers)[None], axes, np.array(half), np.array(radii), axes, np.zeros((1, count, 3)))


def test_a_plate_is_a_slab_with_round_edges() -> None:
    pose = _plates([[0.4, 0.3, 0.0]], [0.1], [[0, 0, 0]])
    camera = np.eye(4)[None].copy()
    camera[0, 2, 3] = 3.0
    shapes = list(camera_shapes(pose, camera))
    assert [shape.radius for shape in shapes] == [0.0, 0.1, 0.1, 0.1, 0.1]
    assert {shape.part for shape in shapes} == {0}
    hit = np.minimum.reduce([shape.meet(slice(None), _X, _Y)[0] for shape in shapes])
    rays = _rays().reshape(*hit.shape, 3)
    place = np.where(np.isfinite(hit), hit, 0)[..., None] * rays - [0, 0, 3]
    core = np.clip(place, [-0.4, -0.3, 0], [0.4, 0.3, 0])
    seen = np.isfinite(hit)
    np.testing.assert_allclose(np.linalg.norm((place - core)[seen], axis=-1), 0.1, atol=1e-6)
    assert seen.sum() > 25


@pytest.mark.parametrize("family", ["creature", "sheet", "drawer"])
def test_outlines_bound_the_shapes_tightly(family: str) -> None:
    clip = make_clip(2, ClipConfig(family=family, frames=2))
    x, y = np.linspace(-0.5, 0.5, 401)[None, None, :], np.linspace(-0.5, 0.5, 401)[None, :, None]
    for shape in camera_shapes(clip.pose, clip.camera_from_object):
        low, high = shape.bounds()
        rows, columns = np.nonzero(np.isfinite(shape.meet(slice(0, 1), x, y)[0]))
        seen = np.array([[x[0, 0, columns].min(), y[0, rows, 0].min()], [x[0, 0, columns].max(), y[0, rows, 0].max()]])
        # Rays are 0.0025 apart.
        assert (seen[0] >= low[0] - 1e-6).all() and (seen[1] <= high[0] + 1e-6).all()
        assert (seen[0] < low[0] + 0.006).all() and (seen[1] > high[0] - 0.006).all()


def test_a_plate_hides_what_is_behind_it() -> None:
    pose = _plates([[0.3, 0.3, 0.0]], [0.1], [[0, 0, 0]])
    camera = np.eye(4)[None].copy()
    camera[0, 2, 3] = 3.0
    # In front of it, on its front, on its back, behind it, beside it.
    points = np.array([[[0, 0, -0.5], [0, 0, -0.1], [0, 0, 0.1], [0, 0, 0.5], [0.6, 0, 0.5]]])
    assert hidden_points(points, pose, camera).tolist() == [[False, False, True, True, False]]
