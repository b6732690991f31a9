"""Bags written by rosbags are read back as clips; results bags hold the right numbers and the same bytes every time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from attnchain_ros.errors import ConfigError, FileFormatError, MaskError
from attnchain_ros.files.bag_types import bag_types
from attnchain_ros.files.bag_writing import ResultBagWriter
from attnchain_ros.files.bags import open_bag
from attnchain_ros.files.images import ClipOptions, open_frames
from attnchain_ros.stream.config import StreamConfig
from attnchain_ros.stream.frame import Frame
from attnchain_ros.stream.source import FrameSource
from attnchain_ros.stream.windows import ClipWindows, clip_frames
from attnchain_ros.wire.fields import CLOUD_DTYPE, KEPT_POSE_VARIANCE

START = 1_700_000_000_000_000_000
STEP = 33_333_333
H, W = 12, 16


def _header(stamp: int) -> Any:
    types = bag_types().types
    time = types["builtin_interfaces/msg/Time"](sec=stamp // 10**9, nanosec=stamp % 10**9)
    return types["std_msgs/msg/Header"](stamp=time, frame_id="cam_optical")


def _image(stamp: int, values: np.ndarray, encoding: str) -> Any:
    raw = np.ascontiguousarray(values)
    step = raw.strides[0]
    data = np.frombuffer(raw.tobytes(), np.uint8)
    kind = bag_types().types["sensor_msgs/msg/Image"]
    height, width = raw.shape[:2]
    return kind(
        header=_header(stamp), height=height, width=width, encoding=encoding, is_bigendian=0, step=step, data=data
    )


def _info(stamp: int, focal: float = 20.0, d: tuple[float, ...] = ()) -> Any:
    types = bag_types().types
    roi = types["sensor_msgs/msg/RegionOfInterest"](x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    k = np.array([focal, 0, 7.5, 0, focal, 5.5, 0, 0, 1])
    return types["sensor_msgs/msg/CameraInfo"](
        header=_header(stamp), height=H, width=W, distortion_model="plumb_bob", d=np.array(d), k=k,
        r=np.eye(3).ravel(), p=np.zeros(12), binning_x=0, binning_y=0, roi=roi,
    )  # fmt: skip


def _colours(number: int) -> np.ndarray:
    return np.full((H, W, 3), (10 * number, 100, 200), np.uint8)


def _mask(number: int) -> np.ndarray:
    mask = np.zeros((H, W), np.uint8)
    mask[2:8, 1 + number : 7 + number] = 3
    return mask


def _record(
    path: Path,
    messages: list[tuple[str, int, Any]],
    storage: StoragePlugin = StoragePlugin.MCAP,
    compression: CompressionMode = CompressionMode.NONE,
) -> Path:
    """Write (topic, time, message) in the order given."""
    writer = Writer(path, version=9, storage_plugin=storage)
    writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        known: dict[str, Any] = {}
        for topic, time, message in messages:
            if topic not in known:
                known[topic] = writer.add_connection(topic, message.__msgtype__, typestore=bag_types())
            writer.write(known[topic], time, bags_bytes(message))
    return path


def bags_bytes(message: Any) -> bytes:
    return bytes(bag_types().serialize_cdr(message, message.__msgtype__))


def _clip(count: int = 4, late_masks: int = 5_000_000) -> list[tuple[str, int, Any]]:
    """Images, and masks that were recorded some time after their images but carry nearly their stamps."""
    messages = [("/cam/camera_info", START, _info(START))]
    for number in range(count):
        stamp = START + number * STEP
        messages.append(("/cam/image", stamp + 1000, _image(stamp, _colours(number), "rgb8")))
        messages.append(("/cam/mask", stamp + late_masks, _image(stamp + 300, _mask(number), "mono8")))
    return sorted(messages, key=lambda item: item[1])


def read(source: FrameSource) -> list[Frame]:
    """The frames as the rollout sees them."""
    return [frame for frame, _ in clip_frames(source, StreamConfig())]


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize("compression", [CompressionMode.NONE, CompressionMode.MESSAGE, CompressionMode.FILE])
def test_images_masks_and_camera_are_read(tmp_path: Path, storage: StoragePlugin, compression: CompressionMode) -> None:
    source = open_frames(_record(tmp_path / "bag", _clip(), storage, compression))
    for _ in range(2):
        frames = read(source)
        assert [frame.stamp_ns for frame in frames] == [START + n * STEP for n in range(4)]
        for number, frame in enumerate(frames):
            np.testing.assert_array_equal(frame.image, _colours(number))
            np.testing.assert_array_equal(frame.mask, _mask(number) > 0)
            assert frame.depth_m is None
    assert source.count == 4
    windows = ClipWindows(source, StreamConfig(), 4)
    (part,) = windows
    assert part.window.intrinsics is not None and part.window.intrinsics[0, 0] == 20.0
    assert part.frame_id == "cam_optical" and source.notes == windows.notes == []


def test_masks_that_were_recorded_long_after_their_images_are_found(tmp_path: Path) -> None:
    frames = read(open_bag(_record(tmp_path / "bag", _clip(late_masks=10**9))))
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.mask, _mask(number) > 0)


def test_images_without_a_mask_are_left_out_and_counted(tmp_path: Path) -> None:
    messages = [item for item in _clip(5) if not (item[0] == "/cam/mask" and START + STEP < item[1] < START + 3 * STEP)]
    windows = ClipWindows(open_bag(_record(tmp_path / "bag", messages)), StreamConfig(), 4)
    (part,) = windows
    assert (part.window.stamps_ns - START).tolist() == [0, 3 * STEP, 4 * STEP]
    assert [note.text for note in windows.notes] == ["2 of 5 images were left out: without a mask of their own"]
    # Also where they end early, and none is found by colours: the recording has masks.
    early = [item for item in _clip(4) if not (item[0] == "/cam/mask" and item[1] > START + STEP)]
    windows = ClipWindows(open_bag(_record(tmp_path / "early", early)), StreamConfig(foreground="grabcut"), 4)
    (part,) = windows
    assert (part.window.stamps_ns - START).tolist() == [0]
    assert "3 of 4 images were left out: without a mask of their own" in windows.notes[0].text


def test_a_mask_without_stamp_belongs_to_every_image(tmp_path: Path) -> None:
    messages = [item for item in _clip() if item[0] != "/cam/mask"]
    messages.insert(0, ("/cam/mask", START - 1, _image(0, _mask(0), "mono8")))
    frames = read(open_bag(_record(tmp_path / "bag", messages)))
    assert len(frames) == 4
    for frame in frames:
        np.testing.assert_array_equal(frame.mask, _mask(0) > 0)


def test_instance_depth_compressed_and_uncalibrated(tmp_path: Path) -> None:
    jpeg = cv2.imencode(".jpg", _colours(3)[..., ::-1])[1].ravel()
    picture = bag_types().types["sensor_msgs/msg/CompressedImage"](header=_header(START), format="jpeg", data=jpeg)
    ids = _mask(0).astype(np.uint16) + 7
    messages = [
        ("/image/compressed", START, picture),
        ("/camera_info", START, _info(START, focal=0.0)),
        ("/segmentation", START, _image(START, ids, "16UC1")),
        ("/depth", START, _image(START, np.full((H, W), 1500, np.uint16), "16UC1")),
    ]
    source = open_bag(_record(tmp_path / "bag", messages), mask_instance=10)
    windows = ClipWindows(source, StreamConfig(), 4)
    (part,) = windows
    np.testing.assert_allclose(part.window.images[0], _colours(3), atol=4)
    np.testing.assert_array_equal(part.window.masks[0], _mask(0) == 3)
    np.testing.assert_allclose(part.window.depth_m[0], 1.5)
    assert part.window.intrinsics is None and any("not calibrated" in note.text for note in windows.notes)


def test_distortion_is_removed_and_points_go_back(tmp_path: Path) -> None:
    messages = [(topic, time, message) for topic, time, message in _clip(2) if topic != "/cam/camera_info"]
    messages.insert(0, ("/cam/camera_info", START, _info(START, d=(-0.2, 0.05, 0.0, 0.0, 0.0))))
    (part,) = ClipWindows(open_bag(_record(tmp_path / "bag", messages)), StreamConfig(), 4)
    points = np.array([[[7.5, 5.5], [2.0, 3.0], [np.nan, 1.0]]], np.float32)
    back = part.camera.distort_points(points)
    np.testing.assert_allclose(back[0, 0], [7.5, 5.5], atol=1e-5)
    # By hand: x' = x (1 + k1 r2 + k2 r4) about the centre, in units of the focal length.
    x, y = (2.0 - 7.5) / 20, (3.0 - 5.5) / 20
    factor = 1 - 0.2 * (x * x + y * y) + 0.05 * (x * x + y * y) ** 2
    np.testing.assert_allclose(back[0, 1], [7.5 + 20 * x * factor, 5.5 + 20 * y * factor], atol=1e-5)
    assert np.isnan(back[0, 2]).all()
    assert part.window.frames == 2


def _pass(numbers: list[int], first: int, recorded: int, size: int = 1) -> list[tuple[str, int, Any]]:
    """Image, mask and camera_info of frames stamped from ``first`` on; recorded one after another, the mask last."""
    messages = []
    for offset, number in enumerate(numbers):
        stamp, time = first + offset * STEP, recorded + offset * STEP
        picture, mask = (np.repeat(np.repeat(item, size, 0), size, 1) for item in (_colours(number), _mask(number)))
        info = _info(stamp, focal=20.0 * size)
        info.height, info.width = H * size, W * size
        messages += [
            ("/cam/camera_info", time, info),
            ("/cam/image", time + 1, _image(stamp, picture, "rgb8")),
            ("/cam/mask", time + 2 * STEP, _image(stamp, mask, "mono8")),
        ]
    return messages


def test_chains_end_where_the_node_ends_them(tmp_path: Path) -> None:
    """A bag recorded from a looping player, with a pause and then a camera mode of twice the size."""
    messages = [
        *_pass([0, 1, 2], START, START),
        *_pass([3, 4, 5, 6], START, START + 4 * STEP),  # the loop: the same stamps again
        *_pass([7, 8], START + 4 * 10**9, START + 4 * 10**9),
        *_pass([9, 9], START + 4 * 10**9 + 2 * STEP, START + 5 * 10**9, size=2),
    ]
    repeated = ("/cam/image", START + 3, _image(START, _colours(0), "rgb8"))
    source = open_bag(_record(tmp_path / "bag", sorted([*messages, repeated], key=lambda item: item[1])))
    windows = ClipWindows(source, StreamConfig(), 16)
    for _ in range(2):
        parts = list(windows)
        assert [part.window.frames for part in parts] == [3, 4, 2, 2] and [part.chain for part in parts] == [0, 1, 2, 3]
        numbers = [[int(image[0, 0, 0]) // 10 for image in part.window.images] for part in parts]
        assert numbers == [[0, 1, 2], [3, 4, 5, 6], [7, 8], [9, 9]]
        for part, row in zip(parts, numbers, strict=True):
            size = part.window.images.shape[1] // H
            for mask, number in zip(part.window.masks, row, strict=True):
                np.testing.assert_array_equal(mask, np.repeat(np.repeat(_mask(number) > 0, size, 0), size, 1))
        assert [part.window.intrinsics[0, 0] for part in parts] == [20.0, 20.0, 20.0, 40.0]
    notes = " ".join(note.text for note in windows.notes)
    for text in ("(stamp_back)", "(gap)", "(image_size)"):
        assert text in notes
    assert "1 of 12 images were left out: with the stamp of the one before" in notes
    parts = list(ClipWindows(open_bag(tmp_path / "bag"), StreamConfig(max_gap_s=0.0), 16))
    assert [part.chain for part in parts] == [0, 1, 2], "0 = no gap is too long"


def test_refusals_list_what_the_bag_holds(tmp_path: Path) -> None:
    bag = _record(tmp_path / "bag", _clip(1))
    with pytest.raises(FileFormatError, match=r"no topic /left/image .*/cam/image \(sensor_msgs/msg/Image\)"):
        open_bag(bag, "left/image")
    two = [*_clip(1), ("/right/image", START, _image(START, _colours(1), "rgb8"))]
    both = _record(tmp_path / "two", two)
    with pytest.raises(FileFormatError, match="2 image topics, name the one to use; it holds /cam/camera_info"):
        open_frames(both)
    assert open_frames(both, ClipOptions(topics=("/right/image", None, None, None))).count == 1
    ranges = [
        (f"/{name}/depth", START, _image(START, np.ones((H, W), np.float32), "32FC1")) for name in ("raw", "aligned")
    ]
    with pytest.raises(FileFormatError, match="2 depth topics, name the one to use; it holds /aligned/depth"):
        open_frames(_record(tmp_path / "ranges", [*_clip(1), *ranges]))
    none = _record(tmp_path / "none", [item for item in _clip(1) if item[0] == "/cam/camera_info"])
    with pytest.raises(FileFormatError, match="no image topic; it holds /cam/camera_info"):
        open_frames(none)
    small = [*_clip(1)[:2], ("/cam/mask", START + 9, _image(START, np.ones((4, 4), np.uint8), "mono8"))]
    with pytest.raises(MaskError, match=r"not one frame can be used; .* \(mask_size 1\)"):
        list(ClipWindows(open_bag(_record(tmp_path / "small", small)), StreamConfig(), 4))
    odd = [("/cam/image", START, _image(START, _colours(0), "bgr16"))]
    with pytest.raises(FileFormatError, match=r"/cam/image, image 0: image encoding 'bgr16'"):
        open_bag(_record(tmp_path / "odd", odd))
    with pytest.raises(ConfigError, match="is a bag: its stamps come from its topics"):
        open_frames(bag, ClipOptions(fps=10.0))
    broken = _record(tmp_path / "broken", _clip(1))
    (broken / "broken.mcap").write_bytes(b"rubbish")
    with pytest.raises(FileFormatError, match=r"bag .*broken cannot be read"):
        open_frames(broken)


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize("compression", [CompressionMode.NONE, CompressionMode.FILE, CompressionMode.MESSAGE])
def test_damaged_bags_are_refused_with_the_topics_they_should_hold(
    tmp_path: Path, storage: StoragePlugin, compression: CompressionMode
) -> None:
    bag = _record(tmp_path / "bag", _clip(20), storage, compression)
    (file,) = (path for path in bag.iterdir() if path.name != "metadata.yaml")
    data = file.read_bytes()
    for share in (0.0, 0.1, 0.5, 0.9):
        file.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(FileFormatError, match=r"cannot be read: .* names .*/cam/image \(sensor_msgs/msg/Image\)"):
            list(open_bag(bag).events())
    file.unlink()
    with pytest.raises(FileFormatError, match="missing"):
        open_bag(bag)
    for text in ("", "rubbish: [", "a: 1", "rosbag2_bagfile_information: 3"):
        (bag / "metadata.yaml").write_text(text)
        with pytest.raises(FileFormatError, match=r"metadata.yaml cannot be read either"):
            open_bag(bag)


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_a_file_and_a_folder_without_metadata_are_bags_too(tmp_path: Path, storage: StoragePlugin) -> None:
    bag = _record(tmp_path / "bag", _clip(), storage)
    wanted = [frame.stamp_ns for frame in read(open_frames(bag))]
    (bag / "metadata.yaml").unlink()
    (file,) = bag.iterdir()
    for path in (bag, file):
        assert [frame.stamp_ns for frame in read(open_frames(path))] == wanted


def test_neighbours_in_the_wrong_order_are_put_right_and_a_pass_is_not(tmp_path: Path) -> None:
    messages = _clip(8)
    images = [number for number, item in enumerate(messages) if item[0] == "/cam/image"]
    masks = [number for number, item in enumerate(messages) if item[0] == "/cam/mask"]
    for one, other in ((images[3], images[4]), (masks[5], masks[6])):
        first, second = messages[one], messages[other]
        messages[one], messages[other] = (first[0], first[1], second[2]), (second[0], second[1], first[2])
    windows = ClipWindows(open_bag(_record(tmp_path / "bag", messages)), StreamConfig(), 16)
    (part,) = windows
    assert (part.window.stamps_ns - START).tolist() == [number * STEP for number in range(8)]
    for number, mask in enumerate(part.window.masks):
        np.testing.assert_array_equal(mask, _mask(number) > 0)
    assert windows.notes == []


def test_without_stamps_the_times_of_recording_are_used_and_said(tmp_path: Path) -> None:
    messages = [_clip(1)[0]]
    for number in range(4):
        time = START + number * STEP
        messages.append(("/cam/image", time, _image(0, _colours(number), "rgb8")))
        messages.append(("/cam/mask", time + 2_000_000, _image(0, _mask(number), "mono8")))
    windows = ClipWindows(open_bag(_record(tmp_path / "bag", messages)), StreamConfig(), 16)
    (part,) = windows
    assert (part.window.stamps_ns - START).tolist() == [number * STEP for number in range(4)]
    for number, mask in enumerate(part.window.masks):
        np.testing.assert_array_equal(mask, _mask(number) > 0)
    assert "have no stamps: the times at which messages were recorded are used" in windows.source.notes[0].text


def test_depth_from_another_frame_is_no_depth_of_the_image(tmp_path: Path) -> None:
    depth = _image(START, np.full((H, W), 1500, np.uint16), "16UC1")
    depth.header.frame_id = "depth_optical"
    messages = [*_clip(2), ("/depth/image", START + 1, depth)]
    bag = _record(tmp_path / "bag", sorted(messages, key=lambda item: item[1]))
    windows = ClipWindows(open_bag(bag), StreamConfig(), 4)
    (part,) = windows
    assert part.window.depth_m is None and "depth is seen from depth_optical" in windows.notes[0].text
    windows = ClipWindows(open_bag(bag, None, None, "none"), StreamConfig(), 4)
    (part,) = windows
    assert part.window.depth_m is None and windows.notes == []


def test_a_topic_that_looks_rectified_is_told_of_unless_it_is_said_to_be(tmp_path: Path) -> None:
    messages = [(topic.replace("image", "image_rect"), time, message) for topic, time, message in _clip(2)]
    bag = _record(tmp_path / "bag", messages)
    for rectified, codes in ((False, ["looks_rectified"]), (True, [])):
        windows = ClipWindows(open_bag(bag), StreamConfig(image_rectified=rectified), 4)
        assert [note.code for note in windows.notes] == codes


def test_topics_of_unknown_types_do_not_matter(tmp_path: Path) -> None:
    """A bag of somebody else's robot, with messages that are installed nowhere here."""
    store = bag_types()
    foreign = get_types_from_msg("uint8 level", "their_msgs/msg/Battery")
    store_of_theirs = get_typestore(Stores.ROS2_JAZZY)
    store_of_theirs.register(foreign)
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        battery = writer.add_connection("/battery", "their_msgs/msg/Battery", typestore=store_of_theirs)
        image = writer.add_connection("/cam/image", "sensor_msgs/msg/Image", typestore=store)
        writer.write(battery, START, bytes(4) + b"\x07")
        writer.write(image, START, bags_bytes(_image(START, _colours(1), "rgb8")))
    assert open_bag(tmp_path / "bag").count == 1
    with pytest.raises(FileFormatError, match=r"it holds /battery \(their_msgs/msg/Battery\), /cam/image"):
        open_bag(tmp_path / "bag", "/battery")


