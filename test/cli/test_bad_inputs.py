"""Bags, videos and folders that cannot be used: one line that says why, exit status 2, and nothing left behind."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer

from attnchain_ros.cli import main
from attnchain_ros.files.bag_types import bag_types

START, STEP = 100 * 10**9, 50_000_000
HEIGHT, WIDTH, FRAMES = 40, 48, 5
IMAGE, MASK, INFO = "/cam/image", "/cam/mask", "/cam/camera_info"
Message = tuple[str, int, str, bytes]
"""Topic, nanoseconds, type, bytes."""


def make(kind: str, **fields: Any) -> Any:
    return bag_types().types[kind](**fields)


def message(topic: str, number: int, kind: str, **fields: Any) -> Message:
    stamp = START + number * STEP
    time = make("builtin_interfaces/msg/Time", sec=stamp // 10**9, nanosec=stamp % 10**9)
    header = make("std_msgs/msg/Header", stamp=time, frame_id="cam")
    return topic, stamp, kind, bytes(bag_types().serialize_cdr(make(kind, header=header, **fields), kind))


def image(number: int, topic: str = IMAGE, **changes: Any) -> Message:
    """A grey image with a bright square, as rgb8."""
    pixels = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    pixels[12:28, 14 + number : 30 + number] = 200
    fields = {"height": HEIGHT, "width": WIDTH, "encoding": "rgb8", "is_bigendian": 0, "step": 3 * WIDTH}
    return message(topic, number, "sensor_msgs/msg/Image", **{**fields, "data": pixels.ravel(), **changes})


def mask(number: int, height: int = HEIGHT, width: int = WIDTH, step: int = WIDTH, encoding: str = "mono8") -> Message:
    data = np.full(height * step, 255, np.uint8)
    return image(number, MASK, height=height, width=width, step=step, encoding=encoding, data=data)


def ids(number: int) -> Message:
    """A mask of two objects."""
    data = np.zeros((HEIGHT, WIDTH), np.uint8)
    data[4:16, 4:20], data[20:36, 24:40] = 1, 2
    return image(number, MASK, step=WIDTH, encoding="mono8", data=data.ravel())


def jpeg(number: int, data: bytes, kind: str = "jpeg") -> Message:
    fields = {"format": kind, "data": np.frombuffer(data, np.uint8)}
    return message("/cam/image/compressed", number, "sensor_msgs/msg/CompressedImage", **fields)


def info(**changes: Any) -> Message:
    roi = make("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    fields: dict[str, Any] = {
        "height": HEIGHT, "width": WIDTH, "distortion_model": "plumb_bob", "d": np.zeros(5),
        "k": np.array([60.0, 0, 23.5, 0, 60, 19.5, 0, 0, 1]), "r": np.eye(3).ravel(), "p": np.zeros(12),
        "binning_x": 0, "binning_y": 0, "roi": roi,
    }  # fmt: skip
    return message(INFO, 0, "sensor_msgs/msg/CameraInfo", **{**fields, **changes})


def wrong_length(number: int) -> Message:
    """An image whose bytes end before the length that they tell."""
    topic, stamp, kind, data = image(number)
    return topic, stamp, kind, data[:200]


def frames(*others: Message) -> list[Message]:
    return sorted([*map(image, range(FRAMES)), *others], key=lambda item: item[1])


def record(path: Path, messages: list[Message], storage: StoragePlugin = StoragePlugin.MCAP) -> Path:
    with Writer(path, version=9, storage_plugin=storage) as writer:
        known: dict[str, Any] = {}
        for topic, stamp, kind, data in messages:
            if topic not in known:
                known[topic] = writer.add_connection(topic, kind, typestore=bag_types())
            writer.write(known[topic], stamp, data)
    return path


def cut(bag: Path) -> None:
    (file,) = (path for path in bag.iterdir() if path.name != "metadata.yaml")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def say(old: str, new: str) -> Callable[[Path], None]:
    """Other words in the bag's metadata."""

    def change(bag: Path) -> None:
        text = (bag / "metadata.yaml").read_text()
        assert old in text
        (bag / "metadata.yaml").write_text(text.replace(old, new))

    return change


