from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from attnchain_ros.camera.poses import pose_from_quaternion
from attnchain_ros.lab.evaluation.clip_scores import GIVEN, IMAGE
from attnchain_ros.lab.experiments import poses
from attnchain_ros.lab.experiments.bench import Bench, Task
from attnchain_ros.lab.synthetic import CAMERAS
from attnchain_ros.lab.synthetic.strange import FITTED
from attnchain_ros.lab.table import concat, names_of, select, to_json
from attnchain_ros.rollout import WindowResult
from attnchain_ros.rollout.window import CameraTrack

TRUTH = np.repeat(pose_from_quaternion(np.array([0.0, 0.0, 3.0]), np.array([0.0, 0.0, 0.0, 1.0]))[None], 4, axis=0)


def result_of(turns_deg: list[float], valid: list[bool], sigma_deg: float, sigma: float) -> WindowResult:
    found = TRUTH.copy()
    for frame, degrees in enumerate(turns_deg):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        found[frame, :2, :2] = [[c, -s], [s, c]]
    covariance = np.tile(np.diag([sigma**2] * 3 + [np.radians(sigma_deg) ** 2] * 3), (4, 1, 1))
    camera = CameraTrack(
        np.eye(3), True, found, np.array(valid), np.full(4, 9, np.int32), np.zeros(4, np.float32), covariance
    )
    empty = {item.name: None for item in dataclasses.fields(WindowResult)}
    return WindowResult(**{**empty, "camera": camera})


def test_figures_of_known_errors() -> None:
    figures = poses.pose_figures(result_of([1, 2, 50, 60], [True, True, True, False], 1.0, 0.1), TRUTH, np.eye(4))
    # The ellipsoid of three numbers reaches 2.83 sigma: turns of 1 and 2 degrees lie inside, 50 does not.
    assert figures["inside_turn"] == pytest.approx(2 / 3) == figures["inside"] and figures["inside_place"] == 1.0
    assert figures["trusted"] == 0.75 and figures["trusted_deg"] == pytest.approx(2)
    assert figures["withheld_deg"] == pytest.approx(60) and figures["turn_sigma_deg"] == pytest.approx(1)
    assert figures["wrong_found"] == 0.5 and figures["wrong_trusted"] == 0.25
    nothing = poses.pose_figures(result_of([0] * 4, [False] * 4, 1.0, 0.1), TRUTH, np.eye(4))
    assert nothing["trusted"] == 0 and nothing["inside"] is None and nothing["withheld_deg"] == pytest.approx(0)


def test_every_split_and_anchor(bench: Bench) -> None:
    tasks = [Task("poses", split, 1) for split in poses.EXPERIMENT.splits]
    table = concat(poses.run(bench, task) for task in tasks)
    assert names_of(table, "dataset") == list(poses.EXPERIMENT.splits) and names_of(table, "motion") == [CAMERAS[1]]
    assert set(names_of(table, "group")) == {GIVEN, IMAGE}
    assert set(select(table, dataset=poses.STRANGE_VALIDATION)["family"]) == {FITTED[1]}
    assert to_json(poses.run(bench, tasks[0])) == to_json(select(table, dataset=tasks[0].split))
    section = poses.describe(bench, table)
    assert f"### Poses, {GIVEN}" in section.lines and f"### Poses, {IMAGE}" in section.lines
    assert sum(line.startswith("| test, camera orbit |") for line in section.lines) == 2
