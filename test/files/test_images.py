"""Folders, masks in all four places, and videos."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from attnchain_ros.errors import ConfigError, FileFormatError, MaskError
from attnchain_ros.files.images import ClipOptions, open_frames, read_mask, stamps_from_fps
from attnchain_ros.stream.frame import Frame
from attnchain_ros.stream.source import FrameSource


def frames_of(source: FrameSource) -> list[Frame]:
    """The frames alone, read from the start."""
    return [event for event in source.events() if isinstance(event, Frame)]


def _square(number: int, size: int = 16) -> np.ndarray:
    """A bool mask that moves one pixel a frame."""
    mask = np.zeros((size, size), bool)
    mask[4:10, 2 + number : 8 + number] = True
    return mask


def _folder(path: Path, names: list[str], alpha: bool = False) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        image = np.full((16, 16, 3), (10 * number, 50, 90), np.uint8)
        if alpha:
            image = np.dstack([image, _square(number).astype(np.uint8) * 255])
        cv2.imwrite(str(path / name), image)
    return path


def test_natural_order_colours_and_stamps(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "clip", ["f1.png", "f2.png", "f10.png"])
    source = open_frames(folder, ClipOptions(fps=10.0))
    frames = frames_of(source)
    assert [int(frame.image[0, 0, 2]) for frame in frames] == [0, 10, 20]  # BGR written, RGB read
    assert [frame.stamp_ns for frame in frames] == [0, 100_000_000, 200_000_000]
    assert all(frame.mask is None for frame in frames)
    assert source.count == 3
    assert len(frames_of(source)) == 3, "a source can be walked again"


def test_a_long_clip_does_not_accumulate_rounding() -> None:
    stamps = stamps_from_fps(3001, 30.0)
    assert stamps[3000] == 100_000_000_000
    assert (np.diff(stamps) > 0).all()


def _check_masks(folder: Path, **options: Path) -> None:
    for number, frame in enumerate(frames_of(open_frames(folder, ClipOptions(**options)))):
        np.testing.assert_array_equal(frame.mask, _square(number))


@pytest.mark.parametrize("ending", ["png", "webp"])
def test_alpha_is_the_mask(tmp_path: Path, ending: str) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    for number in range(2):
        image = np.dstack([np.full((16, 16, 3), 80, np.uint8), _square(number).astype(np.uint8) * 255])
        parameters = [cv2.IMWRITE_WEBP_QUALITY, 101] if ending == "webp" else []
        cv2.imwrite(str(folder / f"{number}.{ending}"), image, parameters)
    _check_masks(folder)


@pytest.mark.parametrize("place", ["clip/masks", "masks", "clip", "given"])
def test_mask_files_are_found(tmp_path: Path, place: str) -> None:
    names = ["a1.jpg", "a2.jpg"]
    folder = _folder(tmp_path / "clip", names, alpha=False)
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        stem = Path(name).stem + ("_mask" if place == "clip" else "")
        cv2.imwrite(str(tmp_path / place / f"{stem}.png"), _square(number).astype(np.uint8) * (1 if number else 255))
    _check_masks(folder, **({"masks": tmp_path / "given"} if place == "given" else {}))
    assert open_frames(folder).count == 2, "mask files are no frames"


def test_a_given_mask_folder_wins_over_alpha(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "clip", ["0.png"], alpha=True)
    (tmp_path / "other").mkdir()
    cv2.imwrite(str(tmp_path / "other" / "0.png"), np.full((16, 16), 255, np.uint8))
    (frame,) = frames_of(open_frames(folder, ClipOptions(masks=tmp_path / "other")))
    assert frame.mask is not None and frame.mask.all()


def test_mask_values(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    for values, wanted in [([0, 2, 2], [0, 1, 1]), ([0, 100, 255], [0, 0, 1]), ([0, 0, 0], [0, 0, 0])]:
        cv2.imwrite(str(path), np.array([values], np.uint8))
        assert read_mask(path).astype(int).tolist() == [wanted]


def test_refusals_name_file_and_numbers(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="does not exist"):
        open_frames(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileFormatError, match="holds no images"):
        open_frames(tmp_path / "empty")
    folder = _folder(tmp_path / "clip", ["a.png", "b.png"])
    with pytest.raises(MaskError, match=r"mask folder .* does not exist"):
        open_frames(folder, ClipOptions(masks=tmp_path / "no"))
    (folder / "masks").mkdir()
    cv2.imwrite(str(folder / "masks" / "a.png"), np.zeros((16, 16), np.uint8))
    with pytest.raises(MaskError, match=r"1 of 2 images have no mask in .*first is b.png"):
        open_frames(folder)
    cv2.imwrite(str(folder / "masks" / "b.png"), np.zeros((8, 16), np.uint8))
    with pytest.raises(MaskError, match=r"b.png is 16x8, its image is 16x16"):
        frames_of(open_frames(folder))
    (folder / "masks" / "b.png").write_bytes(b"no image")
    with pytest.raises(FileFormatError, match=r"masks/b.png cannot be read"):
        frames_of(open_frames(folder))
    (tmp_path / "clip2").mkdir()
    (tmp_path / "clip2" / "a.png").write_bytes(b"no image")
    with pytest.raises(FileFormatError, match=r"a.png cannot be read"):
        open_frames(tmp_path / "clip2")
    with pytest.raises(ConfigError, match="fps is 0"):
        open_frames(folder, ClipOptions(fps=0.0))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (64, 48))
    assert writer.isOpened()
    for number in range(5):
        writer.write(np.full((48, 64, 3), (200, 20, 40 * number), np.uint8))
    writer.release()
    return path


def test_a_video_gives_rgb_frames_stamped_by_its_own_rate(video: Path) -> None:
    source = open_frames(video)
    frames = frames_of(source)
    assert source.count == len(frames) == 5
    assert [frame.stamp_ns for frame in frames] == [0, 40_000_000, 80_000_000, 120_000_000, 160_000_000]
    np.testing.assert_allclose(frames[4].image[10, 10], [160, 20, 200], atol=6)
    assert [frame.stamp_ns for frame in frames_of(open_frames(video, ClipOptions(fps=10.0)))][1] == 100_000_000


def test_a_video_that_cannot_be_decoded_is_refused(tmp_path: Path, video: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"no video at all")
    with pytest.raises(FileFormatError, match="cannot be opened as a video: convert it"):
        open_frames(tmp_path / "clip.mp4")
