"""The stand-ins for cv_bridge, sensor_msgs_py and tf2_ros, and the choice between them and the distribution's."""

from __future__ import annotations

import array
import os
import struct
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import TransformStamped
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image, PointCloud2, PointField
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from attnchain_ros.errors import InputError, ShapeError
from attnchain_ros.node.ros_compat import bridge, clouds, transforms
from attnchain_ros.node.ros_compat.bridge import CvBridge, CvBridgeError
from attnchain_ros.node.ros_compat.probe import find_fault

pytestmark = pytest.mark.ros

# 2 x 3 pixels, all twelve bytes of a row different, so that every swap of axes or channels shows.
RGB = np.arange(18, dtype=np.uint8).reshape(2, 3, 3) * 14


def image_message(data: bytes, encoding: str, height: int, width: int, step: int, big: bool = False) -> Image:
    message = Image(height=height, width=width, encoding=encoding, step=step, is_bigendian=int(big))
    message.data = array.array("B", data)
    return message


@pytest.mark.parametrize(
    ("encoding", "image"),
    [
        ("rgb8", RGB),
        ("bgr8", RGB),
        ("rgba8", np.arange(24, dtype=np.uint8).reshape(2, 3, 4)),
        ("bgra8", np.arange(24, dtype=np.uint8).reshape(2, 3, 4)),
        ("mono8", RGB[..., 0]),
        ("8UC1", RGB[..., 0]),
        ("mono16", np.array([[0, 1, 256], [65535, 513, 7]], np.uint16)),
        ("16UC1", np.array([[0, 1, 256], [65535, 513, 7]], np.uint16)),
        ("32FC1", np.array([[0.5, np.inf, -1e-30], [3e8, 2.25, 7]], np.float32)),
        ("bayer_grbg8", RGB[..., 1]),
    ],
)
def test_round_trip(encoding: str, image: np.ndarray) -> None:
    header = Header(frame_id="camera")
    message = CvBridge().cv2_to_imgmsg(image, encoding, header)
    assert (message.height, message.width, message.encoding) == (2, 3, encoding)
    assert message.step == image[0].nbytes
    assert message.header.frame_id == "camera"
    back = CvBridge().imgmsg_to_cv2(message)
    assert back.dtype == image.dtype
    np.testing.assert_array_equal(back, image)


def test_passthrough_names_a_generic_encoding() -> None:
    assert CvBridge().cv2_to_imgmsg(RGB).encoding == "8UC3"
    assert CvBridge().cv2_to_imgmsg(np.zeros((2, 2), np.float32)).encoding == "32FC1"


@pytest.mark.parametrize("last_row_padded", [True, False])
def test_row_padding(last_row_padded: bool) -> None:
    rows = [RGB[0].tobytes() + b"\xff" * 7, RGB[1].tobytes() + (b"\xff" * 7 if last_row_padded else b"")]
    message = image_message(b"".join(rows), "rgb8", height=2, width=3, step=16)
    np.testing.assert_array_equal(CvBridge().imgmsg_to_cv2(message), RGB)


@pytest.mark.parametrize("big", [True, False])
@pytest.mark.parametrize(("encoding", "code"), [("16UC1", "u2"), ("mono16", "u2"), ("32FC1", "f4")])
def test_byte_order_and_padding(encoding: str, code: str, big: bool) -> None:
    wanted = np.array([[1, 256, 65535], [258, 4660, 0]], dtype=code)
    stored = wanted.astype((">" if big else "<") + code)
    data = b"".join(row.tobytes() + b"\xee" * 6 for row in stored)
    message = image_message(data, encoding, height=2, width=3, step=3 * stored.itemsize + 6, big=big)
    got = CvBridge().imgmsg_to_cv2(message)
    assert got.dtype == np.dtype(code) and got.dtype.isnative
    np.testing.assert_array_equal(got, wanted)


def test_colour_order_of_every_pair() -> None:
    """Red must stay red: one pixel of (200, 100, 50) through each pair of colour encodings."""
    colour = {
        "rgb8": [200, 100, 50],
        "bgr8": [50, 100, 200],
        "rgba8": [200, 100, 50, 255],
        "bgra8": [50, 100, 200, 255],
    }
    for source, values in colour.items():
        message = CvBridge().cv2_to_imgmsg(np.array([[values]], np.uint8), source)
        for wanted, expected in colour.items():
            assert CvBridge().imgmsg_to_cv2(message, wanted)[0, 0].tolist() == expected, (source, wanted)
        # ITU-R BT.601: 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2
        assert CvBridge().imgmsg_to_cv2(message, "mono8")[0, 0] == 124


