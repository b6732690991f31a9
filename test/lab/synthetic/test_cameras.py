"""attnchain_ros.lab.synthetic.cameras: directions, distances, crops."""

from __future__ import annotations

import numpy as np
import pytest

from attnchain_ros.lab.synthetic import FAMILIES, ClipConfig, make_clip
from attnchain_ros.lab.synthetic.cameras import (
    ball_bounds,
    crop_intrinsics,
    fitting_distance,
    orbit_cameras,
    pinhole_intrinsics,
    silhouette_bounds,
)


def test_front_view_looks_along_minus_z_with_plus_x_on_the_right() -> None:
    side = orbit_cameras(np.zeros(1), 0.0, 3.0)[0]
    np.testing.assert_allclose(side @ [1, 0, 0, 1], [1, 0, 3, 1], atol=1e-12)
    np.testing.assert_allclose(side @ [0, 1, 0, 1], [0, -1, 3, 1], atol=1e-12)
    np.testing.assert_allclose(side @ [0, 0, 1, 1], [0, 0, 2, 1], atol=1e-12)
    raised = orbit_cameras(np.array([0.4]), 0.3, 3.0)[0]
    np.testing.assert_allclose(np.linalg.det(raised[:3, :3]), 1.0, atol=1e-12)
    # A raised camera sees the top: +y comes nearer and stays upwards in the picture.
    assert (raised @ [0, 0.5, 0, 1])[2] < 3.0
    assert (raised @ [0, 0.5, 0, 1])[1] < 0.0


def test_cameras_may_each_have_their_own_angles_and_distance() -> None:
    yaw, elevation, distance = np.array([0.1, -0.4]), np.array([0.2, 0.3]), np.array([2.0, 3.0])
    both = orbit_cameras(yaw, elevation, distance)
    for frame in range(2):
        one = orbit_cameras(yaw[frame : frame + 1], elevation[frame], distance[frame])[0]
        np.testing.assert_array_equal(both[frame], one)


def test_intrinsics_have_the_asked_angle_and_centre() -> None:
    intrinsics = pinhole_intrinsics(64, np.deg2rad(49.13))
    # Focal length 2.1875 in units of half the side (App. C).
    np.testing.assert_allclose(intrinsics[0, 0] / 32, 2.1875, atol=2e-3)
    np.testing.assert_array_equal(intrinsics[:2, 2], [31.5, 31.5])


def test_outline_of_a_ball() -> None:
    # Straight ahead at 2 with radius 1: the tangent leaves at 30 degrees.
    low, high = ball_bounds(np.array([0.0, 0.0, 2.0]), 1.0)
    np.testing.assert_allclose(high, np.tan(np.pi / 6), atol=1e-12)
    np.testing.assert_allclose(low, -np.tan(np.pi / 6), atol=1e-12)
    # A point is its own outline.
    low, high = ball_bounds(np.array([0.6, -0.2, 2.0]), 0.0)
    np.testing.assert_allclose([low, high], [[0.3, -0.1]] * 2, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_fitting_distance_fits_just_so(family: str) -> None:
    pose = make_clip(1, ClipConfig(family=family, frames=30)).pose
    yaw, elevation, fov = 0.5, 0.3, np.deg2rad(49.13)
    distance = fitting_distance(pose, yaw, elevation, fov)
    edge = np.tan(0.5 * fov)
    for factor, fits in ((1.0, True), (0.99, False)):
        low, high = silhouette_bounds(pose, orbit_cameras(np.full(30, yaw), elevation, factor * distance))
        assert (max(-low.min(), high.max()) <= edge + 1e-9) == fits


def test_crop_is_the_padded_union_box() -> None:
    clip = make_clip(2, ClipConfig(frames=3))
    low, high = silhouette_bounds(clip.pose, clip.camera_from_object)
    low, high = low.min((0, 1)), high.max((0, 1))
    intrinsics = crop_intrinsics(clip.pose, clip.camera_from_object, 50, 0.1)
    pixels = np.stack([low, high]) * intrinsics[0, 0] + intrinsics[:2, 2]
    # Of 50 pixels, 50 / 1.2 are the longer side, in the middle between -0.5 and 49.5.
    np.testing.assert_allclose(np.ptp(pixels, axis=0).max(), 50 / 1.2, atol=1e-9)
    np.testing.assert_allclose(pixels.mean(axis=0), 24.5, atol=1e-9)
