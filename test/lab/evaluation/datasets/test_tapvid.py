from __future__ import annotations

import pickle
from pathlib import Path

import layouts
import numpy as np
import pytest

from attnchain_ros.errors import FileFormatError, MaskError
from attnchain_ros.lab.evaluation.datasets import tapvid


def test_a_video_is_read(tmp_path: Path) -> None:
    layouts.tapvid(tmp_path)
    (path,) = tapvid.list_videos(tmp_path)
    video = tapvid.read_video(path)
    images, masks = layouts.pictures()
    assert video.name == "disc" and np.array_equal(video.images, images)
    assert video.masks is not None and np.array_equal(video.masks, masks)
    # Pixel centres are whole numbers here: the first point starts in the middle of the disc.
    assert video.points_px[0, 0] == pytest.approx([16, 20], abs=1e-4)
    assert video.points_px[5, 0] == pytest.approx([26, 20], abs=1e-4)
    assert video.visible.shape == (6, 3) and video.visible[:, 1].tolist() == [False, False, True, True, True, True]


def test_masks_may_be_in_the_file_or_absent(tmp_path: Path) -> None:
    layouts.tapvid(tmp_path, masks=False)
    assert tapvid.read_video(tmp_path / "disc.npz").masks is None
    masks = layouts.pictures()[1]
    np.savez(tmp_path / "disc.npz", **layouts.tapvid_entry(), masks=masks.astype(np.uint8))
    found = tapvid.read_video(tmp_path / "disc.npz").masks
    assert found is not None and np.array_equal(found, masks)
    np.savez(tmp_path / "disc.npz", **layouts.tapvid_entry(), masks=masks[:, :5])
    with pytest.raises(MaskError, match=r"wanted \[6, 40, 48\]"):
        tapvid.read_video(tmp_path / "disc.npz")


def test_a_mask_for_each_frame(tmp_path: Path) -> None:
    layouts.tapvid(tmp_path)
    (tmp_path / "masks" / "disc" / "3.png").unlink()
    with pytest.raises(MaskError, match="5 masks for 6 frames"):
        tapvid.read_video(tmp_path / "disc.npz")


class Trap:
    """Leaves a file behind when a pickle of it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_the_published_pickle_is_refused_with_the_way_out(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    (tmp_path / "tapvid_davis.pkl").write_bytes(pickle.dumps({"disc": Trap(sprung)}))
    for root in (tmp_path, tmp_path / "tapvid_davis.pkl"):
        with pytest.raises(FileFormatError, match=r"tapvid_davis.pkl is a pickle.*savez_compressed"):
            tapvid.list_videos(root)
    np.savez(tmp_path / "disc.npz", video=np.array([Trap(sprung)], object), points=0, occluded=0)
    with pytest.raises(FileFormatError, match="cannot be read"):
        tapvid.read_video(tapvid.list_videos(tmp_path)[0])
    assert not sprung.exists()


def test_the_conversion_in_the_message_works(tmp_path: Path) -> None:
    (tmp_path / "tapvid_davis.pkl").write_bytes(pickle.dumps({"disc": layouts.tapvid_entry()}))
    for name, entry in pickle.loads((tmp_path / "tapvid_davis.pkl").read_bytes()).items():
        np.savez_compressed(tmp_path / (name + ".npz"), **entry)
    assert tapvid.read_video(tapvid.list_videos(tmp_path)[0]).visible.shape == (6, 3)


def test_arrays_that_do_not_fit(tmp_path: Path) -> None:
    entry = layouts.tapvid_entry()
    path = tmp_path / "disc.npz"
    np.savez(path, video=entry["video"], points=entry["points"])
    with pytest.raises(FileFormatError, match="has no array occluded, only points, video"):
        tapvid.read_video(path)
    np.savez(path, **{**entry, "points": entry["points"][:, :4]})
    with pytest.raises(FileFormatError, match=r"points \[3, 4, 2\]"):
        tapvid.read_video(path)
    np.savez(path, **{**entry, "points": entry["points"] * 256})
    with pytest.raises(FileFormatError, match="from 0 to 1"):
        tapvid.read_video(path)
    np.savez(path, **{**entry, "video": entry["video"] / 255})
    with pytest.raises(FileFormatError, match="wanted uint8 RGB"):
        tapvid.read_video(path)
    path.write_bytes(b"PK")
    with pytest.raises(FileFormatError, match="cannot be read"):
        tapvid.read_video(path)
