"""``attnchain masks``: files that the other verbs find by name."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from attnchain_ros.cli import main
from attnchain_ros.files.images import ClipOptions, open_frames
from attnchain_ros.stream.frame import Frame


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