def test_grey_depths() -> None:
    deep = CvBridge().cv2_to_imgmsg(np.array([[0, 257, 32896, 65535]], np.uint16), "mono16")
    assert CvBridge().imgmsg_to_cv2(deep, "mono8").tolist() == [[0, 1, 128, 255]]
    assert CvBridge().imgmsg_to_cv2(deep, "rgb8")[0, 2].tolist() == [128, 128, 128]
    flat = CvBridge().cv2_to_imgmsg(np.array([[0, 128, 255]], np.uint8), "mono8")
    assert CvBridge().imgmsg_to_cv2(flat, "mono16").tolist() == [[0, 32896, 65535]]
    millimetres = CvBridge().cv2_to_imgmsg(np.array([[0, 1500]], np.uint16), "16UC1")
    assert CvBridge().imgmsg_to_cv2(millimetres, "32FC1").tolist() == [[0.0, 1500.0]]


# Red (255, 0, 0) in BT.601 studio range: Y 82, U 90, V 240; what cameras send and OpenCV decodes.
Y, U, V = 82, 90, 240


@pytest.mark.parametrize(
    ("encoding", "data", "height", "step"),
    [
        ("yuv422", bytes([U, Y, V, Y] * 2) * 2, 2, 8),
        ("uyvy", bytes([U, Y, V, Y] * 2) * 2, 2, 8),
        ("yuv422_yuy2", bytes([Y, U, Y, V] * 2) * 2, 2, 8),
        ("yuyv", bytes([Y, U, Y, V] * 2) * 2, 2, 8),
        ("nv12", bytes([Y] * 8 + [U, V] * 2), 2, 4),
        # A driver's padded rows, chroma rows included.
        ("nv12", bytes(([Y] * 4 + [0, 0]) * 2 + [U, V] * 2 + [0, 0]), 2, 6),
    ],
)
def test_yuv_red_is_red(encoding: str, data: bytes, height: int, step: int) -> None:
    message = image_message(data, encoding, height=height, width=4, step=step)
    rgb = CvBridge().imgmsg_to_cv2(message, "rgb8")
    assert rgb.shape == (2, 4, 3)
    # 8-bit YUV resolves a colour to within 3 of 255.
    assert np.abs(rgb.astype(int) - [255, 0, 0]).max() <= 3
    bgr = CvBridge().imgmsg_to_cv2(message, "bgr8")
    np.testing.assert_array_equal(bgr[..., ::-1], rgb)


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_patterns(pattern: str) -> None:
    colour = {"r": 200, "g": 120, "b": 40}
    tile = np.array([colour[letter] for letter in pattern], np.uint8).reshape(2, 2)
    mosaic = np.tile(tile, (4, 4))
    message = CvBridge().cv2_to_imgmsg(mosaic, f"bayer_{pattern}8")
    rgb = CvBridge().imgmsg_to_cv2(message, "rgb8")
    assert (rgb[2:-2, 2:-2] == [200, 120, 40]).all()


def test_random_image_without_padding_equals_opencv() -> None:
    rng = np.random.default_rng(3)
    data = rng.integers(0, 256, (6, 8, 2), dtype=np.uint8)
    message = image_message(data.tobytes(), "yuv422", height=6, width=8, step=16)
    wanted = cv2.cvtColor(data, cv2.COLOR_YUV2RGB_UYVY)
    np.testing.assert_array_equal(CvBridge().imgmsg_to_cv2(message, "rgb8"), wanted)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (image_message(b"\0" * 6, "yuv420p", 2, 3, 3), "encoding 'yuv420p' is not supported: use one of"),
        (image_message(b"\0" * 17, "rgb8", 2, 3, 9), "of 3x2 with step 9 needs 18 bytes of data, got 17"),
        (image_message(b"\0" * 18, "rgb8", 2, 3, 8), "9 bytes a row, but its step is 8"),
        (image_message(b"\0" * 18, "nv12", 3, 4, 4), "both sizes must be even"),
        (image_message(b"", "mono8", 2, 3, 3), "got 0"),
    ],
)
def test_unusable_images_are_refused(message: Image, words: str) -> None:
    with pytest.raises(CvBridgeError, match=words):
        CvBridge().imgmsg_to_cv2(message)


