"""Folders, masks in all four places, videos, and GrabCut on a scene whose truth is known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from attnchain_ros.errors import ConfigError, FileFormatError, MaskError
from attnchain_ros.files.foreground import GrabCutSource
from attnchain_ros.files.frames import ArraySource, Frame, StridedSource
from attnchain_ros.files.images import open_frames, read_mask, stamps_from_fps


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
    source = open_frames(folder, fps=10.0)
    frames = list(source)
    assert [int(frame.image[0, 0, 2]) for frame in frames] == [0, 10, 20]  # BGR written, RGB read
    assert [frame.stamp_ns for frame in frames] == [0, 100_000_000, 200_000_000]
    assert all(frame.mask is None for frame in frames)
    assert source.count == 3
    assert len(list(source)) == 3, "a source can be walked again"


def test_a_long_clip_does_not_accumulate_rounding() -> None:
    stamps = stamps_from_fps(3001, 30.0)
    assert stamps[3000] == 100_000_000_000
    assert (np.diff(stamps) > 0).all()


def _check_masks(folder: Path, **options: Path) -> None:
    for number, frame in enumerate(open_frames(folder, **options)):
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
    (frame,) = open_frames(folder, masks=tmp_path / "other")
    assert frame.mask is not None and frame.mask.all()


def test_mask_values(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    for values, wanted in [([0, 1, 2], [0, 1, 1]), ([0, 100, 255], [0, 0, 1]), ([0, 0, 0], [0, 0, 0])]:
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
        open_frames(folder, masks=tmp_path / "no")
    (folder / "masks").mkdir()
    cv2.imwrite(str(folder / "masks" / "a.png"), np.zeros((16, 16), np.uint8))
    with pytest.raises(MaskError, match=r"1 of 2 images have no mask in .*first is b.png"):
        open_frames(folder)
    cv2.imwrite(str(folder / "masks" / "b.png"), np.zeros((8, 16), np.uint8))
    with pytest.raises(MaskError, match=r"b.png is 16x8, its image is 16x16"):
        list(open_frames(folder))
    (folder / "masks" / "b.png").write_bytes(b"no image")
    with pytest.raises(FileFormatError, match=r"masks/b.png cannot be read"):
        list(open_frames(folder))
    (tmp_path / "clip2").mkdir()
    (tmp_path / "clip2" / "a.png").write_bytes(b"no image")
    with pytest.raises(FileFormatError, match=r"a.png cannot be read"):
        open_frames(tmp_path / "clip2")
    with pytest.raises(ConfigError, match="fps is 0"):
        open_frames(folder, fps=0.0)


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
    frames = list(source)
    assert source.count == len(frames) == 5
    assert [frame.stamp_ns for frame in frames] == [0, 40_000_000, 80_000_000, 120_000_000, 160_000_000]
    np.testing.assert_allclose(frames[4].image[10, 10], [160, 20, 200], atol=6)
    assert [frame.stamp_ns for frame in open_frames(video, fps=10.0)][1] == 100_000_000


def test_a_video_that_cannot_be_decoded_is_refused(tmp_path: Path, video: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"no video at all")
    with pytest.raises(FileFormatError, match="cannot be opened as a video: convert it"):
        open_frames(tmp_path / "clip.mp4")
    with pytest.raises(ConfigError, match="masks can be given for a folder"):
        open_frames(video, masks=tmp_path)


def test_stride_keeps_every_nth_frame_and_its_stamp() -> None:
    frames = [Frame(np.zeros((2, 2, 3), np.uint8), None, n) for n in range(7)]
    source = StridedSource(ArraySource(frames, "made"), 3)
    assert [frame.stamp_ns for frame in source] == [0, 3, 6]
    assert source.count == 3
    with pytest.raises(ConfigError, match="stride is 0"):
        StridedSource(source, 0)


def _scene(count: int) -> tuple[list[Frame], list[np.ndarray]]:
    """An orange disc that moves over a noisy green background."""
    rng = np.random.default_rng(3)
    ground = (np.array([60, 120, 60]) + rng.integers(-12, 13, (90, 120, 3))).astype(np.uint8)
    y, x = np.mgrid[:90, :120]
    frames, truth = [], []
    for number in range(count):
        disc = (x - 50 - 3 * number) ** 2 + (y - 45) ** 2 < 17**2
        image = ground.copy()
        image[disc] = (np.array([220, 120, 30]) + rng.integers(-12, 13, (disc.sum(), 3))).astype(np.uint8)
        frames.append(Frame(image, None, number))
        truth.append(disc)
    return frames, truth


def test_grabcut_follows_a_moving_disc_and_says_what_it_did() -> None:
    frames, truth = _scene(6)
    source = GrabCutSource(ArraySource(frames, "disc"))
    found = [frame.mask for frame in source]
    for mask, disc in zip(found, truth, strict=True):
        assert mask is not None
        assert (mask & disc).sum() / (mask | disc).sum() > 0.9  # seen: 0.96 to 1.0
    assert "GrabCut" in source.notes[0].text and "box 18,14,84,63" in source.notes[0].text
    again = [frame.mask for frame in GrabCutSource(ArraySource(frames, "disc"))]
    assert all((one == two).all() for one, two in zip(found, again, strict=True)), "the same clip, the same masks"


def test_grabcut_keeps_given_masks_and_starts_from_them() -> None:
    frames, truth = _scene(3)
    frames[0] = Frame(frames[0].image, truth[0], 0)
    source = GrabCutSource(ArraySource(frames, "disc"))
    found = list(source)
    assert found[0].mask is truth[0]
    assert found[2].mask is not None and (found[2].mask & truth[2]).sum() / (found[2].mask | truth[2]).sum() > 0.9
    assert not source.notes, "no box was used"


def test_grabcut_starts_from_the_box_in_every_chain() -> None:
    """The second chain is of another size, and its object is elsewhere: nothing of the first one's mask helps there."""
    frames, truth = _scene(2)
    big = [Frame(np.fliplr(frame.image).repeat(2, axis=0).repeat(2, axis=1), None, 10 + n, chain=1)
           for n, frame in enumerate(frames)]  # fmt: skip
    big_truth = [np.fliplr(disc).repeat(2, axis=0).repeat(2, axis=1) for disc in truth]
    source = GrabCutSource(ArraySource([*frames, *big], "two chains"))
    for frame, disc in zip(source, [*truth, *big_truth], strict=True):
        assert frame.mask is not None and (frame.mask & disc).sum() / (frame.mask | disc).sum() > 0.9
    assert [frame.chain for frame in source] == [0, 0, 1, 1]
    assert any("frame 0" in note.text for note in source.notes) and any("frame 2" in note.text for note in source.notes)


def test_grabcut_never_gives_an_empty_mask_after_a_good_one() -> None:
    frames, _ = _scene(2)
    background = frames[0].image.copy()
    background[:] = np.random.default_rng(0).integers(0, 255, background.shape, dtype=np.uint8)
    source = GrabCutSource(ArraySource([frames[0], Frame(background, None, 1)], "gone"))
    assert all(frame.mask is not None and frame.mask.any() for frame in source)


def test_a_box_outside_the_image_is_refused() -> None:
    frames, _ = _scene(1)
    with pytest.raises(ConfigError, match="100,0,50,20 does not lie inside the 120x90"):
        list(GrabCutSource(ArraySource(frames, "disc"), (100, 0, 50, 20)))
    with pytest.raises(ConfigError, match="covers the whole image"):
        list(GrabCutSource(ArraySource(frames, "disc"), (0, 0, 120, 90)))
