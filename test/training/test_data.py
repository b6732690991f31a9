"""Training data: shards hold what the generator makes, and are only ever seen complete."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from attnchain_ros.errors import FileFormatError
from attnchain_ros.synthetic import make_clip, split_seed
from attnchain_ros.training.data import open_windows, window_clip
from attnchain_ros.training.recipe import Recipe
from attnchain_ros.training.stages import data_folder


def test_shards_hold_the_clips(work: Path, recipe: Recipe) -> None:
    windows = open_windows(data_folder(work), "train")
    assert len(windows) == 6
    for index in (0, 5):
        clip = window_clip("train", index, recipe.data)
        points = windows.take("points", np.array([index]))[0]
        # float16 keeps 11 bits: below 0.0005 for values below 1.
        np.testing.assert_allclose(points, clip.surface_points, atol=5e-4)
        frames = np.array([[2, 1]])
        np.testing.assert_array_equal(windows.take("points", np.array([index]), frames)[0], points[[2, 1]])
        distance = clip.sdf(3, points[3].astype(np.float32))
        # The tracked points lie on triangles of the mesh, at most a cell's sagitta off the capsules.
        assert np.abs(distance).max() < 0.03


def test_even_clips_start_at_the_first_frame_and_odd_ones_later(recipe: Recipe) -> None:
    first = window_clip("train", 2, recipe.data)
    assert np.allclose(first.pose.starts[0], make_clip(split_seed("train", 2)).pose.starts[0])
    late = window_clip("train", 3, recipe.data)
    assert not np.allclose(late.pose.starts[0], make_clip(split_seed("train", 3)).pose.starts[0], atol=0.01)
    assert late.surface_points.shape == (recipe.data.frames, recipe.data.surface_points, 3)


def test_missing_and_damaged_shards_are_named(work: Path, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="no train shards"):
        open_windows(tmp_path, "train")
    shard = tmp_path / "train-000000"
    shard.mkdir()
    (shard / "images.npy").write_bytes(b"nothing")
    with pytest.raises(FileFormatError, match="train-000000"):
        open_windows(tmp_path, "train")
