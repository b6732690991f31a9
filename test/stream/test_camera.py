"""CameraInfo's numbers, images of other sizes, distortion there and back."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from attnchain_ros.errors import InputError
from attnchain_ros.stream.camera import CameraBook, CameraNumbers, camera_model

K = (500.0, 0.0, 319.5, 0.0, 510.0, 239.5, 0.0, 0.0, 1.0)
P = (400.0, 0.0, 300.0, 0.0, 0.0, 400.0, 200.0, 0.0, 0.0, 0.0, 1.0, 0.0)
PLAIN = CameraNumbers(width=640, height=480, k=K, p=P, d=(0.0,) * 5, model="plumb_bob")


def test_plain_camera():
    model = camera_model(PLAIN, 480, 640)
    np.testing.assert_array_equal(model.intrinsics, np.reshape(K, (3, 3)))
    assert model.undistorter is None and model.notes == ()


def test_resized_image_scales_pixel_centres():
    model = camera_model(PLAIN, 240, 320)
    np.testing.assert_allclose(model.intrinsics, [[250, 0, 159.5], [0, 255, 119.5], [0, 0, 1]])
    assert "K was scaled" in model.notes[0].text


def test_roi_and_binning_give_the_image_size():
    numbers = dataclasses.replace(PLAIN, roi=(100, 40, 400, 200), binning=(2, 2))
    model = camera_model(numbers, 100, 200)
    assert model.notes == ()
    np.testing.assert_allclose(model.intrinsics[:2, 2], [(319.5 - 100 + 0.5) / 2 - 0.5, (239.5 - 40 + 0.5) / 2 - 0.5])


def test_another_shape_is_refused_with_both_sizes():
    with pytest.raises(InputError, match="640x480 pixels, the image is 640x360"):
        camera_model(PLAIN, 360, 640)


def test_uncalibrated_and_absent():
    assert camera_model(dataclasses.replace(PLAIN, k=(0.0,) * 9), 480, 640).intrinsics is None
    model = camera_model(None, 480, 640)
    assert model.intrinsics is None and "no camera_info" in model.notes[0].text


def test_rectified_uses_p_and_ignores_distortion():
    model = camera_model(dataclasses.replace(PLAIN, d=(0.1, 0, 0, 0, 0)), 480, 640, rectified=True)
    assert model.undistorter is None and model.intrinsics[0, 0] == 400


@pytest.mark.parametrize(
    ("model_name", "d"), [("plumb_bob", (-0.2, 0.05, 0.001, -0.002, 0.0)), ("equidistant", (0.05, -0.01, 0.002, 0.0))]
)
def test_points_go_back_to_where_the_lens_shows_them(model_name: str, d: tuple[float, ...]):
    model = camera_model(dataclasses.replace(PLAIN, d=d, model=model_name), 480, 640)
    assert model.undistorter is not None
    rng = np.random.default_rng(0)
    seen = rng.uniform([150, 100], [500, 380], (40, 2))
    matrix, coefficients = np.reshape(K, (3, 3)), np.array(d)
    undistort = cv2.fisheye.undistortPoints if model_name == "equidistant" else cv2.undistortPoints
    straight = undistort(seen[:, None, :], matrix, coefficients, P=matrix).reshape(-1, 2)
    assert np.abs(straight - seen).max() > 1
    points = np.stack([straight.astype(np.float32), np.full_like(straight, np.nan, dtype=np.float32)])
    back = model.distort_points(points)
    assert back.dtype == np.float32 and back.shape == points.shape
    # OpenCV's undistortPoints iterates five times: worst seen 0.01 px
    np.testing.assert_allclose(back[0], seen, atol=0.05)
    assert np.isnan(back[1]).all()


def test_the_book_keeps_up_and_survives_faults():
    book = CameraBook()
    assert not book.known and book.model(480, 640, 0).intrinsics is None
    book.update(PLAIN)
    first = book.model(480, 640, 0)
    assert book.known and book.model(480, 640, 0) is first
    book.update(dataclasses.replace(PLAIN, d=(1.0, 2.0), model="brown"))
    faulty = book.model(480, 640, 0)
    # K is used all the same: only the distortion cannot be.
    assert faulty.intrinsics[0, 0] == 500 and faulty.undistorter is None
    assert "distortion model is 'brown'" in faulty.notes[0].text
    book.update(dataclasses.replace(PLAIN, k=(-1.0, *K[1:])))
    assert book.model(480, 640, 0).intrinsics is None


def test_eight_coefficients_under_the_name_of_five_are_what_opencv_makes_of_them():
    d = (0.1, -0.05, 0.001, 0.0005, 0.01, 0.02, 0.0, 0.003)
    named, right = (
        camera_model(dataclasses.replace(PLAIN, d=d, model=name), 480, 640)
        for name in ("plumb_bob", "rational_polynomial")
    )
    points = np.random.default_rng(0).uniform(0, 480, (20, 2))
    np.testing.assert_array_equal(named.distort_points(points), right.distort_points(points))
    assert named.notes == ()


def test_a_zoom_is_told_apart_from_another_mode_of_the_same_lens():
    book = CameraBook()
    assert not book.update(PLAIN, 1)
    binned = dataclasses.replace(PLAIN, width=320, height=240, k=(250.0, 0.0, 159.5, 0.0, 255.0, 119.5, 0.0, 0.0, 1.0))
    assert not book.update(binned, 2)
    assert book.update(dataclasses.replace(binned, k=(800.0, *binned.k[1:])), 3)
    assert not book.update(dataclasses.replace(PLAIN, k=(0.0,) * 9), 4)


# The lens models written out, as REP 104 and OpenCV's documentation define them: normalised x, y -> distorted x, y.


def plumb_bob(x, y, d):
    k1, k2, p1, p2, k3 = d
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    return (
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
        y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
    )


def rational(x, y, d):
    k1, k2, p1, p2, k3, k4, k5, k6 = d
    r2 = x * x + y * y
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    return (
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
        y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
    )


def equidistant(x, y, d):
    k1, k2, k3, k4 = d
    r = np.hypot(x, y)
    angle = np.arctan(r)
    bent = angle * (1 + k1 * angle**2 + k2 * angle**4 + k3 * angle**6 + k4 * angle**8)
    return x * bent / r, y * bent / r


LENSES = [
    ("plumb_bob", plumb_bob, (-0.2, 0.05, 0.001, -0.002, 0.01)),
    ("rational_polynomial", rational, (0.3, -0.1, 0.001, -0.002, 0.02, 0.5, -0.05, 0.01)),
    ("equidistant", equidistant, (0.05, -0.01, 0.002, -0.001)),
]
MODES = [
    # roi x, y, width, height; binning
    ((0, 0, 0, 0), (1, 1)),
    ((0, 0, 0, 0), (0, 0)),
    ((100, 40, 400, 320), (1, 1)),
    ((0, 0, 0, 0), (2, 2)),
    ((100, 40, 400, 320), (2, 4)),
]


@pytest.mark.parametrize(("name", "lens", "d"), LENSES, ids=[lens[0] for lens in LENSES])
@pytest.mark.parametrize(("roi", "binning"), MODES)
def test_every_lens_with_roi_and_binning_shows_points_where_the_formula_says(name, lens, d, roi, binning):
    """A ray's pixel on the full sensor by the formula, then cut out and binned, against the model's own way."""
    numbers = dataclasses.replace(PLAIN, d=d, model=name, roi=roi, binning=binning)
    across, down = (max(1, step) for step in binning)
    width, height = (roi[2] or 640) // across, (roi[3] or 480) // down
    model = camera_model(numbers, height, width)
    assert model.notes == ()
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-0.4, 0.4, (2, 50))
    bent_x, bent_y = lens(x, y, d)
    sensor = np.stack([K[0] * bent_x + K[2], K[4] * bent_y + K[5]], axis=1)
    # the centre of a superpixel of b pixels from u0 on lies at u0 + (b - 1) / 2
    wanted = (sensor - [roi[0], roi[1]] - [(across - 1) / 2, (down - 1) / 2]) / [across, down]
    straight = np.stack([x, y, np.ones(50)], axis=1) @ model.intrinsics.T
    # float64 all the way; worst seen 2e-13 px
    np.testing.assert_allclose(model.distort_points(straight[:, :2]), wanted, atol=1e-9)


@pytest.mark.parametrize(("name", "lens", "d"), LENSES, ids=[lens[0] for lens in LENSES])
def test_undistorted_images_show_what_the_lens_saw(name, lens, d):
    """A smooth picture as the lens shows it, straightened: every pixel is the scene's along its ray."""

    def scene(x, y):
        return 128 + 60 * np.sin(6 * x) + 50 * np.cos(5 * y)

    model = camera_model(dataclasses.replace(PLAIN, d=d, model=name), 480, 640)
    v, u = np.mgrid[:480, :640].astype(float)
    # the scene at a distorted pixel: its ray is found by fixed-point iteration on the formula
    bent_x, bent_y = (u - K[2]) / K[0], (v - K[5]) / K[4]
    x, y = bent_x + 1e-12, bent_y + 1e-12
    for _ in range(100):
        shown_x, shown_y = lens(x, y, d)
        x, y = x + 0.7 * (bent_x - shown_x), y + 0.7 * (bent_y - shown_y)
    seen = np.rint(scene(x, y)).astype(np.uint8)
    straight = model.undistorter.image(seen)[100:380, 140:500].astype(float)
    wanted = scene((u - K[2]) / K[0], (v - K[5]) / K[4])[100:380, 140:500]
    # OpenCV's maps hold 1/32 px, the picture whole grey values; worst seen 0.83 grey values
    np.testing.assert_allclose(straight, wanted, atol=1.5)


