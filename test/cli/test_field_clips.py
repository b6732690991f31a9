"""Clips as the field makes them, through ``run``, ``replay`` and ``probe``, to the numbers in the results."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hand_made import make_result
from rosbags.rosbag2 import StoragePlugin, Writer

from attnchain_ros.cli import main
from attnchain_ros.files import results
from attnchain_ros.files.bag_types import bag_types
from attnchain_ros.rollout import Rollout
from attnchain_ros.rollout.judging import judged
from attnchain_ros.rollout.window import Window, WindowResult

START = 100 * 10**9
STEP = 50_000_000

Go = Callable[..., tuple[dict[str, Any], list[Window]]]


@pytest.fixture
def go(tiny_folder: Path, quick: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Go:
    """Runs a verb; the summary and the windows that the rollout was asked for, which answers with a scene by hand."""
    asked: list[Window] = []

    def answer(self: Rollout, window: Window, *more: Any) -> WindowResult:
        goes_on = bool(asked) and asked[-1].stamps_ns[-1] == window.stamps_ns[0]
        asked.append(window)
        return make_result(window.stamps_ns, shared_first=goes_on)

    monkeypatch.setattr(Rollout, "run", answer)
    fixed = ["--weights", str(tiny_folder), "--device", "cpu", *quick]

    def run(verb: str, source: Path, *words: str, out: str = "out") -> tuple[dict[str, Any], list[Window]]:
        asked.clear()
        assert main([verb, str(source), "--out", str(tmp_path / out), *fixed, *words]) == 0
        return json.loads((tmp_path / out / "summary.json").read_text()), list(asked)

    return run


def numbers_of(windows: list[Window]) -> list[list[int]]:
    """The numbers of the pictures in the windows, by where the disc is: its middle stands at 18 + number."""
    return [[round(float(np.nonzero(mask)[1].mean())) - 18 for mask in window.masks] for window in windows]


def same(found: list[Window], wanted: list[Window]) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.masks, other.masks)


@pytest.fixture(scope="module")
def pictures(clip_folder: Path) -> list[np.ndarray]:
    """The clip's seven RGBA pictures."""
    return [
        cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)
        for path in sorted(clip_folder.iterdir())
    ]


