"""Both presets on clean and dirty clips: what is measured is the truth's, and the tables say what was reached."""

from __future__ import annotations

import numpy as np
import pytest

from attnchain_ros.lab.evaluation.methods import DENSE, STILL
from attnchain_ros.lab.evaluation.motion import FoundMotion
from attnchain_ros.lab.experiments import dirty, presets, presets_report
from attnchain_ros.lab.experiments.bench import Bench, Task
from attnchain_ros.lab.experiments.presets import Sequence3D
from attnchain_ros.lab.synthetic.dirt import DIRTS
from attnchain_ros.lab.table import Measured, Subject, concat, names_of, select, succeeded

TASK = Task("presets", "test", 2)


@pytest.fixture(scope="module")
def played(bench: Bench) -> Sequence3D:
    return Sequence3D.of(bench.scene(TASK, frames=7), np.arange(7), 4)


def truth_of(played: Sequence3D, shift: float = 0.0) -> FoundMotion:
    """The truth as a result; its mesh is off by ``shift`` along x."""
    truth, true, length = played.scene.truth, played.true, len(played.order)
    vertices = (truth.vertices[played.order] + [shift, 0, 0]).astype(np.float32)
    return FoundMotion(
        np.arange(length), vertices, truth.faces, truth.camera_from_object[played.order], np.ones(length, bool),
        true.points_px.astype(np.float32), true.visible, true.points_world,
        np.full(true.visible.shape, 0.95, np.float32),
    )  # fmt: skip


def test_the_truth_is_without_error(played: Sequence3D) -> None:
    for in_camera in (False, True):
        found = played.figures(truth_of(played), 2.0, in_camera)
        figures = found.figures
        assert figures["all"] == pytest.approx(0.0, abs=1e-5) and figures["rotation_deg"] == pytest.approx(0, abs=1e-6)
        assert figures["delta_avg"] == 1.0 and figures["oa"] == 1.0 and figures["seconds"] == 2.0
    seen = int(played.true.visible[1:, played.kept].sum())
    assert found.curves["confidence_count"] == [0.0] * 9 + [seen]
    assert found.curves["confidence_right"][-1] == seen
    assert found.curves["confidence_sum"][-1] == pytest.approx(0.95 * seen, rel=1e-6)


def test_a_mesh_that_is_off_is_off_in_both_frames(played: Sequence3D) -> None:
    for in_camera in (False, True):
        found = played.figures(truth_of(played, 0.2), 1.0, in_camera)
        assert found.curves["all"] == pytest.approx([0.2, 0.2], rel=1e-4)


def test_what_hides_the_object_hides_its_points(bench: Bench) -> None:
    scene = bench.scene(TASK, frames=20)
    clean = Sequence3D.of(scene, np.arange(20), 4)
    hidden = dirty.dirty_sequence(clean, DIRTS["occluder"])
    assert hidden.shown is not None and hidden.shown.hidden[12].any()
    assert hidden.true.visible[12].sum() < clean.true.visible[12].sum()
    assert np.array_equal(hidden.true.points_px, clean.true.points_px, equal_nan=True)
    assert np.array_equal(hidden.pictures[0], hidden.shown.images)


def made_up() -> list[tuple[str, str, str, Measured]]:
    """Variant, group, motion and figures."""
    ends = (("paper", 0.12), ("full", 0.044), (STILL, 0.06))
    rows = [
        (
            name,
            presets_report.TO_AND_FRO,
            "static",
            Measured({"all_first": 0.04, "all_last": last}, {"all": [0.04, last]}),
        )
        for name, last in ends
    ]
    rows += [(name, presets_report.GOES_ON, "static", Measured({"all": 0.04, "delta_avg": share}))
             for name, share in (("paper", 0.4), ("full", 0.8), (DENSE, 0.5))]  # fmt: skip
    for motion, degrees in (("static", 1.0), ("orbit", 9.0)):
        figures = {"rotation_deg": degrees, "aj": 0.7, "last_moved": 0.05}
        rows += [(name, presets_report.ONE_WINDOW, motion, Measured(dict(figures))) for name in ("paper", "full")]
        rows.append((STILL, presets_report.ONE_WINDOW, motion, Measured({"last_moved": 0.5})))
    return rows


def test_targets_are_read_off_the_table(bench: Bench) -> None:
    table = concat(
        Subject("presets", "test", "2", "door", motion).measure(group, variant, lambda found=found: found)
        for variant, group, motion, found in made_up()
    )
    paper, full = (presets_report.preset_targets(table, name) for name in ("paper", "full"))
    found = {one.name: (one.found, two.found, two.reached()) for one, two in zip(paper, full, strict=True)}
    assert found["to and fro: all points, last window over first"] == (pytest.approx(3), pytest.approx(1.1), True)
    assert found["to and fro: share of windows nearer than the still mesh"][:2] == (0.0, 0.5)
    assert found["goes on: delta_avg over DIS flow's"] == (pytest.approx(0.8), pytest.approx(1.6), True)
    assert found["one window: points that moved, last frame, over still"][1] == pytest.approx(0.1)
    assert found["camera rotation, median over clips and motions [deg]"][1:] == (5.0, True)
    assert found["CD-M of one window"] == (None, None, None)
    lines = presets_report.describe(bench, table).lines
    assert "| ... delta_avg | at least 0.77 | - | - | not measured |" in lines
    assert "| worst window | 9.0 (clip 2, orbit) | 9.0 (clip 2, orbit) |" in lines


@pytest.mark.slow
def test_every_kind_of_sequence_and_dirt_is_measured(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "WINDOWS", 2)
    table = presets.run(bench, TASK)
    assert names_of(table, "group") == [presets.ONE_WINDOW, presets.TO_AND_FRO, presets.GOES_ON, presets.ROUND]
    assert names_of(select(table, group=presets.ROUND), "variant")[:3] == list(presets.KEYFRAMES)
    good, tried = succeeded(table)
    assert good == tried
    section = presets_report.describe(bench, table)
    assert {"presets_to_and_fro", "presets_goes_on", "presets_all_round", "presets_confidence"} == set(section.plots)
    soiled = dirty.run_dirt(bench, TASK, "all at once")
    assert names_of(soiled, "variant") == ["paper", "full", STILL, DENSE] and succeeded(soiled) == (4, 4)
    assert "| all at once |" in "\n".join(dirty.describe(bench, soiled).lines)
