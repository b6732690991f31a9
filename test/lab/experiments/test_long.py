from __future__ import annotations

import numpy as np
import pytest

from attnchain_ros.lab.experiments import long
from attnchain_ros.lab.experiments.bench import Bench, Task
from attnchain_ros.lab.synthetic import ClipConfig, split_clip
from attnchain_ros.lab.synthetic.motion import ping_pong
from attnchain_ros.lab.table import BASELINES, Subject, concat, curves_of, names_of, select, succeeded
from attnchain_ros.stream.windows import split_frames

TASK = Task("long", "test", 2)


def test_played_frames_are_those_of_a_ping_pong_clip(bench: Bench) -> None:
    scene = bench.scene(TASK)
    order = ping_pong(4, 10)
    whole = split_clip("test", 2, ClipConfig(frames=10, image_size=48, ping_pong_frames=4))
    assert np.array_equal(scene.clip.images[order], whole.images)
    assert np.array_equal(scene.clip.masks[order], whole.masks)
    np.testing.assert_array_equal(scene.truth.vertices[order], whole.vertices)


def test_drift_of_a_mesh_that_is_shifted_further_in_every_window(bench: Bench) -> None:
    """The truth, shifted by 0.1 in the first window, 0.2 in the second, 0.3 in the third."""
    scene = bench.scene(TASK)
    order = ping_pong(4, 10)
    windows = split_frames(10, 4)
    shift = np.repeat([0.1, 0.2, 0.3], [4, 3, 3])[:, None, None] * np.array([1.0, 0.0, 0.0])
    found = (scene.truth.vertices[order] + shift).astype(np.float32)
    measured = long.measure_drift(scene, found, order, windows, None)
    figures, curves = measured.figures, measured.curves
    np.testing.assert_allclose(curves["all"], [0.1, 0.2, 0.3], rtol=1e-5)  # float32 vertices
    assert figures["all"] == pytest.approx((3 * 0.1 + 3 * 0.2 + 3 * 0.3) / 9, rel=1e-5)
    assert figures["all_growth"] == pytest.approx(3.0, rel=1e-5)
    assert figures["cd_last"] > figures["cd_first"] > 0
    # The same seen by the true cameras: distances do not depend on the frame.
    posed = long.measure_drift(scene, found, order, windows, scene.truth.camera_from_object[order])
    np.testing.assert_allclose(posed.curves["all"], [0.1, 0.2, 0.3], rtol=1e-4)
    assert posed.figures["raw_cd_m"] == pytest.approx(figures["raw_cd_m"], rel=1e-3)
    # A camera that is wrong by a shift of 0.5 is seen in the camera frame alone.
    wrong = scene.truth.camera_from_object[order].copy()
    wrong[:, 0, 3] += 0.5
    away = long.measure_drift(scene, scene.truth.vertices[order], order, windows, wrong)
    np.testing.assert_allclose(away.curves["all"], 0.5, rtol=1e-4)


def test_means_over_the_points_that_moved() -> None:
    errors = np.array([[1.0, 9.0], [2.0, 9.0], [3.0, 5.0], [4.0, 9.0], [6.0, 9.0]])
    moved = np.array([[0, 0], [1, 0], [1, 1], [1, 0], [1, 0]], bool)
    # The second window's first frame belongs to the first: (2 + 3 + 5) / 3, then (4 + 6) / 2.
    np.testing.assert_allclose(long.moved_means(errors, moved, [range(0, 3), range(2, 5)]), [10 / 3, 5.0])
    moved[3:] = False
    assert long.moved_means(errors, moved, [range(0, 3), range(2, 5)]) == []


@pytest.mark.slow
def test_every_variant_is_measured_in_both_frames(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long, "WINDOWS", 2)
    table = long.run(bench, TASK)
    own = select(table, group=long.OBJECT)
    assert names_of(own, "variant") == list(long.VARIANTS)
    assert succeeded(own) == (len(long.VARIANTS), len(long.VARIANTS))
    assert names_of(select(table, group=long.CAMERA), "variant") == list(long.SEEN)
    assert succeeded(select(table, group=BASELINES))[1] == 3

    def curve(variant: str, metric: str = "all") -> list[float]:
        return curves_of(select(own, variant=variant), metric)[0]

    off = curve("off, re-encoded")
    assert len(curve("off, re-encoded", "correlation")) == len(off) == 2
    # Handing over matters from the second window on, reinforcement from the first.
    latent = curve("off, latent handed on")
    assert latent[0] == off[0] and latent[1] != off[1]
    assert curve("gain, re-encoded")[0] != off[0]
    section = long.describe(bench, table)
    assert "### In the camera frame" in section.lines and "long_all" in section.plots


def test_growth_is_mean_over_mean() -> None:
    pairs = [(1.0, 4.0), (3.0, 4.0), (None, 9.0)]
    table = concat(
        Subject("long", "test", str(clip)).measure("", "a", lambda a=a, b=b: {"all_first": a, "all_last": b})
        for clip, (a, b) in enumerate(pairs)
    )
    assert long.growth(table, "all") == 2.0 and long.growth(table, "moved") is None
