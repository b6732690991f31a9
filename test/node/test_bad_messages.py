"""A table of messages that cannot be used, each with what the log must say; after all of them a good window comes."""

from __future__ import annotations

from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from node.hand_made import INTRINSICS
from node.ros_harness import (
    HEIGHT,
    LATCHED,
    RELIABLE,
    WIDTH,
    Client,
    NodeProcess,
    image_message,
    info_message,
    mask_message,
)
from sensor_msgs.msg import CameraInfo, Image

from attnchain_ros.msg import AnimatedMesh

pytestmark = pytest.mark.ros

STEP_NS = 50_000_000

# encoding, height, width, step, number of bytes, what is said
IMAGES = [
    ("bgr16", 24, 32, 192, 4608, "image encoding 'bgr16' is not supported: publish one of rgb8"),
    ("", 24, 32, 96, 2304, "image encoding '' is not supported"),
    ("bayer_rggb16", 24, 32, 64, 1536, "image encoding 'bayer_rggb16' is not supported"),
    ("nv21", 24, 32, 32, 1152, "image encoding 'nv21' is not supported"),
    ("jpeg", 24, 32, 96, 2304, "image encoding 'jpeg' is not supported"),
    ("16UC1", 24, 32, 64, 1536, "images of encoding '16UC1' hold no picture: publish colours"),
    ("mono16", 24, 32, 64, 1536, "images of encoding 'mono16' hold no picture"),
    ("32FC1", 24, 32, 128, 3072, "images of encoding '32FC1' hold no picture"),
    ("rgb8", 24, 32, 95, 2304, "step of the rgb8 image is 95 bytes, 96 are needed for a row"),
    ("bgr8", 24, 32, 96, 2303, "the bgr8 image has 2303 bytes, 96 x 24 rows are needed"),
    ("rgba8", 0, 32, 128, 0, "image of encoding rgba8 is 32x0: it has no pixels"),
    ("bgra8", 24, 0, 0, 0, "image of encoding bgra8 is 0x24: it has no pixels"),
    ("mono8", 24, 32, 0, 768, "step of the mono8 image is 0 bytes, 32 are needed"),
    ("8UC1", 24, 32, 32, 0, "the 8UC1 image has 0 bytes, 32 x 24 rows are needed"),
    ("yuv422", 24, 31, 64, 1536, "width of the yuv422 image is 31, the encoding needs an even number"),
    ("yuv422_yuy2", 2**20, 2**20, 2**21, 1536, "the yuv422_yuy2 image has 1536 bytes, 2097152 x 1048576 rows"),
    ("nv12", 23, 32, 32, 1152, "height of the nv12 image is 23, the encoding needs an even number"),
    ("bayer_grbg8", 24, 32, 31, 768, "step of the bayer_grbg8 image is 31 bytes, 32 are needed"),
]  # fmt: skip
MASKS = [
    ("rgb8", 24, 32, 96, 2304, "mask has shape [24, 32, 3] and uint8 values, wanted one channel of mono8 or 16UC1"),
    ("32FC1", 24, 32, 128, 3072, "mask has shape [24, 32] and float32 values"),
    ("32SC1", 24, 32, 128, 3072, "mask refused: image encoding '32SC1' is not supported"),
    ("16UC1", 24, 32, 63, 1536, "mask refused: step of the 16UC1 image is 63 bytes, 64 are needed"),
    ("mono8", 24, 32, 32, 767, "mask refused: the mono8 image has 767 bytes"),
]  # fmt: skip
DEPTHS = [
    ("rgb8", 24, 32, 96, 2304, "depth has shape [24, 32, 3] and uint8 values, wanted one channel of 16UC1 or 32FC1"),
    ("64FC1", 24, 32, 256, 6144, "depth refused: image encoding '64FC1' is not supported"),
    ("32FC1", 24, 32, 127, 3072, "depth refused: step of the 32FC1 image is 127 bytes"),
]  # fmt: skip
# Changes to a good CameraInfo; said when the next window is made.
K = INTRINSICS.ravel().tolist()
INFOS = [
    ({"k": [0.0] * 9}, "camera_info says that the camera is not calibrated (K[0] = 0)"),
    ({"k": [float("nan"), *K[1:]]}, "are not finite: check the camera's calibration"),
    ({"k": [-50.0, *K[1:]]}, "focal lengths are -50 and 50 px, wanted positive ones"),
    ({"k": [*K[:8], 2.0]}, "are not [[fx, s, cx], [0, fy, cy], [0, 0, 1]]"),
    ({"distortion_model": "brown", "d": [0.1, 0.2]}, "distortion model is 'brown', wanted one of plumb_bob"),
    ({"d": [0.1] * 3}, "distortion has 3 values, plumb_bob wants 4 or 5 or 8"),
    ({"d": [float("inf"), 0.0, 0.0, 0.0, 0.0]}, "is not finite: check the camera's calibration"),
    # The same lens, so that no chain ends: K of an image 15 and 20 times as wide.
    (
        {"height": 480, "width": 480, "k": [750.0, 0, 240, 0, 750.0, 240, 0, 0, 1]},
        "camera_info is for 480x480 pixels, the image is 32x24",
    ),
    (
        {"height": 480, "width": 640, "k": [1000.0, 0, 320, 0, 1000.0, 240, 0, 0, 1]},
        "camera_info is for 640x480 pixels, the image is 32x24: K was scaled",
    ),
]


