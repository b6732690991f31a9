"""Training data: shards hold what the generator makes, and are only ever seen complete."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from attnchain_ros.errors import FileFormatError
from attnchain_ros.lab.synthetic import (
    FAMILIES,
    MOST_PARTS,
    TRAINED_FAMILIES,
    TRAINED_PARTS,
    part_offset,
    split_clip,
    split_family,
)
from attnchain_ros.lab.training.data import BACKGROUND, make_data, open_windows, window_arrays, window_clip
from attnchain_ros.lab.training.recipe import Recipe
from attnchain_ros.lab.training.stages import data_folder


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
    assert np.allclose(first.pose.starts[0], split_clip("train", 2).pose.starts[0])
    late = window_clip("train", 3, recipe.data)
    assert not np.allclose(late.pose.starts[0], split_clip("train", 3).pose.starts[0], atol=0.01)
    assert late.surface_points.shape == (recipe.data.frames, recipe.data.surface_points, 3)


def test_every_family_has_arrays_of_the_same_shape(recipe: Recipe) -> None:
    shapes = set()
    for index in (0, 2, 6, 10, 14, 18):
        clip = window_clip("train", index, recipe.data)
        family = split_family("train", index)
        arrays = window_arrays(clip, recipe.data)
        shapes.add(tuple(sorted((name, value.shape, str(value.dtype)) for name, value in arrays.items())))
        assert clip.config.family == family == TRAINED_FAMILIES[arrays["family"]]
        parts = len(FAMILIES[family].part_names)
        assert (arrays["radii"][:parts] >= 0).all() and (arrays["radii"][parts:] == -10).all()
        assert arrays["centers"].shape == (4, MOST_PARTS, 3)
        np.testing.assert_allclose(np.linalg.det(arrays["axes"]), 1.0, atol=1e-5)
        # Labels are counted through all families.
        labels = set(np.unique(arrays["parts"])) - {BACKGROUND}
        offset = part_offset(family)
        assert labels and labels <= set(range(offset, offset + parts)) and max(labels) < TRAINED_PARTS
    assert len(shapes) == 1


def test_a_recipe_may_ask_for_creatures_only(recipe: Recipe) -> None:
    config = dataclasses.replace(recipe.data, families="creature")
    assert [window_clip("train", index, config).config.family for index in (0, 2, 6)] == ["creature"] * 3


def test_making_data_goes_on_where_it_stopped_and_tells_its_progress(recipe: Recipe, tmp_path: Path) -> None:
    config = dataclasses.replace(recipe.data, clips=3, validation_clips=1, shard_clips=2)
    seen: list[tuple[int, int]] = []
    make_data(tmp_path, config, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert len(open_windows(tmp_path, "train")) == 3 and len(open_windows(tmp_path, "validation")) == 1
    before = (tmp_path / "train-000000" / "images.npy").read_bytes()
    shutil.rmtree(tmp_path / "train-000000")
    again: list[tuple[int, int]] = []
    make_data(tmp_path, config, lambda done, total: again.append((done, total)))
    assert again == [(1, 1)]
    assert (tmp_path / "train-000000" / "images.npy").read_bytes() == before
    assert open_windows(tmp_path, "train").families.tolist() == [0, 0, 1]


def test_missing_and_damaged_shards_are_named(work: Path, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="no train shards"):
        open_windows(tmp_path, "train")
    shard = tmp_path / "train-000000"
    shard.mkdir()
    (shard / "images.npy").write_bytes(b"nothing")
    with pytest.raises(FileFormatError, match="train-000000"):
        open_windows(tmp_path, "train")
