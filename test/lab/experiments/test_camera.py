from __future__ import annotations

import numpy as np
import pytest

from attnchain_ros.lab.experiments import camera
from attnchain_ros.lab.experiments.bench import Bench, Task
from attnchain_ros.lab.experiments.rows import names_of, select
from attnchain_ros.lab.synthetic import CAMERAS


def turned(degrees: float, shift: float) -> np.ndarray:
    """A pose turned about z and 10 + shift away."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    pose = np.eye(4)
    pose[:2, :2] = [[c, -s], [s, c]]
    pose[2, 3] = 10 + shift
    return pose


def test_errors_are_medians_over_the_frames_with_a_pose() -> None:
    true = np.stack([turned(0, 0)] * 4)
    found = np.stack([turned(2, 1), turned(4, 2), turned(6, 3), turned(90, 50)])
    figures = camera.camera_figures(found, np.array([True, True, True, False]), true)
    assert figures["rotation"] == pytest.approx(4) and figures["translation"] == pytest.approx(0.2)
    assert figures["poses"] == 0.75
    nothing = camera.camera_figures(found, np.zeros(4, bool), true)
    assert nothing == {"poses": 0.0, "rotation": None, "translation": None}


def test_every_camera_refinement_and_number(bench: Bench) -> None:
    task = Task("camera", "test", 0)
    rows = camera.run(bench, task)
    assert [row.failure for row in rows] == [""] * len(rows)
    for kind in CAMERAS:
        own = select(rows, table=kind)
        assert names_of(own, "setting") == [
            f"{refine}, {count}" for refine in camera.REFINES for count in ("15", "all")  # of 24 landmarks
        ]  # fmt: skip
        kept = select(rows, table=f"baselines, {kind}")[0]
        assert (kept.figures["rotation"] == pytest.approx(0, abs=1e-5)) == (kind == "static")
    assert camera.run(bench, task) == rows
    section = camera.describe(bench, rows)
    assert "### camera orbit" in section.lines