def film(path: Path, frames: Sequence[np.ndarray], codec: str = "png", pixels: str = "rgba") -> Path:
    """The pictures as a video of 30 frames a second."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=30)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgba")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def folder(place: Path, frames: Sequence[np.ndarray]) -> Path:
    place.mkdir()
    for number, picture in enumerate(frames):
        cv2.imwrite(str(place / f"{number}.png"), picture[..., [2, 1, 0, 3]])
    return place


def masks_of(place: Path, frames: Sequence[np.ndarray], ending: str = ".png") -> Path:
    place.mkdir()
    for number, picture in enumerate(frames):
        cv2.imwrite(str(place / f"mask_{number}{ending}"), picture[..., 3], [cv2.IMWRITE_JPEG_QUALITY, 95])
    return place


def record(
    path: Path,
    frames: Sequence[np.ndarray],
    stamps: Sequence[int],
    jpeg_masks: bool = False,
    depths: Mapping[str, tuple[str, float]] = MappingProxyType({}),
) -> Path:
    """The pictures as a bag: rgba8, or rgb8 beside a topic of masks as JPEG; depth by topic: frame id and metres."""
    store = bag_types()
    types = store.types
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        image = writer.add_connection("/cam/image", "sensor_msgs/msg/Image", typestore=store)
        kind = "sensor_msgs/msg/CompressedImage"
        mask = writer.add_connection("/cam/mask/compressed", kind, typestore=store) if jpeg_masks else None
        ranges = {topic: writer.add_connection(topic, "sensor_msgs/msg/Image", typestore=store) for topic in depths}
        for picture, stamp in zip(frames, stamps, strict=True):
            time = types["builtin_interfaces/msg/Time"](sec=stamp // 10**9, nanosec=stamp % 10**9)
            header = types["std_msgs/msg/Header"](stamp=time, frame_id="cam")
            shown = np.ascontiguousarray(picture[..., :3] if jpeg_masks else picture)
            height, width, channels = shown.shape
            message = types["sensor_msgs/msg/Image"](
                header=header, height=height, width=width, encoding="rgb8" if jpeg_masks else "rgba8", is_bigendian=0,
                step=channels * width, data=shown.ravel(),
            )  # fmt: skip
            if mask is not None:
                data = cv2.imencode(".jpg", picture[..., 3], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].ravel()
                made = types[kind](header=header, format="jpeg", data=data)
                writer.write(mask, stamp, bytes(store.serialize_cdr(made, kind)))
            for topic, (frame_id, metres) in depths.items():
                there = types["std_msgs/msg/Header"](stamp=time, frame_id=frame_id)
                data = np.full(height * width, metres, np.float32).view(np.uint8)
                depth = types["sensor_msgs/msg/Image"](
                    header=there, height=height, width=width, encoding="32FC1", is_bigendian=0, step=4 * width,
                    data=data,
                )  # fmt: skip
                writer.write(ranges[topic], stamp, bytes(store.serialize_cdr(depth, "sensor_msgs/msg/Image")))
            writer.write(image, stamp, bytes(store.serialize_cdr(message, "sensor_msgs/msg/Image")))
    return path


def test_a_video_with_alpha_gives_what_its_frames_give(go: Go, pictures: list[np.ndarray], tmp_path: Path) -> None:
    """To the bit: the codec is lossless. And numbered frames, named as one names a video."""
    _, wanted = go("run", folder(tmp_path / "clip", pictures), out="folder")
    assert numbers_of(wanted) == [[0, 1, 2, 3], [3, 4, 5, 6]]
    np.testing.assert_array_equal(wanted[0].masks[2], pictures[2][..., 3] > 0)
    ways = {"video": film(tmp_path / "clip.mov", pictures), "pattern": tmp_path / "clip" / "%d.png"}
    for name, source in ways.items():
        summary, found = go("run", source, out=name)
        same(found, wanted)
        assert summary["frames"] == 7 and not any("GrabCut" in note for note in summary["notes"])


def test_a_video_and_a_folder_of_masks(go: Go, pictures: list[np.ndarray], tmp_path: Path) -> None:
    """README's first line."""
    _, wanted = go("run", folder(tmp_path / "clip", pictures), out="folder")
    video = film(tmp_path / "plain.mkv", pictures, "ffv1", "bgr0")
    _, found = go("run", video, "--masks", str(masks_of(tmp_path / "masks", pictures)))
    same(found, wanted)


def test_a_video_and_a_folder_of_masks_for_probe(
    pictures: list[np.ndarray], tmp_path: Path, tiny_folder: Path, quick: list[str], capsys: Any
) -> None:
    """README's line about it: the same scores as from the frames themselves."""
    fixed = ["--weights", str(tiny_folder), "--device", "cpu", *quick, "--settings", "direction"]
    video = film(tmp_path / "plain.mkv", pictures, "ffv1", "bgr0")
    said = []
    for words in (
        [str(video), "--masks", str(masks_of(tmp_path / "masks", pictures))],
        [str(folder(tmp_path / "clip", pictures))],
    ):
        assert main(["probe", *words, *fixed, "--set", "surface.candidate_grid=16"]) == 0
        said.append([line for line in capsys.readouterr().out.splitlines() if "direction=" in line or "  both" in line])
    assert said[0] and said[0] == said[1]


def test_masks_as_jpeg_follow_one_rule(go: Go, pictures: list[np.ndarray], tmp_path: Path) -> None:
    """Cut at half and said, in a folder, for a video and in a bag; nearly what PNG gives."""
    stamps = [START + number * STEP for number in range(7)]
    opaque = [np.dstack([picture[..., :3], np.full_like(picture[..., 0], 255)]) for picture in pictures]
    masks = ("--masks", str(masks_of(tmp_path / "jpegs", pictures, ".jpg")))
    for name, verb, source, words in (
        ("f", "run", folder(tmp_path / "plain", opaque), masks),
        ("v", "run", film(tmp_path / "plain.mkv", pictures, "ffv1", "bgr0"), masks),
        ("b", "replay", record(tmp_path / "bag", pictures, stamps, jpeg_masks=True), ()),
    ):
        summary, found = go(verb, source, *words, out=name)
        assert numbers_of(found) == [[0, 1, 2, 3], [3, 4, 5, 6]]
        assert (found[0].masks[1] != (pictures[1][..., 3] > 0)).sum() <= 12
        assert sum("masks come as JPEG" in note for note in summary["notes"]) == 1


