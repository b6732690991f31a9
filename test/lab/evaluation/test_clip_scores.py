from __future__ import annotations

import numpy as np
import pytest

from attnchain_ros.camera.tracks3d import project, to_camera
from attnchain_ros.lab.evaluation.actionbench_config import ActionBenchConfig
from attnchain_ros.lab.evaluation.clip_scores import method_figures
from attnchain_ros.lab.evaluation.methods import DENSE, NEAREST, OURS, RIGID, SPARSE, STILL, STILL_POINTS
from attnchain_ros.lab.evaluation.motion import FoundMotion, TrueMotion
from attnchain_ros.lab.evaluation.scene import Scene
from attnchain_ros.lab.evaluation.sequences import Rolled
from attnchain_ros.lab.report import CURVES, TITLES
from attnchain_ros.lab.synthetic import ClipConfig, make_clip, split_seed
from attnchain_ros.lab.table import Measured, Subject

COUNTS = ActionBenchConfig(points=1500, queries=300, align_points=150, starts=1, iterations=15)


@pytest.fixture(scope="module")
def scene() -> Scene:
    clip = make_clip(split_seed("test", 1), ClipConfig(frames=5, image_size=64, mesh_spacing=0.06))
    return Scene(clip, Subject("evaluate", "test", "1"), COUNTS)


def perfect(truth: TrueMotion) -> Rolled:
    """The truth as a result; its tracks follow vertices, which are visible by the truth's own word."""
    points = truth.vertices[:, ::7]
    pixels = project(truth.intrinsics, to_camera(points, truth.camera_from_object))
    frames = len(truth.vertices)
    # And 50 that were asked for beside the object.
    points = np.concatenate([points, np.full((frames, 50, 3), np.nan, np.float32)], axis=1)
    pixels = np.concatenate([pixels, np.full((frames, 50, 2), 1.0)], axis=1)
    motion = FoundMotion(
        np.arange(frames), truth.vertices, truth.faces, truth.camera_from_object, np.ones(frames, bool),
        pixels.astype(np.float32), np.ones(points.shape[:2], bool), points,
    )  # fmt: skip
    return Rolled(motion, (1.0, 2.0), (0.9, 0.6), ())


@pytest.fixture(scope="module")
def found(scene: Scene) -> dict[str, Measured]:
    return method_figures(scene, True, perfect(scene.truth), 3, "cpu")


def test_every_method_has_its_figures(found: dict[str, Measured]) -> None:
    assert list(found) == [OURS, STILL, NEAREST, RIGID, STILL_POINTS, DENSE, SPARSE]
    for measured in found.values():
        assert set(measured.figures) <= set(TITLES) and set(measured.curves) <= set(CURVES)
        assert measured.figures["seconds"] is not None
    assert {"cd_m", "apd_dynamic", "aj", "drift", "token_correlation"} <= set(found[OURS].figures)
    assert "aj" in found[DENSE].figures and "cd_3d" not in found[DENSE].figures
    assert found[OURS].figures["window_seconds"] == 2.0 and found[OURS].figures["seconds"] == 3.0
    assert "apd_all" in found[RIGID].figures


def test_the_truth_beats_every_baseline(found: dict[str, Measured]) -> None:
    best = found[OURS].figures
    for name in ("cd_3d", "cd_4d", "cd_m", "raw_cd_3d", "raw_cd_m"):
        for method in (STILL, RIGID):
            assert best[name] < found[method].figures[name], (name, method)
    assert best["raw_cd_m"] < found[NEAREST].figures["raw_cd_m"]
    for method in (STILL_POINTS, DENSE, SPARSE):
        assert best["delta_avg"] > found[method].figures["delta_avg"]
    # Vertices of the back side are queried where the front lies over them, so the truth's own tracks are not all right.
    assert best["apd_all"] > 0.8
    # Pixels beside the object have no truth and no say.
    assert best["oa"] > 0.9
    # The drift of a perfect result is that of its sampling.
    assert best["drift"] == pytest.approx(1, abs=0.1)


def test_curves(found: dict[str, Measured]) -> None:
    curves = found[OURS].curves
    assert len(curves["frame_raw"]) == len(curves["frame_3d"]) == 5
    assert curves["window_raw"] == pytest.approx(
        [np.mean(curves["frame_raw"][:3]), np.mean(curves["frame_raw"][3:])]
    )  # 0-2 and 2-4, whose frame 2 belongs to the first window
    assert curves["window_correlation"] == [0.9, 0.6] and found[OURS].figures["token_correlation"] == 0.6
    assert "window_correlation" not in found[STILL].curves


def test_known_points_of_the_truth_and_of_a_still_mesh(scene: Scene, found: dict[str, Measured]) -> None:
    way = np.linalg.norm(scene.points[-1] - scene.points[0], axis=1).mean()
    assert found[OURS].figures["last_all"] == 0.0 and found[OURS].figures["first_all"] == 0.0
    assert found[STILL].figures["last_all"] == pytest.approx(way, rel=1e-6)
    assert found[OURS].figures["true_still_last_all"] == pytest.approx(way, rel=1e-6)
    assert "still_last_all" not in found[OURS].figures and 0 < found[NEAREST].figures["last_all"] < way


def test_an_anchor_in_another_frame_is_laid_on_the_truth(scene: Scene) -> None:
    rolled = perfect(scene.truth)
    moved = rolled.motion.vertices * np.float32(0.9) + np.float32(0.05)
    motion = FoundMotion(**{**rolled.motion.__dict__, "vertices": moved})
    found = method_figures(scene, False, Rolled(motion, (1.0,), (), ()), 16, "cpu")
    figures = {name: measured.figures for name, measured in found.items()}
    assert figures[STILL]["raw_cd_3d"] < figures[OURS]["raw_cd_3d"] + 0.1
    assert figures[NEAREST]["raw_cd_3d"] < figures[OURS]["raw_cd_3d"]
    assert figures[OURS]["drift"] is None
