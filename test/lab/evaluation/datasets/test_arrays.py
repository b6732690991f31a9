from __future__ import annotations

from pathlib import Path

import layouts
import numpy as np
import pytest

from attnchain_ros.errors import ShapeError
from attnchain_ros.lab.evaluation.datasets import arrays


def test_files_come_in_natural_order(tmp_path: Path) -> None:
    for name in ("v10.npz", "v9.npz", "note.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in arrays.list_files(tmp_path, "*.npz", "videos")] == ["v9.npz", "v10.npz"]


def test_pictures_of_one_size(tmp_path: Path) -> None:
    layouts.write_png(tmp_path / "0.png", np.zeros((4, 5, 3), np.uint8))
    layouts.write_png(tmp_path / "1.png", np.zeros((4, 5, 3), np.uint8))
    images, masks = arrays.read_pictures(tmp_path)
    assert images.shape == (2, 4, 5, 3) and masks is None
    layouts.write_png(tmp_path / "2.png", np.zeros((4, 6, 3), np.uint8))
    with pytest.raises(ShapeError, match="must be of one size"):
        arrays.read_pictures(tmp_path)
