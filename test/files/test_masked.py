"""Masks from anywhere for any clip, and the field's own ways to write images, names, times and bags."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from attnchain_ros.errors import ConfigError, FileFormatError, MaskError
from attnchain_ros.files.images import ClipOptions, open_frames, read_mask, upright
from attnchain_ros.stream.config import StreamConfig
from attnchain_ros.stream.windows import ClipWindows

H, W = 24, 32


def square(number: int) -> np.ndarray:
    mask = np.zeros((H, W), np.uint8)
    mask[4:16, 3 + number : 15 + number] = 255
    return mask


def film(path: Path, pictures: list[np.ndarray]) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"FFV1"), 25.0, (W, H))
    for picture in pictures:
        writer.write(picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2))
    writer.release()
    return path


def pictures(folder: Path, count: int, channels: int = 3, name: str = "{}.png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        image = np.full((H, W, channels), 20 * number, np.uint8)
        if channels == 4:
            image[..., 3] = 255
        cv2.imwrite(str(folder / name.format(number)), image)
    return folder


def masks(folder: Path, count: int, name: str = "{}.png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        cv2.imwrite(str(folder / name.format(number)), square(number))
    return folder


def found(path: Path, options: ClipOptions) -> list[np.ndarray]:
    (part,) = ClipWindows(open_frames(path, options), StreamConfig(), 16)
    return list(part.window.masks)


def check(found: list[np.ndarray], count: int) -> None:
    assert len(found) == count
    for number, mask in enumerate(found):
        np.testing.assert_array_equal(mask, square(number) > 0)


def test_a_video_takes_masks_from_a_folder_and_from_a_mask_video(tmp_path: Path) -> None:
    clip = film(tmp_path / "clip.mkv", [np.full((H, W, 3), 30, np.uint8)] * 4)
    check(found(clip, ClipOptions(masks=masks(tmp_path / "masks", 4))), 4)
    check(found(clip, ClipOptions(masks=film(tmp_path / "masks.mkv", [square(n) for n in range(4)]))), 4)
    with pytest.raises(MaskError, match=r"holds 3 masks, .*clip.mkv has 4 images: give one for each"):
        open_frames(clip, ClipOptions(masks=masks(tmp_path / "few", 3)))
    with pytest.raises(MaskError, match="do not exist: wanted a folder of masks, or a mask video"):
        open_frames(clip, ClipOptions(masks=tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(MaskError, match="holds no images"):
        open_frames(clip, ClipOptions(masks=tmp_path / "empty"))
    small = film(tmp_path / "small.mkv", [square(0)] * 3)
    with pytest.raises(MaskError, match=r"holds 3 masks, .*has more images"):
        list(open_frames(clip, ClipOptions(masks=small)).events())


def test_explicit_masks_win_and_alpha_that_is_all_opaque_says_nothing(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "clip", 3, channels=4)
    assert not open_frames(folder).masked
    masks(folder / "masks", 3)
    check(found(folder, ClipOptions()), 3)


def test_frames_that_lack_the_alpha_of_the_first_are_named(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "clip", 3, channels=4)
    cv2.imwrite(str(folder / "0.png"), np.dstack([np.full((H, W, 3), 9, np.uint8), square(0)]))
    with pytest.raises(MaskError, match=r"1.png has no mask in its alpha channel, but the images before it have one"):
        list(open_frames(folder).events())
    cv2.imwrite(str(folder / "0.png"), np.full((H, W, 3), 9, np.uint8))
    cv2.imwrite(str(folder / "2.png"), np.dstack([np.full((H, W, 3), 9, np.uint8), square(2)]))
    with pytest.raises(MaskError, match=r"2.png has an alpha channel, but the images before it lack one"):
        list(open_frames(folder).events())


def test_masks_with_other_names_are_taken_in_order_and_said(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "clip", 11)
    source = open_frames(folder, ClipOptions(masks=masks(tmp_path / "other", 11, "frame_{}_seg.png")))
    (part,) = ClipWindows(source, StreamConfig(), 16)
    check(list(part.window.masks), 11)
    assert [note.code for note in source.notes] == ["masks_by_order"]


def test_instances_are_chosen_by_number_or_refused_by_name(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "clip", 2)
    both = np.where(square(0) > 0, 20, 0).astype(np.uint8)
    both[18:23, 20:30] = 90
    for number in range(2):
        (tmp_path / "ids").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "ids" / f"{number}.png"), both)
    with pytest.raises(MaskError, match=r"ids 20, 90: choose one with --instance"):
        found(folder, ClipOptions(masks=tmp_path / "ids"))
    for mask in found(folder, ClipOptions(masks=tmp_path / "ids", instance=20)):
        np.testing.assert_array_equal(mask, square(0) > 0)
    cv2.imwrite(str(tmp_path / "blurred.jpg"), square(0))
    assert (read_mask(tmp_path / "blurred.jpg") != (square(0) > 0)).mean() < 0.02
    with pytest.raises(FileFormatError, match="is a JPEG, which blurs ids"):
        read_mask(tmp_path / "blurred.jpg", 20)


def test_names_that_are_times_come_in_the_order_of_time(tmp_path: Path) -> None:
    times = [1_700_000_000 + number / 30 for number in range(60)]
    (tmp_path / "clip").mkdir()
    for number, moment in enumerate(times):
        cv2.imwrite(str(tmp_path / "clip" / f"{moment}.png"), np.full((4, 4, 3), number, np.uint8))
    frames = list(open_frames(tmp_path / "clip").events())[1:]
    assert [int(frame.image[0, 0, 0]) for frame in frames] == list(range(60))  # type: ignore[union-attr]


def test_the_orientation_of_a_png_is_honoured(tmp_path: Path) -> None:
    """All eight of them, against a quarter turn and a mirror written out."""
    picture = np.arange(H * W * 3, dtype=np.uint8).reshape(H, W, 3)
    wanted = {
        1: picture, 2: picture[:, ::-1], 3: np.rot90(picture, 2), 4: picture[::-1],
        5: picture.swapaxes(0, 1), 6: np.rot90(picture, -1), 7: np.rot90(picture, 2).swapaxes(0, 1),
        8: np.rot90(picture, 1),
    }  # fmt: skip
    for orientation, turned in wanted.items():
        np.testing.assert_array_equal(upright(picture, orientation), turned, err_msg=str(orientation))
        exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([orientation, 0, 0, 0]) + b"\0\0\0\0"
        folder = tmp_path / str(orientation)
        folder.mkdir()
        good, data = cv2.imencodeWithMetadata(
            ".png", picture[..., ::-1], [cv2.IMAGE_METADATA_EXIF], [np.frombuffer(exif, np.uint8)]
        )
        assert good
        (folder / "0.png").write_bytes(data.tobytes())
        (_, frame) = open_frames(folder).events()
        np.testing.assert_array_equal(frame.image, turned, err_msg=str(orientation))  # type: ignore[union-attr]


def test_options_that_do_not_apply_are_refused(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "clip", 2)
    with pytest.raises(ConfigError, match="is not a bag: leave out the topics"):
        open_frames(folder, ClipOptions(topics=(None, None, "none", None)))


def test_what_a_run_wrote_is_no_frame(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "clip", 3)
    cv2.imwrite(str(folder / "contact_sheet.png"), np.zeros((50, 70, 3), np.uint8))
    assert open_frames(folder).count == 3
