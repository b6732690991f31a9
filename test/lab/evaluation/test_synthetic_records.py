from __future__ import annotations

import numpy as np
import pytest

from attnchain_ros.camera.tracks3d import project, to_camera
from attnchain_ros.lab.evaluation.actionbench_config import ActionBenchConfig
from attnchain_ros.lab.evaluation.motion import FoundMotion, TrueMotion, clip_motion
from attnchain_ros.lab.evaluation.records import CURVES, FIGURES, OURS, Record
from attnchain_ros.lab.evaluation.sequences import Rolled
from attnchain_ros.lab.evaluation.synthetic_records import (
    DENSE,
    NEAREST,
    RIGID,
    SPARSE,
    STILL,
    STILL_POINTS,
    clip_records,
)
from attnchain_ros.lab.synthetic import Clip, ClipConfig, make_clip, split_seed

COUNTS = ActionBenchConfig(points=1500, queries=300, align_points=150, starts=1, iterations=15)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return make_clip(split_seed("test", 1), ClipConfig(frames=5, image_size=64, mesh_spacing=0.06))


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
def records(clip: Clip) -> dict[str, Record]:
    truth = clip_motion(clip)
    found = clip_records("7", perfect(truth), truth, clip.images, 3, True, COUNTS)
    return {record.method: record for record in found}


def test_every_method_has_its_figures(records: dict[str, Record]) -> None:
    assert list(records) == [OURS, STILL, NEAREST, RIGID, STILL_POINTS, DENSE, SPARSE]
    for record in records.values():
        assert record.item == "7" and not record.failure and set(record.figures) <= set(FIGURES)
        assert set(record.curves) <= set(CURVES) and record.seconds is not None
    assert {"cd_m", "apd_dynamic", "aj", "drift", "token_correlation"} <= set(records[OURS].figures)
    assert "aj" in records[DENSE].figures and "cd_3d" not in records[DENSE].figures
    assert "apd_all" in records[RIGID].figures


def test_the_truth_beats_every_baseline(records: dict[str, Record]) -> None:
    best = records[OURS].figures
    for name in ("cd_3d", "cd_4d", "cd_m", "raw_cd_3d", "raw_cd_m"):
        for method in (STILL, RIGID):
            assert best[name] < records[method].figures[name], (name, method)
    assert best["raw_cd_m"] < records[NEAREST].figures["raw_cd_m"]
    for method in (STILL_POINTS, DENSE, SPARSE):
        assert best["delta_avg"] > records[method].figures["delta_avg"]
    # Vertices of the back side are queried where the front lies over them, so the truth's own tracks are not all right.
    assert best["apd_all"] > 0.8
    # Pixels beside the object have no truth and no say.
    assert best["oa"] > 0.9
    # The drift of a perfect result is that of its sampling.
    assert best["drift"] == pytest.approx(1, abs=0.1)


def test_curves(records: dict[str, Record]) -> None:
    curves = records[OURS].curves
    assert len(curves["frame_raw"]) == len(curves["frame_3d"]) == 5
    assert curves["window_raw"] == pytest.approx(
        [np.mean(curves["frame_raw"][:3]), np.mean(curves["frame_raw"][3:])]
    )  # 0-2 and 2-4, whose frame 2 belongs to the first window
    assert curves["window_correlation"] == [0.9, 0.6] and records[OURS].figures["token_correlation"] == 0.6
    assert "window_correlation" not in records[STILL].curves


def test_an_anchor_in_another_frame_is_laid_on_the_truth(clip: Clip) -> None:
    truth = clip_motion(clip)
    rolled = perfect(truth)
    moved = rolled.motion.vertices * np.float32(0.9) + np.float32(0.05)
    motion = FoundMotion(**{**rolled.motion.__dict__, "vertices": moved})
    found = clip_records("7", Rolled(motion, (1.0,), (), ()), truth, clip.images, 16, False, COUNTS)
    figures = {record.method: record.figures for record in found}
    assert figures[STILL]["raw_cd_3d"] < figures[OURS]["raw_cd_3d"] + 0.1
    assert figures[NEAREST]["raw_cd_3d"] < figures[OURS]["raw_cd_3d"]
    assert figures[OURS]["drift"] is None