def test_one_stray_pixel_changes_nothing(go: Go, pictures: list[np.ndarray], tmp_path: Path) -> None:
    """The clean clip's windows, and a note with the numbers."""
    _, wanted = go("run", folder(tmp_path / "clean", pictures), out="c")
    spoilt = [picture.copy() for picture in pictures]
    spoilt[2][0, -1, 3] = 255
    stamps = [START + number * STEP for number in range(7)]
    for name, verb, source in (
        ("f", "run", folder(tmp_path / "clip", spoilt)),
        ("v", "run", film(tmp_path / "clip.mov", spoilt)),
        ("b", "replay", record(tmp_path / "bag", spoilt, stamps)),
    ):
        summary, found = go(verb, source, out=name)
        same(found, wanted)
        assert sum("has 1 specks and 0 holes of dust, 1 pixels in all" in note for note in summary["notes"]) == 1


@pytest.mark.parametrize("verb", ["run", "replay"])
def test_a_mask_that_is_not_the_object_is_told_everywhere(
    verb: str, go: Go, pictures: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Exit status 0, since something was computed; the summary, the log and the sheet doubt it, confidence is less."""
    answer = Rollout.run

    def doubtful(self: Rollout, window: Window, *more: Any) -> WindowResult:
        return judged(replace(answer(self, window, *more), silhouette_iou=0.28))

    monkeypatch.setattr(Rollout, "run", doubtful)
    sheets: list[str] = []
    draw = results.contact_sheet

    def drawn(frames: Any, faces: Any, colors: Any, title: str, subtitle: str, tile: int) -> np.ndarray:
        sheets.append(subtitle)
        return draw(frames, faces, colors, title, subtitle, tile)

    monkeypatch.setattr(results, "contact_sheet", drawn)
    summary, _ = go(verb, record(tmp_path / "bag", pictures, [START + number * STEP for number in range(7)]))
    text = "the posed mesh and the first mask overlap by 0.28 only, trusted from 0.6. Likely causes, in this order"
    assert sum(note.startswith(text) for note in summary["notes"]) == 1
    assert f"note: {text}" in "".join(capsys.readouterr())
    assert "outline overlap 0.28 (doubtful: trusted from 0.6)" in sheets[0]
    assert summary["confidence_mean"] == pytest.approx(0.9 * 0.28 / 0.6, rel=1e-5)


def test_an_object_that_is_absent_at_a_windows_border(go: Go, pictures: list[np.ndarray], tmp_path: Path) -> None:
    """The run goes on with what there is, and the summary says how much is not."""
    gone = [picture.copy() for picture in pictures]
    gone[3][..., 3] = 0
    stamps = [START + number * STEP for number in range(7)]
    for name, verb, source in (
        ("f", "run", folder(tmp_path / "clip", gone)),
        ("v", "run", film(tmp_path / "clip.mov", gone)),
        ("b", "replay", record(tmp_path / "bag", gone, stamps)),
    ):
        summary, found = go(verb, source, out=name)
        assert numbers_of(found) == [[0, 1, 2, 4], [4, 5, 6]]
        assert summary["frames"] == 6 and "1 of 7 images were left out: with an empty mask" in summary["notes"]


def test_an_object_that_is_absent_for_long_starts_a_new_chain(
    go: Go, pictures: list[np.ndarray], tmp_path: Path
) -> None:
    """Of a recording, whose stamps are a clock's: as in the node after ``max_gap_s``."""
    gone = [*pictures[:4], *(np.zeros_like(pictures[0]) for _ in range(50)), *pictures[4:]]
    stamps = [START + number * STEP for number in range(len(gone))]
    summary, found = go("replay", record(tmp_path / "bag", gone, stamps))
    assert numbers_of(found) == [[0, 1, 2, 3], [4, 5, 6]] and summary["frames"] == 4
    assert f"a new chain starts at stamp {stamps[54] * 1e-9:.3f} s (gap)" in summary["notes"]
    second = json.loads((tmp_path / "out" / "chain_2" / "summary.json").read_text())
    assert second["frames"] == 3
    assert "50 of 57 images were left out: with an empty mask" in second["notes"]


@pytest.mark.parametrize("verb", ["run", "replay"])
def test_raw_and_aligned_depth_in_one_bag(verb: str, go: Go, pictures: list[np.ndarray], tmp_path: Path) -> None:
    """One is named, or none; what is seen from elsewhere is no depth of the image. The bag is named by its file."""
    depths = {"/cam/depth/image_rect_raw": ("depth", 2.717), "/cam/aligned_depth_to_color/image_raw": ("cam", 1.052)}
    stamps = [START + number * STEP for number in range(7)]
    record(tmp_path / "bag", pictures, stamps, depths=depths)
    elsewhere = "depth is seen from depth, the image from cam: it is ignored"
    for topic, metres, told in (*zip(depths, (None, 1.052), (1, 0), strict=True), ("none", None, 0)):
        words = ("--depth-topic", topic)
        summary, found = go(verb, tmp_path / "bag" / "bag.mcap", *words, out=topic.replace("/", "_"))
        assert numbers_of(found) == [[0, 1, 2, 3], [3, 4, 5, 6]]
        for window in found:
            assert (window.depth_m is None) == (metres is None)
            assert metres is None or np.unique(window.depth_m).tolist() == [np.float32(metres)]
        assert sum(note.startswith(elsewhere) for note in summary["notes"]) == told


def test_images_without_the_alpha_of_the_others_in_a_bag(go: Go, pictures: list[np.ndarray], tmp_path: Path) -> None:
    """No mask is made up for them: they are left out and counted, as in the node."""
    some = [picture.copy() for picture in pictures]
    some[2][..., 3] = some[5][..., 3] = 255
    summary, found = go("run", record(tmp_path / "bag", some, [START + number * STEP for number in range(7)]))
    assert numbers_of(found) == [[0, 1, 3, 4], [4, 6]]
    assert "2 of 7 images were left out: without a mask of their own" in summary["notes"]


def test_the_order_of_times_reaches_the_windows(go: Go, pictures: list[np.ndarray], tmp_path: Path) -> None:
    """Names from ``time.time()``, whose decimals vary in number."""
    (tmp_path / "times").mkdir()
    times = ["1700000000.9", "1700000000.93", "1700000000.9667", "1700000001.0", "1700000001.0333333", "1700000001.1",
             "1700000001.13"]  # fmt: skip
    for moment, picture in zip(times, pictures, strict=True):
        cv2.imwrite(str(tmp_path / "times" / f"{moment}.png"), picture[..., [2, 1, 0, 3]])
    assert numbers_of(go("run", tmp_path / "times")[1]) == [[0, 1, 2, 3], [3, 4, 5, 6]]


def test_an_upright_phone_gives_upright_windows(go: Go, pictures: list[np.ndarray], tmp_path: Path) -> None:
    """PNG and JPEG that say by EXIF how to be turned, and their masks, which say the same."""
    exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"

    def save(path: Path, picture: np.ndarray) -> None:
        path.parent.mkdir(exist_ok=True)
        way = ([cv2.IMAGE_METADATA_EXIF], [np.frombuffer(exif, np.uint8)])
        path.write_bytes(cv2.imencodeWithMetadata(path.suffix, picture, *way)[1].tobytes())

    for ending, loss in ((".png", 0), (".jpg", 12)):
        for number, picture in enumerate(pictures):
            lying = np.rot90(picture)
            save(tmp_path / ending[1:] / f"{number}{ending}", np.ascontiguousarray(lying[..., 2::-1]))
            save(tmp_path / f"{ending[1:]}_masks" / f"{number}{ending}", np.ascontiguousarray(lying[..., 3]))
        _, found = go("run", tmp_path / ending[1:], "--masks", str(tmp_path / f"{ending[1:]}_masks"), out=f"o{ending}")
        assert numbers_of(found) == [[0, 1, 2, 3], [3, 4, 5, 6]]
        off = found[0].images[1].astype(int) - pictures[1][..., :3]
        assert np.abs(off).max() <= loss and (found[0].masks[1] != (pictures[1][..., 3] > 0)).sum() <= loss