def _results(path: Path, scene: Any, **options: Any) -> Path:
    with ResultBagWriter(path, **options) as writer:
        for _, result in scene.windows:
            writer.add(result, "cam_optical")
    return path


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_results_hold_the_numbers_and_the_same_bytes_twice(
    tmp_path: Path, make_scene: Callable[..., Any], storage: str
) -> None:
    scene = make_scene(scale=0.5)
    bags = [_results(tmp_path / side / "results", scene, storage=storage) for side in ("a", "b")]
    names = sorted(item.name for item in bags[0].iterdir())
    assert len(names) == 2 and names == sorted(item.name for item in bags[1].iterdir())
    for name in names:
        assert (bags[0] / name).read_bytes() == (bags[1] / name).read_bytes(), name
    found: dict[str, list[Any]] = {}
    with AnyReader([bags[0]]) as reader:
        for connection, time, raw in reader.messages():
            found.setdefault(connection.topic, []).append((time, reader.deserialize(raw, connection.msgtype)))
    frames = len(scene.images)
    assert len(found["/attnchain/mesh"]) == len(found["/attnchain/tracks_window"]) == len(scene.windows)
    assert [len(found[f"/attnchain/{topic}"]) for topic in ("tracks", "camera_pose", "object_pose")] == [frames] * 3
    # Frame 2 has no pose of its own: a covariance says so, and there is no transform.
    assert [time for time, _ in found["/tf"]] == [START + n * STEP for n in range(frames) if n != 2]
    kept = [pose.pose.covariance[0] == KEPT_POSE_VARIANCE for _, pose in found["/attnchain/object_pose"]]
    assert np.flatnonzero(kept).tolist() == [2]
    _check_window(found, scene)
    _check_frame(found, scene)