def leave(bag: Path) -> None:
    """Nothing is done to it."""


MCAP, SQLITE = StoragePlugin.MCAP, StoragePlugin.SQLITE3
PROMISED = "its metadata.yaml names /cam/image (sensor_msgs/msg/Image). Copy it again"
# Name: storage, messages, what is done to the bag, further arguments, parts of what is said.
BAGS: dict[str, tuple[StoragePlugin, list[Message], Callable[[Path], Any], list[str], list[str]]] = {
    "missing": (MCAP, frames(), shutil.rmtree, [], ["{bag} does not exist"]),
    "no metadata": (MCAP, frames(), lambda bag: [path.unlink() for path in bag.iterdir()], [],
                    ["{bag} is no rosbag2 folder or file: it holds no metadata.yaml, .mcap or .db3"]),
    "other metadata": (MCAP, frames(), say("rosbag2_bagfile_information", "x"), [], ["{bag} cannot be read: ",
                       "its metadata.yaml cannot be read either"]),
    "truncated mcap": (MCAP, frames(), cut, [], ["bag {bag} cannot be read: ", PROMISED]),
    "truncated sqlite3": (SQLITE, frames(), cut, [], ["bag {bag} cannot be read: ", PROMISED]),
    "foreign storage": (MCAP, frames(), say("storage_identifier: mcap", "storage_identifier: leveldb"), [],
                        ["bag {bag} cannot be read: ", "It is stored as 'leveldb', wanted mcap or sqlite3: 'ros2 bag"]),
    "foreign compression": (SQLITE, frames(), say("compression_format: ''\n  compression_mode: ''",
                            "compression_format: lz9\n  compression_mode: message"), [],
                            ["bag {bag} cannot be read: ", "It is compressed as 'lz9', wanted zstd or nothing: 'ros2"]),
    "empty": (MCAP, [], leave, [], ["bag {bag} has no image topic; it holds nothing"]),
    "no image topic": (MCAP, [info()], leave, [], ["has no image topic; it holds /cam/camera_info (sensor_msgs/msg/"]),
    "two image topics": (MCAP, frames(image(0, "/right")), leave, [], ["has 2 image topics, name the one to use",
                         "/cam/image (sensor_msgs/msg/Image), /right"]),
    "topic not there": (MCAP, frames(), leave, ["--image-topic", "/left"],
                        ["has no topic /left of type sensor_msgs/msg/Image or", "it holds /cam/image"]),
    "topic of another type": (MCAP, frames(info()), leave, ["--image-topic", INFO],
                              ["has no topic /cam/camera_info of type sensor_msgs/msg/Image or"]),
    "messages cut short": (MCAP, [wrong_length(0)], leave, [], ["bag {bag} cannot be read: ", PROMISED]),
    "a later message cut short": (MCAP, [image(0), wrong_length(1)], leave, [], ["bag {bag} cannot be read: "]),
    "fewer bytes than rows": (MCAP, [image(0, data=np.zeros(99, np.uint8))], leave, [],
                              ["/cam/image, image 0: the rgb8 image has 99 bytes, 144 x 40 rows are needed"]),
    "step too small": (MCAP, [image(0, step=100)], leave, [], ["image 0: step of the rgb8 image is 100 bytes, 144 "]),
    "unknown encoding": (MCAP, [image(0, encoding="bgr16")], leave, [], ["image 0: image encoding 'bgr16' is not"]),
    "no colours": (MCAP, [image(0, encoding="16UC1")], leave, [], ["holds uint16 values, wanted colour images"]),
    "no JPEG": (MCAP, [jpeg(0, b"rubbish")], leave, [],
                ["/cam/image/compressed, image 0: 7 bytes of compressed format 'jpeg' could not be decoded"]),
    "unknown compression": (MCAP, [jpeg(0, b"\x01\x02", "h264")], leave, [],
                            ["2 bytes of compressed format 'h264' could not be decoded"]),
    "small mask": (MCAP, frames(mask(0, 4, 4, 4)), leave, [],
                   ["not one frame can be used; frames: 5 in = 0 used + 5 dropped (mask_size 1, no_mask 4)",
                    "the mask is 4x4, the image is 48x40"]),
    "two objects": (MCAP, frames(ids(0)), leave, [],
                    ["topic /cam/mask of {bag} holds several objects, ids 1, 2: choose one with --instance"]),
    "mask of colours": (MCAP, frames(mask(0, step=3 * WIDTH, encoding="rgb8")), leave, [],
                        ["not one frame can be used", "/cam/mask, message 0: mask has shape [40, 48, 3] and uint8 "]),
    "no masks": (MCAP, frames(), leave, ["--foreground", "none"],
                 ["has no masks: give masks, or ask for a foreground"]),
    "impossible gap": (MCAP, frames(), leave, ["--max-gap", "-1"], ["--max-gap is -1.0, wanted 0 to 3600"]),
    "impossible instance": (MCAP, frames(), leave, ["--mask-instance", "70000"], ["--instance is 70000, wanted"]),
}  # fmt: skip


