"""camera.intrinsics: numbers worked out by hand, and undistortion against points bent by the lens model."""

from __future__ import annotations

import math

import numpy as np
import pytest

from attnchain_ros.camera.intrinsics import Undistorter, camera_info_matrix, check_intrinsics, default_intrinsics
from attnchain_ros.errors import InputError, ShapeError

K = np.array([[300.0, 0, 159.5], [0, 300.0, 119.5], [0, 0, 1]])


def test_default_field_of_view() -> None:
    k = default_intrinsics(720, 1280)
    assert (k[0, 2], k[1, 2]) == (639.5, 359.5)
    # 49.13 degrees across the shorter side, edge to edge
    assert math.degrees(2 * math.atan(360 / k[1, 1])) == pytest.approx(49.13, abs=0.01)
    assert np.array_equal(default_intrinsics(1280, 720)[:2, :2], k[:2, :2])


def test_region_and_binning_follow_a_point() -> None:
    """A sensor pixel's place in the published image: cut first, then b x b pixels become one."""
    k = np.array([[500.0, 0, 320], [0, 510, 240], [0, 0, 1]])
    published = camera_info_matrix(k, roi=(64, 32), binning=(2, 4))
    ray = np.array([0.1, -0.2, 1.0])
    sensor = (k @ ray)[:2]
    wanted = [(sensor[0] - 64 + 0.5) / 2 - 0.5, (sensor[1] - 32 + 0.5) / 4 - 0.5]
    np.testing.assert_allclose((published @ ray)[:2], wanted, atol=1e-12)
    assert np.array_equal(camera_info_matrix(k.ravel(), binning=(0, 0)), k)


def test_projection_matrix_replaces_k_for_rectified_images() -> None:
    p = [400.0, 0, 300, -48.0, 0, 400, 200, 0, 0, 0, 1, 0]
    assert camera_info_matrix(K, p).tolist() == [[400, 0, 300], [0, 400, 200], [0, 0, 1]]
    assert camera_info_matrix(np.zeros(9)) is None


def test_bad_intrinsics_are_named() -> None:
    with pytest.raises(InputError, match="focal lengths are 0 and 300"):
        check_intrinsics(np.diag([0.0, 300, 1]))
    with pytest.raises(InputError, match="not finite"):
        check_intrinsics(K * np.nan)
    with pytest.raises(InputError, match="are not"):
        check_intrinsics(K.T)
    with pytest.raises(ShapeError, match="intrinsics has shape"):
        check_intrinsics(K[:2])
    with pytest.raises(ShapeError, match="P of CameraInfo has 9 values, wanted 12"):
        camera_info_matrix(K, K)
    with pytest.raises(InputError, match="binning"):
        camera_info_matrix(K, binning=(-1, 1))


def plumb_bob(x: float, y: float, d: list[float]) -> tuple[float, float]:
    k1, k2, p1, p2, k3 = d[:5]
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    if len(d) == 8:
        radial /= 1 + d[5] * r2 + d[6] * r2**2 + d[7] * r2**3
    return x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x), y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y


def equidistant(x: float, y: float, d: list[float]) -> tuple[float, float]:
    r = math.hypot(x, y)
    theta = math.atan(r)
    bent = theta * (1 + d[0] * theta**2 + d[1] * theta**4 + d[2] * theta**6 + d[3] * theta**8)
    return (x * bent / r, y * bent / r) if r else (x, y)


@pytest.mark.parametrize(
    "model, distortion, lens",
    [
        ("plumb_bob", [-0.3, 0.1, 0.002, -0.001, 0.0], plumb_bob),
        ("rational_polynomial", [0.2, 0.05, 0.001, 0.0, 0.01, 0.5, 0.1, 0.02], plumb_bob),
        ("equidistant", [0.05, -0.01, 0.002, 0.0], equidistant),
    ],
)
def test_undistorted_dot_lies_where_the_pinhole_sees_it(model: str, distortion: list[float], lens) -> None:
    undistorter = Undistorter(K, np.array(distortion), model, (240, 320))
    assert undistorter.active and np.array_equal(undistorter.K, K)
    y, x = np.mgrid[:240, :320]
    for ray in ([0.3, 0.2], [-0.35, 0.1], [0.05, -0.3]):
        bent = np.array(lens(*ray, distortion)) * 300 + K[:2, 2]
        blob = 200 * np.exp(-((x - bent[0]) ** 2 + (y - bent[1]) ** 2) / (2 * 3.0**2))
        seen = undistorter.image(blob.astype(np.float32))
        middle = np.array([(seen * x).sum(), (seen * y).sum()]) / seen.sum()
        # Worst seen 0.06 px: the lens stretches a blob of 3 px unevenly, and maps are quantised to 1/32 px.
        np.testing.assert_allclose(middle, np.array(ray) * 300 + K[:2, 2], atol=0.15)
        mask = undistorter.mask(blob > 50)
        assert mask.dtype == bool and mask[round(middle[1]), round(middle[0])]
        assert abs(np.argwhere(mask).mean(axis=0)[::-1] - middle).max() < 0.5


def test_depth_keeps_its_values() -> None:
    undistorter = Undistorter(K, np.array([-0.3, 0.1, 0, 0, 0]), "plumb_bob", (240, 320))
    depth = np.where(np.arange(320) < 160, np.float32(1.0), np.float32(5.0)) * np.ones((240, 1), dtype=np.float32)
    assert set(np.unique(undistorter.depth(depth))) <= {0.0, 1.0, 5.0}, "depth is never averaged across an edge"


def test_nothing_to_remove() -> None:
    image = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    for distortion, model in (([], ""), ([0.0] * 5, "plumb_bob")):
        undistorter = Undistorter(K, np.array(distortion), model, (240, 320))
        assert not undistorter.active and np.array_equal(undistorter.image(image), image)
        assert np.array_equal(undistorter.mask(image[..., 0] > 99), image[..., 0] > 99)


def test_bad_lenses_are_named() -> None:
    with pytest.raises(InputError, match="distortion model is 'thin_prism', wanted one of plumb_bob"):
        Undistorter(K, np.ones(5), "thin_prism", (240, 320))
    with pytest.raises(ShapeError, match="distortion has 3 values, plumb_bob wants 4 or 5"):
        Undistorter(K, np.ones(3), "plumb_bob", (240, 320))
    with pytest.raises(ShapeError, match=r"image has shape \[4, 4\], wanted \[H=240, W=320\]"):
        Undistorter(K, np.ones(5) * 0.01, "plumb_bob", (240, 320)).image(np.zeros((4, 4), np.uint8))
