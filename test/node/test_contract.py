"""Our decoding and our clouds against cv_bridge and sensor_msgs_py, which users write against.

They come with a ROS 2 distribution; where one is missing or does not work its half is left out and says so.
"""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import pytest
from node.hand_made import make_result
from sensor_msgs.msg import Image

from attnchain_ros import wire
from attnchain_ros.node.building import build
from attnchain_ros.stream.decode import decode_message

pytestmark = pytest.mark.ros

CHANNELS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1}
RAW = {"16UC1": np.uint16, "mono16": np.uint16, "32FC1": np.float32, "8UC1": np.uint8}
YUV = ("yuv422", "yuv422_yuy2")
BAYER = ("bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8")
HEIGHT, WIDTH = 6, 8


@pytest.fixture(scope="module")
def bridge() -> Any:
    """A cv_bridge that works: the one on PyPI imports, but belongs to ROS 1 and fails on a colour image."""
    module = pytest.importorskip("cv_bridge", reason="cv_bridge comes with a ROS 2 distribution")
    found = module.CvBridge()
    colour = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    try:
        back = found.imgmsg_to_cv2(found.cv2_to_imgmsg(colour, "bgr8"), "rgb8")
    except Exception as error:
        pytest.skip(f"this cv_bridge does not work: {error}")
    if not np.array_equal(back, colour[..., ::-1]):
        pytest.skip("this cv_bridge changes colours")
    return found


def message(encoding: str, rows: np.ndarray, padding: int = 0) -> Image:
    """An image message whose rows end in some bytes that do not count."""
    data = rows.reshape(len(rows), -1).view(np.uint8)
    padded = np.hstack([data, np.full((len(rows), padding), 255, np.uint8)])
    made = Image(height=HEIGHT, width=WIDTH, encoding=encoding, step=padded.shape[1])
    made.data = array.array("B", padded.tobytes())
    return made


def ours(image: Image) -> Any:
    return decode_message(image)


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", [*CHANNELS, *YUV, *BAYER])
@pytest.mark.parametrize("seed", range(3))
def test_colours_are_cv_bridges(bridge: Any, encoding: str, padding: int, seed: int) -> None:
    channels = CHANNELS.get(encoding, 2 if encoding in YUV else 1)
    rows = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, channels), dtype=np.uint8)
    made = message(encoding, rows, padding)
    found, wanted = ours(made).rgb, bridge.imgmsg_to_cv2(made, "rgb8")
    if encoding in BAYER:  # borders are a matter of taste
        found, wanted = found[2:-2, 2:-2], wanted[2:-2, 2:-2]
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("padding", [0, 4])
@pytest.mark.parametrize("encoding", RAW)
def test_numbers_are_cv_bridges(bridge: Any, encoding: str, padding: int) -> None:
    values = np.random.default_rng(1).integers(0, 200, (HEIGHT, WIDTH)).astype(RAW[encoding])
    made = message(encoding, values, padding)
    np.testing.assert_array_equal(ours(made).raw, bridge.imgmsg_to_cv2(made, "passthrough"))


@pytest.mark.parametrize("frame", [0, 1])
def test_clouds_are_read_by_sensor_msgs_py(frame: int) -> None:
    point_cloud2 = pytest.importorskip(
        "sensor_msgs_py.point_cloud2", reason="sensor_msgs_py comes with a ROS 2 distribution"
    )
    result = make_result(np.array([1_000_000_000, 1_500_000_000]), scale=0.25)
    cloud = build("sensor_msgs/msg/PointCloud2", wire.cloud(result, frame, wire.Names("camera", "object_1", 1)))
    rows = point_cloud2.read_points(cloud, skip_nans=False)
    points = np.stack([rows["x"], rows["y"], rows["z"]], axis=1)
    np.testing.assert_allclose(points, 0.25 * result.tracks.points_camera[frame], rtol=1e-6)
    assert rows["id"].tolist() == result.tracks.ids.tolist()
    assert rows["visibility"].tolist() == result.tracks.visible[frame].astype(int).tolist()
    np.testing.assert_array_equal(rows["confidence"], result.tracks.confidence[frame])
    color = rows["rgb"].view(np.uint32)
    assert (
        np.stack([color >> 16 & 255, color >> 8 & 255, color & 255], axis=1).tolist() == result.tracks.colors.tolist()
    )