def test_impossible_conversions_are_refused() -> None:
    depth = CvBridge().cv2_to_imgmsg(np.zeros((2, 2), np.float32), "32FC1")
    with pytest.raises(CvBridgeError, match="from 32FC1 to rgb8"):
        CvBridge().imgmsg_to_cv2(depth, "rgb8")
    with pytest.raises(CvBridgeError, match="read, never written"):
        CvBridge().imgmsg_to_cv2(CvBridge().cv2_to_imgmsg(RGB, "rgb8"), "nv12")
    with pytest.raises(CvBridgeError, match="array has 3 channels of uint8, mono8 has 1"):
        CvBridge().cv2_to_imgmsg(RGB, "mono8")
    with pytest.raises(CvBridgeError, match="float64"):
        CvBridge().cv2_to_imgmsg(np.zeros((2, 2)), "32FC1")


def test_compressed_images() -> None:
    bgr = np.zeros((16, 16, 3), np.uint8)
    bgr[..., 2] = 200
    lossless = CvBridge().cv2_to_compressed_imgmsg(bgr, "png")
    assert lossless.format == "png"
    np.testing.assert_array_equal(CvBridge().compressed_imgmsg_to_cv2(lossless), bgr)
    assert CvBridge().compressed_imgmsg_to_cv2(lossless, "rgb8")[3, 3].tolist() == [200, 0, 0]
    lossy = CvBridge().cv2_to_compressed_imgmsg(bgr, "jpg")
    # JPEG at OpenCV's default quality keeps a flat colour to within 3 of 255.
    assert np.abs(CvBridge().compressed_imgmsg_to_cv2(lossy, "bgr8").astype(int) - bgr).max() <= 3
    depth = np.array([[1, 65535]], np.uint16)
    message = CvBridge().cv2_to_compressed_imgmsg(depth, "png")
    np.testing.assert_array_equal(CvBridge().compressed_imgmsg_to_cv2(message, "mono16"), depth)


def test_unusable_compressed_images_are_refused() -> None:
    broken = CompressedImage(format="jpeg", data=array.array("B", b"no picture"))
    with pytest.raises(CvBridgeError, match="10 bytes of format 'jpeg' are no picture"):
        CvBridge().compressed_imgmsg_to_cv2(broken)
    with pytest.raises(CvBridgeError, match="0 bytes"):
        CvBridge().compressed_imgmsg_to_cv2(CompressedImage(format="png"))
    with pytest.raises(CvBridgeError, match="header of its own"):
        CvBridge().compressed_imgmsg_to_cv2(CompressedImage(format="16UC1; compressedDepth png"))


class BridgeOfADistribution:
    """Knows rgb8 only."""

    def imgmsg_to_cv2(self, img_msg: Image, desired_encoding: str = "passthrough") -> np.ndarray:
        if img_msg.encoding != "rgb8":
            raise KeyError(img_msg.encoding)
        return np.full((1, 1, 3), 7, np.uint8)


def test_extended_bridge_takes_over_only_what_the_distribution_lacks() -> None:
    extended = bridge.extend_bridge(BridgeOfADistribution, RuntimeError)()
    assert extended.imgmsg_to_cv2(CvBridge().cv2_to_imgmsg(RGB, "rgb8"), "rgb8").tolist() == [[[7, 7, 7]]]
    nv12 = image_message(bytes([Y] * 8 + [U, V] * 2), "nv12", height=2, width=4, step=4)
    assert extended.imgmsg_to_cv2(nv12, "rgb8")[0, 0, 0] >= 252
    with pytest.raises(RuntimeError, match="needs 12 bytes"):
        extended.imgmsg_to_cv2(image_message(b"\0", "nv12", height=2, width=4, step=4), "rgb8")


def fields(*layout: tuple[str, int, int]) -> list[PointField]:
    return [PointField(name=name, offset=offset, datatype=kind, count=1) for name, offset, kind in layout]


MIXED = fields(("x", 0, PointField.FLOAT32), ("y", 4, PointField.FLOAT32), ("id", 8, PointField.INT32))


