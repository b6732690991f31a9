"""CameraInfo's numbers, images of other sizes, distortion there and back."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from attnchain_ros.errors import InputError
from attnchain_ros.node.camera import CameraBook, CameraNumbers, camera_model

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
    assert "K was scaled" in model.notes[0]


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
    assert model.intrinsics is None and "no camera_info" in model.notes[0]


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
    assert not book.known and book.model(480, 640).intrinsics is None
    book.update(PLAIN)
    first = book.model(480, 640)
    assert book.known and book.model(480, 640) is first
    book.update(dataclasses.replace(PLAIN, d=(1.0, 2.0), model="brown"))
    faulty = book.model(480, 640)
    assert faulty.intrinsics is None and "distortion model is 'brown'" in faulty.notes[0]
