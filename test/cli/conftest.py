"""A short clip on disk, an anchor mesh and the arguments that make a run on the tiny checkpoint quick."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh

QUICK = [
    "sampling.steps=2", "surface.grid=16", "surface.coarse_grid=8", "surface.n_surface=128", "encode_points=128",
    "animation.landmarks=16", "tracks.max_queries=20", "camera.iterations=20",
]  # fmt: skip


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven RGBA images of a moving disc, 40 x 48 pixels."""
    folder = tmp_path_factory.mktemp("clip") / "disc"
    folder.mkdir()
    y, x = np.mgrid[:40, :48]
    for number in range(7):
        disc = (x - 18 - number) ** 2 + (y - 20) ** 2 < 100
        image = np.dstack([80 + 3 * x, 90 + 2 * y, np.full_like(x, 120), disc * 255]).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), image)
    return folder


@pytest.fixture(scope="session")
def anchor_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ellipsoid of 162 vertices."""
    path = tmp_path_factory.mktemp("anchor") / "anchor.ply"
    ball = trimesh.creation.icosphere(subdivisions=2)
    ball.apply_scale([2.0, 1.2, 1.0])
    ball.export(path)
    return path


@pytest.fixture(scope="session")
def quick() -> list[str]:
    """``--set`` arguments for a small and quick run."""
    return [word for setting in QUICK for word in ("--set", setting)]