def test_cloud_bytes_by_hand() -> None:
    """Against ``struct``, not against our own reading."""
    cloud = clouds.create_cloud(Header(frame_id="camera"), MIXED, [(1.5, -2.0, 7), (float("nan"), 0.25, -1)], step=16)
    assert (cloud.height, cloud.width, cloud.point_step, cloud.row_step) == (1, 2, 16, 32)
    assert (cloud.is_bigendian, cloud.is_dense, cloud.header.frame_id) == (False, False, "camera")
    wanted = struct.pack("<ffi4x", 1.5, -2.0, 7) + struct.pack("<ffi4x", float("nan"), 0.25, -1)
    assert cloud.data.tobytes() == wanted


def test_cloud_round_trips() -> None:
    points = np.arange(12, dtype=np.float32).reshape(4, 3)
    cloud = clouds.create_cloud_xyz32(Header(), points)
    assert cloud.is_dense and cloud.point_step == 12
    np.testing.assert_array_equal(clouds.read_points_numpy(cloud), points)
    np.testing.assert_array_equal(clouds.read_points_numpy(cloud, ["z", "x"]), points[:, [2, 0]])
    np.testing.assert_array_equal(clouds.read_points(cloud)["y"], points[:, 1])
    np.testing.assert_array_equal(clouds.read_points_numpy(cloud, uvs=[(2, 0), (0, 0)]), points[[2, 0]])
    organized = np.zeros((2, 3), dtype=[("id", "i4"), ("y", "f4"), ("x", "f4")])
    organized["id"] = np.arange(6).reshape(2, 3)
    cloud = clouds.create_cloud(Header(), MIXED, organized)
    assert (cloud.height, cloud.width) == (2, 3)
    np.testing.assert_array_equal(clouds.read_points(cloud, reshape_organized_cloud=True)["id"], organized["id"])
    assert len(clouds.read_points(clouds.create_cloud_xyz32(Header(), np.zeros((0, 3), np.float32)))) == 0


def test_cloud_with_nans_row_padding_and_big_endian() -> None:
    points = np.array([[1, 2, 3], [np.nan, 5, 6], [7, 8, np.nan]], np.float32)
    cloud = clouds.create_cloud_xyz32(Header(), points)
    assert not cloud.is_dense
    np.testing.assert_array_equal(clouds.read_points_numpy(cloud, skip_nans=True), points[:1])
    np.testing.assert_array_equal(clouds.read_points_numpy(cloud, ["x", "y"], skip_nans=True), points[[0, 2], :2])
    rows = np.array([[1, 258], [65536, 4]], ">i4")
    cloud = PointCloud2(height=2, width=2, is_bigendian=True, point_step=4, row_step=11)
    cloud.fields = fields(("id", 0, PointField.INT32))
    cloud.data = array.array("B", b"".join(row.tobytes() + b"\xff\xff\xff" for row in rows))
    assert clouds.read_points(cloud)["id"].tolist() == [1, 258, 65536, 4]


def test_cloud_fields_with_a_count() -> None:
    normal = PointField(name="normal", offset=0, datatype=PointField.FLOAT32, count=3)
    assert clouds.dtype_from_fields([normal]).names == ("normal_0", "normal_1", "normal_2")
    assert clouds.dtype_from_fields([normal], point_step=20).itemsize == 20


def test_unusable_clouds_are_refused() -> None:
    cloud = clouds.create_cloud_xyz32(Header(), np.zeros((2, 3), np.float32))
    with pytest.raises(InputError, match="no field 'rgb', only x, y, z"):
        clouds.read_points(cloud, ["rgb"])
    with pytest.raises(ShapeError, match=r"\[2, 2\], wanted \[n, 3\]"):
        clouds.create_cloud_xyz32(Header(), np.zeros((2, 2), np.float32))
    with pytest.raises(InputError, match="of 2 types"):
        clouds.read_points_numpy(clouds.create_cloud(Header(), MIXED, [(0.0, 0.0, 1)]))
    with pytest.raises(InputError, match="datatype 9"):
        clouds.dtype_from_fields(fields(("x", 0, 9)))
    cloud.data = cloud.data[:-1]
    with pytest.raises(ShapeError, match="has 23 bytes of data, wanted 24"):
        clouds.read_points(cloud)


def transform(child: str, x: float = 0.0) -> TransformStamped:
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = "camera"
    message.transform.translation.x = x
    message.transform.rotation.w = 1.0
    return message


