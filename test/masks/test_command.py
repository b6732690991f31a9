"""``attnchain masks``: files that the other verbs find by name."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from attnchain_ros.cli import main
from attnchain_ros.files.images import ClipOptions, open_frames
from attnchain_ros.masks import read_prompts
from attnchain_ros.masks.tracker import load_tracker
from attnchain_ros.stream.frame import Frame, IdImage
from attnchain_ros.stream.objects import ALL_OBJECTS


@pytest.fixture
def clip(images: np.ndarray, tmp_path: Path) -> Path:
    """Three images as a folder."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for number, image in enumerate(images[:3]):
        cv2.imwrite(str(folder / f"picture_{number}.png"), image[..., ::-1])
    return folder


def test_a_mask_for_every_image_is_written_and_read_back(
    clip: Path, sam_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found"
    words = ["masks", str(clip), "--out", str(out), "--model", str(sam_folder), "--device", "cpu"]
    assert main([*words, "--point", "20,30"]) == 0, capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == [f"picture_{number}.png" for number in range(3)]
    told = capsys.readouterr().out
    assert "3 images, the object seen in" in told and f"--masks {out}" in told
    frames = [event for event in open_frames(clip, ClipOptions(masks=out)).events() if isinstance(event, Frame)]
    assert all(frame.mask is not None and frame.mask.shape == (60, 80) for frame in frames)
    assert any(frame.mask is not None and frame.mask.any() for frame in frames)
    assert main([*words, "--point", "20,30"]) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "say which object is meant: --point X,Y"),
        (["--point", "5"], "--point is '5', wanted 2 numbers"),
        (["--box", "1,2,3"], "--box is '1,2,3', wanted 4 numbers"),
        (["--point", "500,30"], "the point 500,30 is outside the image: x goes to 79, y to 59"),
    ],
)
def test_bad_prompts_write_nothing(
    words: list[str], told: str, clip: Path, sam_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found"
    given = ["masks", str(clip), "--out", str(out), "--model", str(sam_folder), "--device", "cpu", *words]
    assert main(given) == 2
    assert told in capsys.readouterr().err and sorted(path.name for path in tmp_path.iterdir()) == ["clip"]


def test_without_the_model_the_folder_is_named(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["masks", str(clip), "--out", str(tmp_path / "found"), "--model", str(tmp_path / "no"), "--point", "1,1"]
    assert main(words) == 1
    assert "config.json is missing" in capsys.readouterr().err


def test_several_objects_are_written_as_ids(
    clip: Path, sam_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found"
    words = ["masks", str(clip), "--model", str(sam_folder), "--device", "cpu", "--instance", "all"]
    given = ["--point", "20,30", "--box", "50,5,20,20;60,30,15,15", "--point", "55,10"]
    assert main([*words, "--out", str(out), *given]) == 0, capsys.readouterr().err
    told = capsys.readouterr().out
    assert f"--masks {out} --instance all" in told
    assert [f"object {one}, masks by SAM 2: 3 images" in told for one in (1, 2, 3, 4)] == [True, True, True, False]
    tracker = load_tracker(sam_folder, torch.device("cpu"), torch.float32)
    prompts = read_prompts(["20,30", "55,10"], (), ["50,5,20,20", "60,30,15,15"])
    options = ClipOptions(masks=out, instance=ALL_OBJECTS)
    events = [event for event in open_frames(clip, options).events() if isinstance(event, (Frame, IdImage))]
    shown = set()
    for number, (ids, frame) in enumerate(zip(events[::2], events[1::2], strict=True)):
        assert isinstance(ids, IdImage) and isinstance(frame, Frame)
        for one, each in tracker.track(frame.image, {} if number else prompts).items():
            assert np.array_equal(ids.ids == one, each.mask)
            shown |= {one} if each.mask.any() else set()
    assert len(shown) > 1, "more than one object is in the masks"
    # The ids of a first image go in again.
    again = [*words, "--out", str(tmp_path / "again"), "--mask", str(out / "picture_0.png")]
    assert main(again) == 0, capsys.readouterr().err
    assert main([*words, "--out", str(tmp_path / "no"), *given, "--mask", str(out / "picture_0.png")]) == 2
    assert "leave out --point and --box" in capsys.readouterr().err
    assert main([*words[:-1], "3", "--out", str(tmp_path / "no"), *given]) == 2
    assert "objects are numbered as they are pointed at, say all" in capsys.readouterr().err
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((60, 80), np.uint8))
    assert main([*words, "--out", str(tmp_path / "no"), "--mask", str(tmp_path / "black.png")]) == 2
    assert "black.png is empty: mark each object" in capsys.readouterr().err
    many = [word for number in range(33) for word in ("--point", f"{number},5")]
    assert main([*words, "--out", str(tmp_path / "no"), *many]) == 2
    assert "33 objects are pointed at, at most 32 can be followed" in capsys.readouterr().err
