from __future__ import annotations

import numpy as np
import pytest

from attnchain_ros.camera.motion import CameraMotion
from attnchain_ros.camera.poses import invert_poses
from attnchain_ros.lab.experiments import motion
from attnchain_ros.lab.experiments.bench import Bench, Task
from attnchain_ros.lab.synthetic import CAMERAS
from attnchain_ros.lab.table import by_clip, names_of, select, succeeded

from .test_camera import turned


def test_every_camera_and_motion(bench: Bench) -> None:
    task = Task("motion", "test", 0)
    table = motion.run(bench, task)
    for kind in CAMERAS:
        own = select(table, motion=kind)
        assert names_of(own, "variant") == list(motion.MOTIONS)
        for name in (motion.FREE, motion.KNOWN, motion.TURNS):
            good, tried = succeeded(select(own, variant=name))
            assert good == tried == 1
        # The truth's own motion is told.
        assert by_clip(select(own, variant=motion.KNOWN), "turns_deg").to_numpy() == pytest.approx(0, abs=1e-5)
    lines = motion.describe(bench, table).lines
    assert "### camera sway" in lines
    assert sum(line.startswith("| median over clips |") for line in lines) == 3


def test_points_are_compared_where_the_true_camera_sees_them(bench: Bench) -> None:
    scene = bench.scene(Task("motion", "test", 0), "orbit", "room")
    true = scene.truth.camera_from_object
    right = motion.point_figures(scene, scene.truth.vertices, true)
    assert right["points_camera"] == pytest.approx(0, abs=1e-3) and right["points_px"] == pytest.approx(0, abs=0.05)
    away = true.copy()
    away[:, 2, 3] += scene.radius
    assert motion.point_figures(scene, scene.truth.vertices, away)["points_camera"] == pytest.approx(1, abs=1e-3)


def test_the_error_of_a_turn_is_the_largest_since_the_first_frame() -> None:
    true = np.stack([turned(degrees, 0) for degrees in (10, 20, 30)])
    found = CameraMotion.of(invert_poses(np.stack([turned(degrees, 5) for degrees in (0, 11, 17)])), None)
    assert motion.turn_error_deg(found, true) == pytest.approx(3.0)