@pytest.fixture
def given(tiny_folder: Path, anchor_file: Path, quick: list[str]) -> list[str]:
    """Arguments with which good input would be computed."""
    return ["--weights", str(tiny_folder), "--anchor", str(anchor_file), "--device", "cpu", *quick]


def refuses(words: list[str], out: Path, parts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--out", str(out / "deep")]) == 2
    said = capsys.readouterr().err.splitlines()
    # Log lines may stand before it.
    assert said[-1].startswith("attnchain: error: ") and all(part in said[-1] for part in parts), said
    assert not out.exists(), "nothing is left behind"


@pytest.mark.parametrize("name", BAGS)
def test_a_bag(name: str, given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storage, messages, spoil, words, parts = BAGS[name]
    bag = record(tmp_path / "bag", messages, storage)
    spoil(bag)
    texts = [part.format(bag=bag) for part in parts]
    refuses(["replay", str(bag), *given, *words], tmp_path / "out", texts, capsys)


def test_what_is_no_bag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0")
    for path, part in (
        (tmp_path / "old.bag", "'rosbags-convert' turns ROS 1 bags"),
        (tmp_path, "holds no metadata.yaml, .mcap or .db3"),
    ):
        refuses(["replay", str(path)], tmp_path / "out", [part], capsys)


def picture(path: Path, height: int = HEIGHT, width: int = WIDTH, channels: int = 3) -> None:
    path.parent.mkdir(exist_ok=True)
    pixels = np.full((height, width, channels), 60 if channels > 1 else 0, np.uint8)
    pixels[height // 4 : height // 2, width // 4 : width // 2] = 200
    cv2.imwrite(str(path), pixels)


def clip(place: Path, count: int = FRAMES) -> Path:
    """A good folder of images with masks beside it."""
    for number in range(count):
        picture(place / "clip" / f"{number}.png")
        picture(place / "clip_masks" / f"{number}.png", channels=1)
    return place / "clip"


def film(place: Path) -> Path:
    writer = cv2.VideoWriter(str(place / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (64, 48))
    for _ in range(3):
        writer.write(np.full((48, 64, 3), 90, np.uint8))
    writer.release()
    return place / "clip.avi"


def file(name: str, data: bytes) -> Callable[[Path], list[str]]:
    def write(place: Path) -> list[str]:
        (place / name).write_bytes(data)
        return [str(place / name)]

    return write


def folder(spoil: Callable[[Path], Any], *words: str) -> Callable[[Path], list[str]]:
    """A good clip and its masks, of which something is spoiled in the place that holds both."""

    def write(place: Path) -> list[str]:
        clip(place)
        spoil(place)
        return [str(place / "clip"), *(words or ("--masks", str(place / "clip_masks")))]

    return write


def draco(place: Path) -> None:
    """An anchor that is compressed."""
    text = b'{"asset": {"version": "2.0"}, "extensionsRequired": ["KHR_draco_mesh_compression"]} '
    (place / "draco.glb").write_bytes(
        struct.pack("<IIIII", 0x46546C67, 2, 20 + len(text), len(text), 0x4E4F534A) + text
    )


def some_alpha(place: Path) -> None:
    """No masks but in the alpha channel, and none in the fourth image."""
    shutil.rmtree(place / "clip_masks")
    for path in (place / "clip").iterdir():
        pixels = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
        pixels[10:30, 10:30, 3] = 255 if path.name == "3.png" else 0
        cv2.imwrite(str(path), pixels)


def triangle(place: Path) -> None:
    """An anchor of one triangle."""
    (place / "one.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")


def anchored(spoil: Callable[[Path], Any], name: str) -> Callable[[Path], list[str]]:
    """A good clip, and an anchor that is not."""

    def write(place: Path) -> list[str]:
        clip(place)
        spoil(place)
        return [str(place / "clip"), "--masks", str(place / "clip_masks"), "--anchor", str(place / name)]

    return write


def blank(place: Path) -> None:
    for path in (place / "clip_masks").iterdir():
        cv2.imwrite(str(path), np.zeros((HEIGHT, WIDTH), np.uint8))


SIDES = (("clip", 3), ("clip_masks", 1))
# Name: what makes the arguments in an empty place, parts of what is said.
CLIPS: dict[str, tuple[Callable[[Path], list[str]], list[str]]] = {
    "missing file": (lambda place: [str(place / "no.mp4")], ["no.mp4 does not exist: give a folder of images, a"]),
    "empty file": (file("empty.mp4", b""), ["empty.mp4 cannot be opened as a video: convert it"]),
    "text as video": (file("text.mp4", b"no video at all\n" * 99), ["text.mp4 cannot be opened as a video: convert"]),
    "text": (file("notes.txt", b"hello"), ["notes.txt cannot be opened as a video (its ending is none of a known"]),
    "video cut short": (lambda place: file("cut.avi", film(place).read_bytes()[:300])(place), ["cut.avi", "convert"]),
    "masks for a video": (lambda place: [str(film(place)), "--masks", str(clip(place))],
                          ["clip holds 5 masks, ", "clip.avi has 3 images: give one for each"]),
    "no pictures": (folder(lambda place: [path.unlink() for path in (place / "clip").iterdir()]),
                    ["clip holds no images: wanted files ending in .png, .jpg"]),
    "sizes": (folder(lambda place: [picture(place / name / "2.png", 20, 24, count) for name, count in SIDES]),
              ["frame 2 is 24x20, the first one is 48x40: all frames of a clip must be of one size"]),
    "broken picture": (folder(lambda place: (place / "clip" / "3.png").write_bytes(b"rubbish")),
                       ["clip/3.png cannot be read as an image: it is damaged or not what its name says"]),
    "picture cut short": (folder(lambda place: (place / "clip" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n")),
                          ["clip/0.png cannot be read as an image"]),
    "fewer masks": (folder(lambda place: (place / "clip_masks" / "4.png").unlink()),
                    ["1 of 5 images have no mask in", "the first is 4.png: give one mask per image"]),
    "no mask folder": (folder(lambda place: shutil.rmtree(place / "clip_masks")), ["clip_masks does not exist"]),
    "mask of another size": (folder(lambda place: picture(place / "clip_masks" / "1.png", 20, 24, 1)),
                             ["clip_masks/1.png is 24x20, its image is 48x40: give masks of the image's size"]),
    "broken mask": (folder(lambda place: (place / "clip_masks" / "2.png").write_bytes(b"rubbish")),
                    ["clip_masks/2.png cannot be read as an image"]),
    "empty masks": (folder(blank), ["mask", "empty"]),
    "alpha in some images": (lambda place: [folder(some_alpha)(place)[0]],
                             ["clip/3.png has no mask in its alpha channel, but the images before it have one"]),
    "one image": (lambda place: [str(clip(place) / "3.png")],
                  ["clip/3.png is one image: give its folder, or several by their numbers, such as %d.png"]),
    "no such images": (lambda place: [str(clip(place) / "f_%d.png")], ["clip holds no images with names like f_%d.pn"]),
    "no masks": (folder(leave, "--foreground", "none"), ["has no masks: give masks, or ask for a foreground"]),
    "box outside": (folder(leave, "--box", "40,0,30,30"), ["the box 40,0,30,30 does not lie inside the 48x40 image"]),
    "no rate": (folder(leave, "--fps", "0"), ["fps is 0.0, wanted a number above 0"]),
    "no stride": (folder(leave, "--stride", "0"), ["--stride is 0, the least is 1"]),
    "no windows": (folder(leave, "--max-windows", "0"), ["--max-windows is 0, the least is 1"]),
    "no anchor": (folder(leave, "--anchor", "none.ply"), ["mesh none.ply does not exist"]),
    "one triangle": (anchored(triangle, "one.obj"), ["the anchor mesh has 1 triangles, wanted at least 4"]),
    "compressed anchor": (anchored(draco, "draco.glb"), ["draco.glb needs KHR_draco_mesh_compression, which is not"]),
    "no camera": (folder(leave, "--intrinsics", "0,5,1,1"), ["--intrinsics has focal lengths 0 and 5, wanted"]),
    "no such option": (folder(leave, "--set", "sampling.step=4"), ["unknown option 'sampling.step'; there are"]),
    "no such layer": (folder(leave, "--set", "readout.layers=9"), ["readout.layers names [9], this network has"]),
    "box without GrabCut": (folder(leave, "--foreground", "none", "--box", "1,2,3,4"), ["--box is for --foreground"]),
    "synthetic with masks": (lambda place: ["synthetic:1", "--masks", str(place)], ["synthetic:1 has its own masks"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CLIPS)
def test_a_clip(name: str, given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare, parts = CLIPS[name]
    (tmp_path / "in").mkdir()
    refuses(["run", *given, *prepare(tmp_path / "in")], tmp_path / "out", parts, capsys)


def test_an_output_folder_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    taken = clip(tmp_path) / "0.png"
    before = taken.read_bytes()
    assert main(["run", str(taken.parent), "--out", str(taken)]) == 2
    assert f"--out {taken} is a file, wanted a folder" in capsys.readouterr().err and taken.read_bytes() == before
    assert main(["run", str(taken.parent), "--out", str(taken.parent)]) == 2
    assert "is the input: results would be read as images" in capsys.readouterr().err
    bag = record(tmp_path / "bag", frames())
    names = sorted(bag.iterdir())
    assert main(["replay", str(bag), "--out", str(bag)]) == 2
    assert "is a bag: results would lie among its files" in capsys.readouterr().err and sorted(bag.iterdir()) == names


def test_nothing_to_animate_without_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clip").mkdir()
    for number in range(2):
        cv2.imwrite(str(tmp_path / "clip" / f"{number}.png"), np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    out = tmp_path / "out"
    given = ["run", str(tmp_path / "clip"), "--out", str(out), "--set", "preset=full", "--set", "readout.source=none"]
    assert main(given) == 2
    text = capsys.readouterr().err
    assert "readout.source is 'none'" in text and "--anchor" in text and "Traceback" not in text
    assert not out.exists()
