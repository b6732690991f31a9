"""Messages to pictures, masks and camera numbers: every encoding in real messages, and anything else refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSPolicyKind
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from attnchain_ros.errors import InputError
from attnchain_ros.node import qos
from attnchain_ros.node.inputs import Input, stamp_ns
from attnchain_ros.stream.camera import camera_numbers
from attnchain_ros.stream.decode import decode_message, depth_metres
from attnchain_ros.stream.objects import instance_mask

pytestmark = pytest.mark.ros

RED = {"r": 255, "g": 0, "b": 0, "a": 200}
# Studio-range BT.601: pure red.
RED_YUV = {"Y": 81, "U": 90, "V": 240}


def message(encoding: str, rows: np.ndarray, width: int, padding: int, big: bool = False) -> Image:
    """Rows [n, bytes] with rubbish behind each, through the wire's own format."""
    height = len(rows) * 2 // 3 if encoding == "nv12" else len(rows)
    junk = np.full((len(rows), padding), 77, np.uint8)
    data = np.concatenate([rows, junk], axis=1)
    found = Image(encoding=encoding, height=height, width=width, step=data.shape[1], is_bigendian=int(big))
    found.data = data.tobytes()
    return deserialize_message(serialize_message(found), Image)


def red(encoding: str, height: int, width: int) -> np.ndarray:
    """A red picture in an encoding, written out byte by byte: [rows, bytes]."""
    if encoding in ("rgb8", "bgr8", "rgba8", "bgra8"):
        return np.tile([RED[letter] for letter in encoding[:-1]], (height, width)).astype(np.uint8)
    if encoding in ("yuv422", "uyvy"):
        return np.tile([RED_YUV[letter] for letter in "UYVY"], (height, width // 2)).astype(np.uint8)
    if encoding in ("yuv422_yuy2", "yuyv"):
        return np.tile([RED_YUV[letter] for letter in "YUYV"], (height, width // 2)).astype(np.uint8)
    if encoding == "nv12":
        chroma = np.tile([RED_YUV["U"], RED_YUV["V"]], (height // 2, width // 2))
        return np.concatenate([np.full((height, width), RED_YUV["Y"]), chroma]).astype(np.uint8)
    tile = np.array([RED[letter] for letter in encoding[6:10]]).reshape(2, 2)  # bayer_rggb8
    return np.tile(tile, (height // 2, width // 2)).astype(np.uint8)


COLOURS = ["rgb8", "bgr8", "rgba8", "bgra8", "yuv422", "uyvy", "yuv422_yuy2", "yuyv", "nv12",
           "bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8"]  # fmt: skip


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.sampled_from(COLOURS), st.integers(2, 9), st.integers(2, 9), st.integers(0, 9), st.booleans())
def test_red_is_red_in_every_encoding_size_and_padding(encoding: str, rows: int, columns: int, padding: int, big: bool):
    height, width = 2 * rows, 2 * columns
    decoded = decode_message(message(encoding, red(encoding, height, width), width, padding, big))
    assert decoded.rgb.shape == (height, width, 3) and decoded.rgb.dtype == np.uint8
    np.testing.assert_allclose(decoded.rgb, np.tile([255, 0, 0], (height, width, 1)), atol=3)  # YUV is coarse
    if "a" in encoding[:4] and not encoding.startswith("bayer"):
        assert decoded.mask.all()
    else:
        assert decoded.mask is None


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.integers(0, 5), st.booleans())
def test_ids_and_depth_keep_their_values(seed: int, height: int, width: int, padding: int, big: bool):
    rng = np.random.default_rng(seed)
    order = ">" if big else "<"
    ids = rng.integers(0, 4, (height, width)).astype(np.uint16) * 257  # both bytes matter
    for encoding in ("16UC1", "mono16"):
        rows = ids.astype(order + "u2").view(np.uint8).reshape(height, -1)
        raw = decode_message(message(encoding, rows, width, padding, big)).raw
        np.testing.assert_array_equal(raw, ids)
        np.testing.assert_array_equal(instance_mask(raw, 514), ids == 514)
        np.testing.assert_array_equal(instance_mask(raw), ids != 0)
        np.testing.assert_allclose(depth_metres(raw), ids * 1e-3, rtol=1e-6)
    metres = rng.normal(size=(height, width)).astype(np.float32)
    rows = metres.astype(order + "f4").view(np.uint8).reshape(height, -1)
    raw = decode_message(message("32FC1", rows, width, padding, big)).raw
    np.testing.assert_array_equal(depth_metres(raw), np.maximum(metres, 0))
    grey = rng.integers(0, 3, (height, width)).astype(np.uint8)
    for encoding in ("mono8", "8UC1"):
        np.testing.assert_array_equal(decode_message(message(encoding, grey, width, padding, big)).raw, grey)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.sampled_from([*COLOURS, "mono8", "16UC1", "32FC1", "bgr16", "", "RGB8", "nv21", "jpeg"]),
    st.integers(0, 6), st.integers(0, 6), st.integers(0, 40), st.binary(max_size=200), st.integers(0, 255),
)  # fmt: skip
def test_anything_is_decoded_or_refused(encoding: str, height: int, width: int, step: int, data: bytes, big: int):
    """No fields of a message lead to anything but a picture of the size it names or an error with a reason."""
    found = Image(encoding=encoding, height=height, width=width, step=step, is_bigendian=big)
    found.data = data
    try:
        decoded = decode_message(found)
    except InputError as error:
        assert len(str(error)) > 20
        return
    picture = decoded.raw if decoded.rgb is None else decoded.rgb
    assert picture.shape[:2] == (height, width)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.binary(max_size=60), st.sampled_from(["jpeg", "png", "", "rgb8; jpeg compressed bgr8"]), st.booleans())
def test_any_compressed_bytes_are_decoded_or_refused(data: bytes, kind: str, cut: bool):
    if cut:  # the beginning of a real one
        data = cv2.imencode(".png", np.arange(48, dtype=np.uint8).reshape(4, 4, 3))[1].tobytes()[: len(data)]
    with pytest.raises(InputError, match="could not be decoded"):
        decode_message(CompressedImage(format=kind, data=data))


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_compressed_pictures_keep_their_colours(kind: str):
    pixels = np.full((16, 20, 3), (30, 60, 200), np.uint8)  # BGR
    data = cv2.imencode(f".{kind}", pixels)[1].tobytes()
    decoded = decode_message(CompressedImage(format=f"bgr8; {kind} compressed bgr8", data=data))
    np.testing.assert_allclose(decoded.rgb, np.tile([200, 60, 30], (16, 20, 1)), atol=4)
    assert decoded.mask is None


def test_compressed_masks_keep_ids_and_alpha():
    ids = np.array([[0, 300], [65535, 7]], np.uint16)
    found = decode_message(CompressedImage(format="16UC1; png compressed", data=cv2.imencode(".png", ids)[1].tobytes()))
    np.testing.assert_array_equal(instance_mask(found.raw, 300), ids == 300)
    alpha = np.dstack([np.zeros((2, 2, 3), np.uint8), np.array([[0, 255], [127, 128]], np.uint8)])
    found = decode_message(CompressedImage(format="png", data=cv2.imencode(".png", alpha)[1].tobytes()))
    np.testing.assert_array_equal(found.mask, [[False, True], [False, True]])


def test_camera_numbers_are_taken_over():
    info = CameraInfo(height=480, width=640, distortion_model="equidistant", d=[0.1, 0.2, 0.3, 0.4])
    info.k = np.arange(1.0, 10)
    info.p = np.arange(12.0)
    info.binning_x, info.binning_y = 2, 3
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 5, 6, 70, 80
    info.header.frame_id = "lens"
    info.header.stamp.sec, info.header.stamp.nanosec = 3, 7
    found = camera_numbers(info)
    assert (found.width, found.height, found.model, found.frame_id) == (640, 480, "equidistant", "lens")
    assert found.k == tuple(range(1, 10)) and found.p == tuple(range(12)) and found.d == (0.1, 0.2, 0.3, 0.4)
    assert found.roi == (5, 6, 70, 80) and found.binning == (2, 3)
    assert stamp_ns(info) == 3_000_000_007


def test_two_subscriptions_pass_each_message_on_once_and_in_order():
    heard: list[int] = []
    entry = Input("image", Image, lambda found: heard.append(found.header.stamp.sec), None, latched=False)

    def hear(*seconds: int) -> None:
        for second in seconds:
            found = Image()
            found.header.stamp.sec = second
            entry.hear(found)

    hear(5, 5, 4)  # one subscription: whatever comes is the buffer's to judge
    assert heard == [5, 5, 4]
    heard.clear()
    entry.leaving = object()
    hear(6, 6, 7, 6, 7, 8)
    hear(0, 0)  # without a stamp nothing can be told apart
    assert heard == [6, 7, 8, 0, 0]


@pytest.mark.parametrize("reliability", [ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE])
@pytest.mark.parametrize("durability", [DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL])
@pytest.mark.parametrize("lossless", [False, True])
def test_what_is_asked_for_fits_what_is_offered(reliability, durability, lossless: bool):
    class Endpoint:
        qos_profile = QoSProfile(depth=3, reliability=reliability, durability=durability)

    for latched in (False, True):
        asked = qos.fit_publishers(qos.camera_input(lossless=lossless), [Endpoint], latched=latched)
        assert qos.mismatches(asked, [Endpoint.qos_profile]) == []
        assert asked.reliability == reliability
        last_one_too = latched and durability == DurabilityPolicy.TRANSIENT_LOCAL
        assert (asked.durability == DurabilityPolicy.TRANSIENT_LOCAL) == last_one_too
        assert (asked.history == HistoryPolicy.KEEP_ALL) == lossless


def test_what_belongs_to_images_is_kept_longer_than_they_are():
    asked = [qos.camera_input(lossless=False, depth=depth) for depth in (qos.IMAGE_DEPTH, qos.COMPANION_DEPTH)]
    found = [qos.fit_publishers(profile, [], latched=True).depth for profile in asked]
    assert found[1] >= 3 * found[0] and all(profile.history == HistoryPolicy.KEEP_LAST for profile in asked)


def test_mismatches_are_named():
    greedy = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    modest = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT, durability=DurabilityPolicy.VOLATILE)
    assert qos.mismatches(greedy, [modest]) == ["reliability", "durability"]
    assert (
        qos.mismatches(modest, [greedy]) == [] == qos.mismatches(greedy, []) == qos.mismatches(greedy, [modest, greedy])
    )
    assert not qos.same(greedy, modest) and not qos.same(greedy, None) and qos.same(greedy, qos.copy(greedy))
    assert qos.same(greedy, modest, besides=[QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY])
