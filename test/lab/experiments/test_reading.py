from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from attnchain_ros.lab.evaluation.sequences import cut_windows
from attnchain_ros.lab.experiments import reading
from attnchain_ros.lab.experiments.bench import BASELINE_TABLE, Bench, Task
from attnchain_ros.lab.experiments.rows import Row, names_of, select
from attnchain_ros.rollout import Rollout

TASK = Task("reading", "test", 2)


def test_rank_correlation_of_known_orders() -> None:
    assert reading.rank_correlation([1, 2, 3, 4], [10, 20, 30, 99]) == pytest.approx(1)
    assert reading.rank_correlation([1, 2, 3, 4], [4, 3, 2, -1]) == pytest.approx(-1)
    # 1 - 6 * (1 + 1 + 0) / (3 * 8), by hand.
    assert reading.rank_correlation([1, 2, 3], [2, 1, 3]) == pytest.approx(0.5)
    assert reading.rank_correlation([1, 2], [1, 2]) is None
    assert reading.rank_correlation([1, 1, 1], [1, 2, 3]) is None


def test_raw_matches_that_are_true_have_no_error(bench: Bench) -> None:
    scene = bench.scene(TASK)
    clip = scene.clip
    window = next(cut_windows(clip.images, clip.masks, 4, clip.intrinsics))
    seen = Rollout(bench.backbone, bench.config, scene.mesh, anchor_is_canonical=True).trace(window)
    assert reading.landmark_error(scene, seen) > 0
    # By the nearest true vertex of frame 0, which no welding can change.
    anchor = seen.state.anchor
    rest = anchor.mesh.vertices[anchor.landmark_vertices]
    rows = [int(np.linalg.norm(scene.truth.vertices[0] - place, axis=1).argmin()) for place in rest]
    true = torch.from_numpy(scene.truth.vertices[:, rows])
    perfect = dataclasses.replace(seen, matches=dataclasses.replace(seen.matches, points=true))
    assert reading.landmark_error(scene, perfect) == pytest.approx(0, abs=1e-6)
    shifted = dataclasses.replace(
        seen, matches=dataclasses.replace(seen.matches, points=true + torch.tensor([0, 0.3, 0]))
    )
    assert reading.landmark_error(scene, shifted) == pytest.approx(0.3 / seen.diagonal, rel=1e-5)


def test_all_readings_then_the_heads_of_the_best_layer(bench: Bench) -> None:
    rows = reading.run(bench, TASK)
    assert names_of(rows, "table") == ["layers", "steps", "direction", "renormalise", BASELINE_TABLE]
    assert [row.failure for row in rows] == [""] * len(rows)
    # Settings that read the same attention have the same figures, to the last digit.
    layers = {row.setting: row.figures for row in select(rows, table="layers")}
    assert layers["first half of the layers"] == layers["layer 0"]  # of two inflated layers, 0 and 2
    assert layers["layer 0"] != layers["layer 2"]
    steps = {row.setting: row.figures for row in select(rows, table="steps")}
    assert steps["step 1"] == layers["all layers"] != steps["all steps"]  # the last of two steps is the default
    best = min(("0", "2"), key=lambda layer: layers[f"layer {layer}"]["both"])
    assert reading.best_layer(bench, rows) == f"heads:{best}"
    heads = reading.run(bench, dataclasses.replace(TASK, part=f"heads:{best}"))
    assert names_of(heads, "setting") == ["head 0", "head 1", "all heads"]
    assert select(heads, setting="all heads")[0].figures == layers[f"layer {best}"]
    assert reading.best_layer(bench, []) == ""
    section = reading.describe(bench, [*rows, *heads])
    text = "\n".join(section.lines)
    assert "### heads" in text and "rank correlation" in text


def test_the_default_is_found_however_it_is_written(bench: Bench) -> None:
    assert reading.default_names(bench) == {
        "layers": "all layers", "steps": "step 1", "direction": "forward", "renormalise": "rows renormalised",
    }  # fmt: skip
    other = dataclasses.replace(bench, config=bench.changed({"readout.layers": "2,0", "readout.direction": "both"}))
    assert reading.default_names(other)["layers"] == "all layers"
    assert reading.default_names(other)["direction"] == "both"


def test_what_the_probe_would_cost() -> None:
    def row(setting: str, both: float, truth: float) -> Row:
        return Row("test", 0, "door", "layers", setting, {"both": both, "frames_moved": truth})

    rows = [row("a", 0.1, 0.3), row("b", 0.2, 0.2)]
    assert reading.chosen_sentence(rows) == (
        "The probe chooses a (1 clips); truly the best is b, with an error on points that moved of 0.2 against 0.3."
    )
    assert reading.chosen_sentence(rows[:1]).endswith("which is truly the best.")
    assert reading.chosen_sentence([]) == "No setting has both a probe score and a true error."
    assert reading.setting_pairs(rows, "both", "frames_moved") == [(0.1, 0.3), (0.2, 0.2)]
