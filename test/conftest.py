"""Fixtures for all tests, and what happens to tests that need something this machine may lack."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random checkpoint in the published layout."""
    # Imported here: tests of parts without torch start seconds earlier.
    from tiny import write_tiny_checkpoint

    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def sam_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random SAM 2 video model, as it would be fetched."""
    from tiny_sam import write_tiny_sam

    return write_tiny_sam(tmp_path_factory.mktemp("sam"))


QUICK = [
    "sampling.steps=2", "surface.grid=16", "surface.coarse_grid=8", "surface.n_surface=128", "encode_points=128",
    "animation.landmarks=16", "tracks.max_queries=20", "camera.iterations=20",
]  # fmt: skip


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven RGBA images of a moving disc, 40 x 48 pixels."""
    import cv2
    import numpy as np

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
    import trimesh

    path = tmp_path_factory.mktemp("anchor") / "anchor.ply"
    ball = trimesh.creation.icosphere(subdivisions=2)
    ball.apply_scale([2.0, 1.2, 1.0])
    ball.export(path)
    return path


@pytest.fixture(scope="session")
def quick() -> list[str]:
    """``--set`` arguments for a small and quick run."""
    return [word for setting in QUICK for word in ("--set", setting)]


def missing_ros() -> str | None:
    """What a test that uses ROS would miss here, or None."""
    for name in ("rclpy", "tf2_msgs", "attnchain_ros.msg", "attnchain_ros.srv"):
        if importlib.util.find_spec(name) is None:
            return f"{name} is missing: run bash scripts/setup, or build with colcon and source the workspace"
    return None


# In CI, where scripts/test provides ROS, its tests must run: there a missing package is an error, not a reason.
LEFT_OUT = None if os.environ.get("CI") else missing_ros()
ROS_IMPORT = re.compile(r"^(from|import) (rclpy|\w+_msgs|\w+_srvs|ros_harness)\b", re.MULTILINE)


def pytest_report_header() -> str | None:
    """Says which tests are left out before they are even imported."""
    return f"tests with ROS are left out: {LEFT_OUT}" if LEFT_OUT else None


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out files that import ROS where there is none."""
    if LEFT_OUT is None or collection_path.suffix != ".py":
        return None
    return True if ROS_IMPORT.search(collection_path.read_text(encoding="utf-8")) else None


def missing_gpu() -> str | None:
    """What a test marked ``gpu`` would miss here, or None."""
    import torch

    return None if torch.cuda.is_available() else "needs a CUDA device, torch finds none"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run here and say why."""
    for marker, find_missing in {"gpu": missing_gpu, "ros": lambda: LEFT_OUT}.items():
        marked = [item for item in items if item.get_closest_marker(marker)]
        reason = find_missing() if marked else None
        for item in marked if reason is not None else []:
            item.add_marker(pytest.mark.skip(reason=reason or ""))