def _check_window(found: dict[str, list[Any]], scene: Any) -> None:
    part, result = scene.windows[1]
    time, mesh = found["/attnchain/mesh"][1]
    assert time == result.stamps_ns[-1] and mesh.header.frame_id == "object_1"
    assert (mesh.frame_count, mesh.window_index, mesh.scale, mesh.metric) == (result.frames, 1, 0.5, True)
    shape = (mesh.frame_count, mesh.vertex_count, 3)
    np.testing.assert_allclose(mesh.vertices.reshape(shape), scene.vertices[part] * 0.5, rtol=1e-6)
    np.testing.assert_array_equal(mesh.triangles.reshape(-1, 3), scene.faces)
    assert [stamp.sec * 10**9 + stamp.nanosec for stamp in mesh.stamps] == result.stamps_ns.tolist()
    _, tracks = found["/attnchain/tracks_window"][1]
    assert tracks.header.frame_id == "cam_optical" and tracks.object_frame_id == "object_1"
    np.testing.assert_array_equal(tracks.points_px.reshape(result.tracks.points_px.shape), result.tracks.points_px)
    np.testing.assert_allclose(tracks.points_camera, result.tracks.points_camera.ravel() * 0.5, rtol=1e-6)
    np.testing.assert_array_equal(tracks.visible, result.tracks.visible.ravel().astype(int))


