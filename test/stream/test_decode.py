"""Every supported encoding against values set by hand; rows with padding, both byte orders, and refusals."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from attnchain_ros.errors import FileFormatError, ShapeError
from attnchain_ros.stream.decode import (
    ImageFields,
    decode_compressed,
    decode_image,
    depth_metres,
)
from attnchain_ros.stream.objects import instance_mask

RGB = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3) * 10
ALPHA = np.array([[0, 127, 128, 255]] * 2, np.uint8)


def _padded(rows: np.ndarray, padding: int) -> tuple[int, bytes]:
    """Rows of bytes with rubbish behind each; returns step and data."""
    flat = rows.reshape(rows.shape[0], -1).view(np.uint8)
    junk = np.full((len(flat), padding), 99, np.uint8)
    return flat.shape[1] + padding, np.concatenate([flat, junk], axis=1).tobytes()


@pytest.mark.parametrize("padding", [0, 1, 7])
@pytest.mark.parametrize(
    ("encoding", "rows", "mask"),
    [
        ("rgb8", RGB, None),
        ("bgr8", RGB[..., ::-1].copy(), None),
        ("rgba8", np.dstack([RGB, ALPHA]), ALPHA >= 128),
        ("bgra8", np.dstack([RGB[..., ::-1], ALPHA]), ALPHA >= 128),
        ("8UC3", RGB[..., ::-1].copy(), None),
    ],
)
def test_colour_encodings(encoding: str, rows: np.ndarray, mask: np.ndarray | None, padding: int) -> None:
    step, data = _padded(rows, padding)
    found = decode_image(ImageFields(encoding, 2, 4, step, False, data))
    assert found.rgb is not None
    np.testing.assert_array_equal(found.rgb, RGB)
    assert found.rgb.flags.c_contiguous
    if mask is None:
        assert found.mask is None
    else:
        np.testing.assert_array_equal(found.mask, mask)


@pytest.mark.parametrize("big", [False, True])
def test_sixteen_and_thirty_two_bit_values_honour_the_byte_order(big: bool) -> None:
    order = ">" if big else "<"
    ids = np.array([[0, 1, 258], [65535, 2, 0]], np.uint16)
    step, data = _padded(ids.astype(f"{order}u2"), 3)
    found = decode_image(ImageFields("16UC1", 2, 3, step, big, data))
    assert found.rgb is None and found.raw.dtype == np.uint16
    np.testing.assert_array_equal(found.raw, ids)
    np.testing.assert_array_equal(instance_mask(found.raw), ids > 0)
    np.testing.assert_array_equal(instance_mask(found.raw, 258), ids == 258)
    np.testing.assert_allclose(depth_metres(found.raw)[0], [0.0, 0.001, 0.258], rtol=1e-6)
    metres = np.array([[1.5, np.nan, np.inf], [-1.0, 0.0, 2.25]], np.float32)
    step, data = _padded(metres.astype(f"{order}f4"), 5)
    found = decode_image(ImageFields("32FC1", 2, 3, step, big, data))
    np.testing.assert_array_equal(found.raw, metres)
    np.testing.assert_array_equal(depth_metres(found.raw), [[1.5, 0, 0], [0, 0, 2.25]])


def test_grey_becomes_three_equal_channels_and_stays_readable_as_mask() -> None:
    grey = np.array([[0, 1], [200, 0]], np.uint8)
    found = decode_image(ImageFields("mono8", 2, 2, 2, False, grey.tobytes()))
    assert found.rgb is not None
    np.testing.assert_array_equal(found.rgb, np.stack([grey] * 3, axis=-1))
    np.testing.assert_array_equal(instance_mask(found.raw), [[False, True], [True, False]])


@pytest.mark.parametrize(
    ("encoding", "order"), [("yuv422", "UYVY"), ("uyvy", "UYVY"), ("yuv422_yuy2", "YUYV"), ("yuyv", "YUYV")]
)
def test_packed_yuv_puts_luma_and_chroma_where_the_name_says(encoding: str, order: str) -> None:
    # Studio-range BT.601: Y 81, U 90, V 240 is pure red; the four bytes cover two pixels.
    values = {"Y": 81, "U": 90, "V": 240}
    row = np.array([values[letter] for letter in order], np.uint8)
    found = decode_image(ImageFields(encoding, 1, 2, 4, False, row.tobytes()))
    assert found.rgb is not None
    np.testing.assert_allclose(found.rgb[0], [[255, 0, 0]] * 2, atol=3)


def test_nv12_reads_luma_rows_then_interleaved_chroma() -> None:
    # Blue in BT.601: Y 41, U 240, V 110. Rows of 6 bytes for a width of 4.
    rows = np.concatenate([np.full((4, 4), 41), np.tile([240, 110], (2, 2))]).astype(np.uint8)
    step, data = _padded(rows, 2)
    found = decode_image(ImageFields("nv12", 4, 4, step, False, data))
    assert found.rgb is not None and found.rgb.shape == (4, 4, 3)
    np.testing.assert_allclose(found.rgb[1, 1], [0, 0, 255], atol=3)


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_patterns_start_at_the_top_left_pixel(pattern: str) -> None:
    colour = {"r": 200, "g": 100, "b": 30}
    tile = np.array([colour[letter] for letter in pattern], np.uint8).reshape(2, 2)
    mosaic = np.tile(tile, (4, 4))
    found = decode_image(ImageFields(f"bayer_{pattern}8", 8, 8, 8, False, mosaic.tobytes()))
    assert found.rgb is not None
    np.testing.assert_array_equal(found.rgb[2:6, 2:6].reshape(-1, 3), np.tile([200, 100, 30], (16, 1)))


def test_the_padding_of_the_last_row_may_be_missing() -> None:
    step, data = _padded(RGB, 4)
    found = decode_image(ImageFields("rgb8", 2, 4, step, False, data[:-4]))
    np.testing.assert_array_equal(found.rgb, RGB)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_compressed_images(suffix: str) -> None:
    flat = np.full((16, 16, 3), (10, 60, 200), np.uint8)
    data = cv2.imencode(suffix, flat)[1].tobytes()
    found = decode_compressed("bgr8; jpeg compressed bgr8", data)
    assert found.rgb is not None
    np.testing.assert_allclose(found.rgb[8, 8], [200, 60, 10], atol=4)


def test_compressed_png_with_alpha_and_with_ids() -> None:
    bgra = np.dstack([RGB[..., ::-1], ALPHA])
    found = decode_compressed("png", cv2.imencode(".png", bgra)[1].tobytes())
    np.testing.assert_array_equal(found.rgb, RGB)
    np.testing.assert_array_equal(found.mask, ALPHA >= 128)
    ids = np.array([[0, 300], [2, 0]], np.uint16)
    found = decode_compressed("16UC1; png compressed", cv2.imencode(".png", ids)[1].tobytes())
    assert found.rgb is None
    np.testing.assert_array_equal(found.raw, ids)


def test_refusals_name_the_cause() -> None:
    with pytest.raises(FileFormatError, match="'bgr16' is not supported: publish one of rgb8"):
        decode_image(ImageFields("bgr16", 2, 2, 12, False, bytes(24)))
    with pytest.raises(ShapeError, match="step of the rgb8 image is 5 bytes, 6 are needed"):
        decode_image(ImageFields("rgb8", 2, 2, 5, False, bytes(24)))
    with pytest.raises(ShapeError, match="has 11 bytes, 6 x 2 rows"):
        decode_image(ImageFields("rgb8", 2, 2, 6, False, bytes(11)))
    with pytest.raises(ShapeError, match="0x2"):
        decode_image(ImageFields("rgb8", 2, 0, 0, False, b""))
    with pytest.raises(ShapeError, match="width of the yuv422 image is 3"):
        decode_image(ImageFields("yuv422", 2, 3, 6, False, bytes(12)))
    with pytest.raises(FileFormatError, match="could not be decoded"):
        decode_compressed("jpeg", b"not a jpeg")
    with pytest.raises(FileFormatError, match="could not be decoded"):
        decode_compressed("jpeg", b"")
    with pytest.raises(FileFormatError, match="compressedDepth"):
        decode_compressed("16UC1; compressedDepth png", b"")
    with pytest.raises(ShapeError, match="mask has shape"):
        instance_mask(RGB)
    with pytest.raises(ShapeError, match="depth has shape"):
        depth_metres(ALPHA)


def test_a_picture_without_padding_is_not_copied():
    data = bytearray(range(24))
    found = decode_image(ImageFields("rgb8", 2, 4, 12, False, memoryview(data)))
    assert np.shares_memory(found.rgb, np.frombuffer(data, np.uint8))
    padded = decode_image(ImageFields("rgb8", 2, 3, 12, False, memoryview(data)))
    assert not np.shares_memory(padded.rgb, np.frombuffer(data, np.uint8))
    assert padded.rgb.flags.c_contiguous
