from __future__ import annotations

from pathlib import Path

import layouts
import numpy as np
import pytest

from attnchain_ros.errors import FileFormatError, MaskError
from attnchain_ros.lab.evaluation.datasets import actionbench


@pytest.mark.parametrize("place", ["rgba", "."])
def test_a_clip_is_read(tmp_path: Path, place: str) -> None:
    surfaces = layouts.actionbench(tmp_path, place)
    (folder,) = actionbench.list_clips(tmp_path)
    clip = actionbench.read_clip(folder)
    images, masks = layouts.pictures()
    assert clip.name == "uid7"
    assert np.array_equal(clip.images, images) and np.array_equal(clip.masks, masks)
    assert np.array_equal(clip.truth.points, surfaces[..., :3].astype(float))
    assert clip.truth.normals is not None and np.array_equal(clip.truth.normals, surfaces[..., 3:].astype(float))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"nowhere is no folder, wanted ActionBench"):
        actionbench.list_clips(tmp_path / "nowhere")
    with pytest.raises(FileFormatError, match=r"holds no \*/surfaces.npy"):
        actionbench.list_clips(tmp_path)
    surfaces = layouts.actionbench(tmp_path)
    folder = tmp_path / "uid7"
    np.save(folder / "surfaces.npy", surfaces[:4])
    with pytest.raises(FileFormatError, match="6 pictures for 4 frames"):
        actionbench.read_clip(folder)
    np.save(folder / "surfaces.npy", surfaces[0])
    with pytest.raises(FileFormatError, match=r"shape \[30, 6\]"):
        actionbench.read_clip(folder)
    (folder / "surfaces.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(FileFormatError, match="cannot be read"):
        actionbench.read_clip(folder)


def test_pictures_need_masks_and_one_place(tmp_path: Path) -> None:
    layouts.actionbench(tmp_path)
    folder = tmp_path / "uid7"
    layouts.write_png(folder / "more" / "0.png", layouts.pictures()[0][0])
    with pytest.raises(FileFormatError, match="found more, rgba"):
        actionbench.read_clip(folder)
    for file in (folder / "rgba").iterdir():
        file.unlink()
    for frame in range(layouts.FRAMES):
        layouts.write_png(folder / "more" / f"{frame}.png", layouts.pictures()[0][frame])
    with pytest.raises(MaskError, match="no alpha"):
        actionbench.read_clip(folder)
