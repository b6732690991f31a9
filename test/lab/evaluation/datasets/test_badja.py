from __future__ import annotations

import json
from pathlib import Path

import layouts
import numpy as np
import pytest

from attnchain_ros.errors import FileFormatError
from attnchain_ros.lab.evaluation.datasets import badja


def test_a_video_is_read(tmp_path: Path) -> None:
    layouts.badja(tmp_path)
    (path,) = badja.list_videos(tmp_path)  # cat_jump is left out
    video = badja.read_video(path)
    # From the first annotated frame to the last.
    assert video.name == "disc" and np.array_equal(video.images, layouts.pictures()[0][1:])
    assert video.joints_px.shape == (5, 20, 2)
    assert video.joints_px[0, 0].tolist() == [18, 20]  # x, y of model joint 8 in frame 1
    assert video.joints_px[4, 1].tolist() == [24, 25]
    assert video.visible[:, 0].tolist() == [True, False, True, False, True]
    assert video.visible[:, 1].tolist() == [True, False, False, False, True]
    truth = layouts.pictures()[1][1:]
    assert video.masks.shape == truth.shape  # the masks on disk have half the size
    assert (video.masks == truth).mean() > 0.95


def rewrite(path: Path, **changes: object) -> None:
    entries = json.loads(path.read_text(encoding="utf-8"))
    entries[1].update(changes)
    path.write_text(json.dumps(entries), encoding="utf-8")


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    layouts.badja(tmp_path)
    path = tmp_path / "joint_annotations" / "disc.json"
    rewrite(path, visibility=[1, 0])
    with pytest.raises(FileFormatError, match=r"joints \[37, 2\] and visibility \[2\]"):
        badja.read_video(path)
    rewrite(path, joints=[[1, 2], [3, 4]])
    with pytest.raises(FileFormatError, match=r"2 joints in 00003\.png and 20 before"):
        badja.read_video(path)
    rewrite(path, image_path="DAVIS/nothing.png")
    with pytest.raises(FileFormatError, match=r"nothing.png, which is not there: put DAVIS"):
        badja.read_video(path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(FileFormatError, match="cannot be read"):
        badja.read_video(path)
    path.write_text("[{}]", encoding="utf-8")
    with pytest.raises(FileFormatError, match="list of frames with image_path"):
        badja.read_video(path)


def test_a_segmentation_for_every_frame(tmp_path: Path) -> None:
    layouts.badja(tmp_path)
    (tmp_path / "DAVIS/Annotations/Full-Resolution/disc/00002.png").unlink()
    with pytest.raises(FileFormatError, match=r"00002\.png has no segmentation"):
        badja.read_video(tmp_path / "joint_annotations" / "disc.json")
