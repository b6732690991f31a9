from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from attnchain_ros.lab.experiments import camera
from attnchain_ros.lab.experiments.bench import Bench, Task
from attnchain_ros.lab.synthetic import CAMERAS
from attnchain_ros.lab.table import BASELINES, Subject, concat, mean_of, names_of, select, succeeded, to_json


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
    assert figures["rotation_deg"] == pytest.approx(4) and figures["translation"] == pytest.approx(0.2)
    assert figures["camera_poses"] == 0.75
    nothing = camera.camera_figures(found, np.zeros(4, bool), true)
    assert nothing == {"camera_poses": 0.0, "rotation_deg": None, "translation": None}


def test_every_camera_refinement_and_number(bench: Bench) -> None:
    task = Task("camera", "test", 0)
    table = camera.run(bench, task)
    good, tried = succeeded(table)
    assert good == tried
    for kind in CAMERAS:
        own = select(table, motion=kind, group="refinement")
        assert names_of(own, "variant") == [
            f"{refine}, {count}" for refine in camera.REFINES for count in ("15", "all")  # of 24 landmarks
        ]  # fmt: skip
        kept = mean_of(select(table, motion=kind, group=BASELINES), "rotation_deg")
        assert (kept == pytest.approx(0, abs=1e-5)) == (kind == "static")
    assert to_json(camera.run(bench, task)) == to_json(table)
    section = camera.describe(bench, table)
    assert "### camera orbit" in section.lines
    assert sum(line == "| rotation, median [deg] | median over clips |" for line in section.lines) == 3


def test_curves_are_of_clips_with_a_pose_at_every_number() -> None:
    def rows(clip: int, counts: dict[str, float | None]) -> pd.DataFrame:
        subject = Subject("camera", "test", str(clip))
        return concat(
            subject.measure("refinement", f"none, {count}", lambda value=value: {"rotation_deg": value})
            for count, value in counts.items()
        )

    table = concat([rows(0, {"15": 3.0, "30": 2.0, "all": 1.0}), rows(1, {"15": None, "30": 2.0, "all": 1.0})])
    assert camera._places(table) == [15, 30, 60]
    assert camera._curves(table, "none", [15, 30, 60]) == [[3.0, 2.0, 1.0]]