def _check_frame(found: dict[str, list[Any]], scene: Any) -> None:
    _, result = scene.windows[0]
    _, cloud = found["/attnchain/tracks"][1]
    rows = np.frombuffer(cloud.data.tobytes(), CLOUD_DTYPE)
    assert cloud.width == len(rows) == 40 and cloud.point_step == 28
    np.testing.assert_allclose(rows["z"], result.tracks.points_camera[1, :, 2] * 0.5, rtol=1e-6)
    np.testing.assert_array_equal(rows["id"], result.tracks.ids)
    red, green, blue = result.tracks.colors[5].tolist()
    assert rows["rgb"][5] == red * 65536 + green * 256 + blue
    _, message = found["/tf"][1]
    (transform,) = message.transforms
    assert (transform.header.frame_id, transform.child_frame_id) == ("cam_optical", "object_1")
    pose = result.camera.camera_from_object[1]
    shift = transform.transform.translation
    np.testing.assert_allclose([shift.x, shift.y, shift.z], pose[:3, 3] * 0.5)
    turn = transform.transform.rotation
    # diag(1, -1, -1) is half a turn about x.
    np.testing.assert_allclose(np.abs([turn.x, turn.y, turn.z, turn.w]), [1, 0, 0, 0], atol=1e-12)
    _, camera = found["/attnchain/camera_pose"][1]
    place = camera.pose.pose.position
    np.testing.assert_allclose([place.x, place.y, place.z], -pose[:3, :3].T @ pose[:3, 3] * 0.5)
    _, thing = found["/attnchain/object_pose"][1]
    assert (thing.header.frame_id, camera.header.frame_id) == ("cam_optical", "object_1")
    place = thing.pose.pose.position
    np.testing.assert_allclose([place.x, place.y, place.z], pose[:3, 3] * 0.5)
    assert camera.header.frame_id == "object_1"
    assert found["/attnchain/camera_pose"][2][1].pose.covariance[0] == 1e6, "frame 2 has no pose of its own"


def test_an_existing_bag_is_kept_and_a_failed_one_is_not_left_behind(
    tmp_path: Path, make_scene: Callable[..., Any]
) -> None:
    path = _results(tmp_path / "results", make_scene())
    with pytest.raises(FileFormatError, match="exists already"):
        _results(path, make_scene())
    with pytest.raises(RuntimeError), ResultBagWriter(tmp_path / "failed"):
        raise RuntimeError
    assert [item.name for item in tmp_path.iterdir()] == ["results"]
    _results(path, make_scene(), overwrite=True)
    with pytest.raises(ConfigError, match="storage is 'db4'"):
        ResultBagWriter(tmp_path / "x", storage="db4")  # type: ignore[arg-type]