def test_broadcasters_over_dds() -> None:
    """A late listener gets the newest static transform per child; a dynamic one arrives as sent."""
    context = Context()
    rclpy.init(context=context, domain_id=40 + os.getpid() % 60)
    node = rclpy.create_node("ros_compat_test", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        static = transforms.StaticTransformBroadcaster(node)
        static.sendTransform(transform("a", 1.0))
        static.sendTransform([transform("b", 2.0), transform("a", 3.0)])
        dynamic = transforms.TransformBroadcaster(node)
        heard: dict[str, list[TFMessage]] = {"/tf": [], "/tf_static": []}
        latched = QoSProfile(
            depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE
        )
        node.create_subscription(TFMessage, "/tf_static", heard["/tf_static"].append, latched)
        node.create_subscription(TFMessage, "/tf", heard["/tf"].append, 100)
        deadline = time.monotonic() + 20.0
        while time.monotonic() < deadline and not (heard["/tf"] and heard["/tf_static"]):
            if dynamic.pub_tf.get_subscription_count() and not heard["/tf"]:
                dynamic.sendTransform(transform("object_1", 4.0))
            executor.spin_once(timeout_sec=0.1)
        assert heard["/tf"] and heard["/tf_static"], "nothing arrived within 20 s"
        found = {item.child_frame_id: item.transform.translation.x for item in heard["/tf_static"][-1].transforms}
        assert found == {"a": 3.0, "b": 2.0}
        assert [item.child_frame_id for item in heard["/tf"][0].transforms] == ["object_1"]
        offered = node.get_publishers_info_by_topic("/tf_static")[0].qos_profile
        assert offered.durability == DurabilityPolicy.TRANSIENT_LOCAL
        assert node.get_publishers_info_by_topic("/tf")[0].qos_profile.durability == DurabilityPolicy.VOLATILE
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()


def import_with(folder: Path, code: str) -> str:
    """Run Python where ``folder`` provides a distribution's packages; everything it printed."""
    variables = dict(os.environ, PYTHONPATH=str(folder))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=variables, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


REPORT = """
import logging
logging.basicConfig(level=logging.INFO)
from attnchain_ros.node import ros_compat
print(ros_compat.ORIGINS["cv_bridge"], "|", ros_compat.CvBridge.__mro__[1].__module__)
"""


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise ImportError('numpy.core.multiarray failed to import')", "multiarray failed to import"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashes (SIGSEGV)"),
        # Swaps nothing although asked to: a round trip notices, an import would not.
        (
            """
            from attnchain_ros.node.ros_compat.bridge import CvBridge as Base, CvBridgeError
            class CvBridge(Base):
                def imgmsg_to_cv2(self, message, encoding="passthrough"):
                    return Base.imgmsg_to_cv2(self, message)
            """,
            "bgr8 to rgb8 changed the image",
        ),
    ],
)
def test_broken_cv_bridge_is_replaced_and_the_reason_logged(tmp_path: Path, source: str, reason: str) -> None:
    # A copy of ours that does not import the package: the package itself probes cv_bridge when imported.
    own = Path(bridge.__file__).read_text(encoding="utf-8")
    (tmp_path / "own_bridge.py").write_text(own, encoding="utf-8")
    source = source.replace("attnchain_ros.node.ros_compat.bridge", "own_bridge")
    (tmp_path / "cv_bridge.py").write_text(textwrap.dedent(source), encoding="utf-8")
    said = import_with(tmp_path, REPORT)
    assert "WARNING:attnchain_ros.node.ros_compat:using our own cv_bridge" in said
    assert reason in said
    assert "own: " in said


def test_working_cv_bridge_is_used(tmp_path: Path) -> None:
    own = Path(bridge.__file__).read_text(encoding="utf-8")
    (tmp_path / "cv_bridge.py").write_text(own, encoding="utf-8")
    said = import_with(tmp_path, REPORT)
    assert "using the distribution's cv_bridge" in said
    assert "distribution | cv_bridge" in said


def test_missing_package_is_told_apart_from_a_broken_one() -> None:
    fault = find_fault("no_such_package_anywhere", "raise SystemExit(1)")
    assert fault is not None and fault.missing
    fault = find_fault("json", "raise ValueError('broken')")
    assert fault is not None and not fault.missing and fault.reason.endswith("ValueError: broken")
    assert find_fault("json", "import json") is None