def test_rectified_images_use_p_with_roi_and_binning():
    numbers = dataclasses.replace(PLAIN, d=(0.1, 0, 0, 0, 0), roi=(100, 40, 400, 320), binning=(2, 2))
    model = camera_model(numbers, 160, 200, rectified=True)
    np.testing.assert_allclose(
        model.intrinsics, [[200, 0, (300 - 100 + 0.5) / 2 - 0.5], [0, 200, (200 - 40 + 0.5) / 2 - 0.5], [0, 0, 1]]
    )


def test_images_keep_the_calibration_they_were_taken_with():
    """Zoom while frames wait, and a bag that starts again."""
    book = CameraBook()
    zoomed = dataclasses.replace(PLAIN, k=(1000.0, *K[1:]))
    for stamp in (10, 20, 30):
        book.update(PLAIN, stamp)
    for stamp in (40, 50):
        book.update(zoomed, stamp)
    focal = [book.model(480, 640, stamp).intrinsics[0, 0] for stamp in (5, 10, 39, 40, 99)]
    assert focal == [500, 500, 500, 1000, 1000]
    book.update(PLAIN, 10)  # the bag begins again, and windows of the pass before still wait
    assert [book.model(480, 640, stamp).intrinsics[0, 0] for stamp in (39, 99)] == [500, 1000]
    book.jump_back(10)
    assert [book.model(480, 640, stamp).intrinsics[0, 0] for stamp in (10, 99)] == [500, 500]
    book.update(zoomed, 40)
    assert [book.model(480, 640, stamp).intrinsics[0, 0] for stamp in (39, 40)] == [500, 1000]
    for number in range(1000):  # a lens that never rests does not fill the memory
        book.update(dataclasses.replace(PLAIN, k=(500.0 + number, *K[1:])), 100 + number)
    assert len(book._changes) <= 64 and book.model(480, 640, 1099).intrinsics[0, 0] == 1499