def made(stamp_ns: int, encoding: str, height: int, width: int, step: int, size: int) -> Image:
    found = image_message(stamp_ns)
    found.encoding, found.height, found.width, found.step = encoding, height, width, step
    found.data = bytes(size)
    return found


def test_each_is_said_and_the_same_node_goes_on(client: Client, tmp_path: Path):
    options = {"frames": 2, "queue_size": 16, "overflow_policy": "block", "max_gap_s": 0.0, "watchdog_s": 0.0}
    node = NodeProcess(tmp_path / "node.log", parameters=options)
    try:
        publishers = {
            topic: client.node.create_publisher(kind, topic, RELIABLE)
            for topic, kind in (("image", Image), ("mask", Image), ("depth", Image), ("camera_info", CameraInfo))
        }
        client.wait_until(lambda: all(item.get_subscription_count() for item in publishers.values()), "subscriptions")
        mesh = client.listen("attnchain_node/mesh", AnimatedMesh)
        status = client.listen("attnchain_node/status", DiagnosticStatus, LATCHED)
        stamps = iter(range(10**9, 10**12, STEP_NS))

        def good_frame(depth: Image | None = None, info: CameraInfo | None = None, mask: Image | None = None) -> None:
            stamp = next(stamps)
            for topic, message in (("depth", depth), ("camera_info", info), ("mask", mask or mask_message(stamp))):
                if message is not None:
                    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
                    publishers[topic].publish(message)
            publishers["image"].publish(image_message(stamp))

        def said(text: str) -> None:
            client.wait_until(lambda: text in node.text(), f"the log says: {text}\n{node.text()}", 20.0)

        for topic, table in (("image", IMAGES), ("mask", MASKS), ("depth", DEPTHS)):
            for *fields, text in table:
                for _ in range(3):
                    publishers[topic].publish(made(next(stamps), *fields))
                said(text)
                assert node.text().count(text) == 1, "a fault at 30 Hz is said once"
        good_frame(mask=made(0, "mono8", 12, 16, 16, 192))
        said("the mask is 16x12, the image is 32x24: publish it at image size")
        good_frame(mask=made(0, "mono8", HEIGHT, WIDTH, WIDTH, HEIGHT * WIDTH))
        said("the mask of 32x24 pixels is empty: none is the object's (see mask_instance_id)")
        for _ in range(2):
            good_frame(depth=made(0, "16UC1", 6, 8, 16, 96))
        said("depth is 8x6, the image is 32x24: publish depth registered to the image; it is ignored")
        for changes, text in INFOS:
            info = info_message(0, INTRINSICS)
            for name, value in changes.items():
                setattr(info, name, value)
            good_frame(info=info)
            good_frame()
            said(text)

        # After all of them: the camera is calibrated and windows come.
        good_frame(info=info_message(0, INTRINSICS))
        good_frame()
        frames = 2 + 2 * len(INFOS) + 2
        client.wait_until(lambda: len(mesh) == frames - 1, f"{frames - 1} windows of two frames that share one")
        client.wait_until(
            lambda: status and {item.key: item.value for item in status[-1].values}["frames used"] == str(frames),
            "the accounts",
        )
        figures = {item.key: item.value for item in status[-1].values}
        assert figures["dropped: undecodable"] == str(3 * len(IMAGES))
        assert figures["dropped: mask_size"] == figures["dropped: mask_empty"] == "1"
        assert int(figures["frames in"]) == frames + 3 * len(IMAGES) + 2
        assert "Traceback" not in node.text()
    finally:
        node.kill()
