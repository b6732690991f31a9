"""A camera's recording: what is written is what is read, also by ROS itself; the same bytes for the same frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from rosbags.highlevel import AnyReader

from attnchain_ros.camera.poses import pose_from_quaternion
from attnchain_ros.errors import ConfigError, FileFormatError, InputError
from attnchain_ros.files.bag_file import BagFile
from attnchain_ros.files.bag_types import bag_types
from attnchain_ros.files.bags import open_bag
from attnchain_ros.files.camera_bag import TOPICS, CameraBagWriter, in_millimetres
from attnchain_ros.stream.config import StreamConfig
from attnchain_ros.stream.frame import Frame
from attnchain_ros.stream.windows import clip_frames

START, STEP = 1_000 * 10**9 + 7, 50_000_000
INTRINSICS = np.array([[40.0, 0, 15.5], [0, 41.0, 11.5], [0, 0, 1]])


def frames(count: int = 3) -> list[Frame]:
    rng = np.random.default_rng(0)
    found = []
    for number in range(count):
        mask = np.zeros((24, 32), bool)
        mask[6:18, 8 + number : 20 + number] = True
        depth = np.where(mask, 1.2345 + 0.1 * number, np.nan)
        image = rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)
        found.append(Frame(image, mask, START + number * STEP, depth.astype(np.float32)))
    return found


def poses(count: int = 3) -> list[np.ndarray]:
    turn = np.array([0.5, -0.5, 0.5, -0.5])
    return [pose_from_quaternion(np.array([0.1 * number, 2.0, -3.0]), turn) for number in range(count)]


def record(path: Path) -> Path:
    with CameraBagWriter(path, "eye", "map") as bag:
        bag.place("thing", poses()[0], START)
        for frame, pose in zip(frames(), poses(), strict=True):
            bag.add(frame, INTRINSICS, pose)
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    source = open_bag(record(tmp_path / "bag"))
    assert source.topics.image == "/image" and source.topics.mask == "/mask" and source.topics.depth == "/depth"
    read = list(clip_frames(source, StreamConfig()))
    assert len(read) == 3
    for (frame, intrinsics), wanted in zip(read, frames(), strict=True):
        assert frame.stamp_ns == wanted.stamp_ns and frame.frame_id == "eye"
        assert np.array_equal(frame.image, wanted.image) and np.array_equal(frame.mask, wanted.mask)  # type: ignore[arg-type]
        assert intrinsics is not None and np.array_equal(intrinsics, INTRINSICS)
        assert frame.depth_m is not None and wanted.depth_m is not None and wanted.mask is not None
        assert np.abs(frame.depth_m - wanted.depth_m)[wanted.mask].max() <= 0.5e-3 + 1e-6, "half a millimetre"
        assert not np.any(frame.depth_m[~wanted.mask] > 0), "unknown stays unknown"


def test_transforms_say_where_the_camera_stood(tmp_path: Path) -> None:
    with AnyReader([record(tmp_path / "bag")], default_typestore=bag_types()) as reader:
        read = [(item.topic, time, reader.deserialize(raw, item.msgtype)) for item, time, raw in reader.messages()]
    moving = [message.transforms[0] for topic, _, message in read if topic == "/tf"]
    assert [item.header.stamp.sec * 10**9 + item.header.stamp.nanosec for item in moving] == [
        START + number * STEP for number in range(3)
    ]
    for item, pose in zip(moving, poses(), strict=True):
        assert (item.header.frame_id, item.child_frame_id) == ("map", "eye")
        place, turn = item.transform.translation, item.transform.rotation
        found = pose_from_quaternion(np.array([place.x, place.y, place.z]), np.array([turn.x, turn.y, turn.z, turn.w]))
        assert np.allclose(found, pose, atol=1e-12)
    (still,) = [message.transforms[0] for topic, _, message in read if topic == "/tf_static"]
    assert still.child_frame_id == "thing"
    order = [topic for topic, time, _ in read if time == START + STEP]
    assert order[-1] == "/image", "whoever has the image has the rest"


def test_static_transforms_are_offered_to_latecomers(tmp_path: Path) -> None:
    told = yaml.safe_load((record(tmp_path / "bag") / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert told["compression_mode"] == "", "chunks of MCAP are compressed, which players need not be told"
    offers = {
        row["topic_metadata"]["name"]: row["topic_metadata"]["offered_qos_profiles"]
        for row in told["topics_with_message_count"]
    }
    assert set(offers) == {topic.name for topic in TOPICS.values()}
    assert [profile["durability"] for profile in offers["/tf_static"]] == ["transient_local"]
    assert offers["/image"] == [], "a player's own default"


def test_the_same_frames_are_the_same_bytes(tmp_path: Path) -> None:
    first, second = record(tmp_path / "a" / "bag"), record(tmp_path / "b" / "bag")
    for name in ("bag.mcap", "metadata.yaml"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), CameraBagWriter(tmp_path / "new" / "bag") as bag:
        bag.add(frames()[0], INTRINSICS, poses()[0])
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "bag").mkdir()
    with pytest.raises(FileFormatError, match="exists already"), CameraBagWriter(tmp_path / "bag"):
        pass
    with pytest.raises(ConfigError, match="only mcap"):
        BagFile(tmp_path / "other", {}, storage="sqlite3", compressed=True)


def test_depth_in_millimetres() -> None:
    depth = np.array([[0.0, -1.0, np.nan, np.inf], [0.0004, 0.0006, 65.535, 1.2344]])
    assert in_millimetres(depth).tolist() == [[0, 0, 0, 0], [0, 1, 65535, 1234]]
    with pytest.raises(InputError, match=r"up to 70\.0 m.*32FC1"):
        in_millimetres(np.array([[70.0]]))


@pytest.mark.ros
@pytest.mark.filterwarnings("ignore:module 'sre_:DeprecationWarning")  # the wheels' lark, see test/node/conftest.py
def test_ros_itself_reads_it(tmp_path: Path) -> None:
    from rclpy.serialization import deserialize_message
    from sensor_msgs.msg import CameraInfo, Image
    from tf2_msgs.msg import TFMessage

    kinds = {"/image": Image, "/mask": Image, "/depth": Image, "/camera_info": CameraInfo, "/tf": TFMessage}
    with AnyReader([record(tmp_path / "bag")], default_typestore=bag_types()) as reader:
        read = {item.topic: deserialize_message(raw, kinds[item.topic]) for item, _, raw in reader.messages()
                if item.topic in kinds}  # fmt: skip
    assert read["/depth"].encoding == "16UC1" and read["/depth"].step == 64 and len(read["/depth"].data) == 64 * 24
    assert read["/mask"].encoding == "mono8" and set(read["/mask"].data) == {0, 255}
    assert np.array_equal(np.array(read["/camera_info"].k).reshape(3, 3), INTRINSICS)
    assert read["/tf"].transforms[0].child_frame_id == "eye"
