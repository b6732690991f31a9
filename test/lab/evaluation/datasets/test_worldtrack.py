from __future__ import annotations

from pathlib import Path

import layouts
import numpy as np
import pytest

from attnchain_ros.errors import FileFormatError
from attnchain_ros.lab.evaluation.datasets import worldtrack


def test_a_video_is_read(tmp_path: Path) -> None:
    truth = layouts.worldtrack(tmp_path)
    (path,) = worldtrack.list_videos(tmp_path)
    video = worldtrack.read_video(path)
    assert np.allclose(video.points_world, truth, atol=1e-12)  # the camera's motion is taken out
    assert video.first_px[0] == pytest.approx([24 - 0.4 / 2 * 40, 20])
    assert video.intrinsics.tolist() == [[40, 0, 24], [0, 40, 20], [0, 0, 1]]
    images, masks = layouts.pictures()
    assert video.masks is not None and np.array_equal(video.masks, masks)
    # JPEG is not exact; swapped colours would be far off.
    assert np.abs(video.images.astype(float) - images).mean() < 12
    layouts.worldtrack(tmp_path, masks=False)
    assert worldtrack.read_video(path).masks is None


def test_arrays_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "disc.npz"
    layouts.worldtrack(tmp_path, visibility=np.ones((6, 2), bool))
    with pytest.raises(FileFormatError, match=r"visibility \[6, 2\]"):
        worldtrack.read_video(path)
    layouts.worldtrack(tmp_path, images_jpeg_bytes=np.array([b"no"] * 6))
    with pytest.raises(FileFormatError):
        worldtrack.read_video(path)
    np.savez(path, tracks_XYZ=0)
    with pytest.raises(FileFormatError, match="has no array images_jpeg_bytes"):
        worldtrack.read_video(path)
