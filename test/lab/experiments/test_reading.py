from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from attnchain_ros.lab.evaluation.sequences import cut_windows
from attnchain_ros.lab.experiments import reading
from attnchain_ros.lab.experiments.bench import Bench, Task
from attnchain_ros.lab.table import BASELINES, Subject, concat, names_of, select, succeeded
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


def figures_by_variant(table: pd.DataFrame) -> dict[str, list[float]]:
    """All figures of each variant of one group."""
    return {name: select(table, variant=name)["value"].tolist() for name in names_of(table, "variant")}


def test_all_readings_then_the_heads_of_the_best_layer(bench: Bench) -> None:
    table = reading.run(bench, TASK)
    assert names_of(table, "group") == ["layers", "steps", "direction", "renormalise", BASELINES]
    good, tried = succeeded(table)
    assert good == tried
    # Settings that read the same attention have the same figures, to the last digit.
    layers = figures_by_variant(select(table, group="layers"))
    assert_same = np.testing.assert_array_equal
    assert_same(layers["first half of the layers"], layers["layer 0"])  # of two inflated layers, 0 and 2
    assert layers["layer 0"][0] != layers["layer 2"][0]
    steps = figures_by_variant(select(table, group="steps"))
    assert_same(steps["step 1"], layers["all layers"])  # the last of two steps is the default
    assert steps["step 1"][0] != steps["all steps"][0]
    # The probe's score is the first figure.
    best = min(("0", "2"), key=lambda layer: layers[f"layer {layer}"][0])
    assert reading.best_layer(bench, table) == f"heads:{best}"
    heads = reading.run(bench, dataclasses.replace(TASK, part=f"heads:{best}"))
    assert names_of(heads, "variant") == ["head 0", "head 1", "all heads"]
    assert_same(figures_by_variant(heads)["all heads"], layers[f"layer {best}"])
    assert reading.best_layer(bench, table[:0]) == ""
    section = reading.describe(bench, concat([table, heads]))
    text = "\n".join(section.lines)
    assert "### heads" in text and "rank correlation" in text


def test_the_default_is_found_however_it_is_written(bench: Bench) -> None:
    assert reading.default_names(bench) == {
        "layers": "all layers", "steps": "step 1", "direction": "forward", "renormalise": "rows renormalised",
    }  # fmt: skip
    other = dataclasses.replace(bench, config=bench.changed({"readout.layers": "2,0", "readout.direction": "both"}))
    assert reading.default_names(other)["layers"] == "all layers"
    assert reading.default_names(other)["direction"] == "both"


def rows(clip: int, **settings: tuple[float, float]) -> pd.DataFrame:
    """Probe score and true error of each setting."""
    return concat(
        Subject("reading", "test", str(clip)).measure("layers", name, lambda a=a, b=b: {"both": a, "frames_moved": b})
        for name, (a, b) in settings.items()
    )


def test_what_the_probe_would_cost() -> None:
    table = rows(0, a=(0.1, 0.3), b=(0.2, 0.2))
    assert reading.chosen_lines(table)[2] == "| layers | a | 0.3 ± 0 (1) | b | 0.2 ± 0 (1) |"
    assert reading.chosen_lines(select(table, variant="a"))[2] == "| layers | a | 0.3 ± 0 (1) | a | 0.3 ± 0 (1) |"
    assert reading.chosen_lines(table[:0]) == []


def test_correlations_over_settings_and_within_clips() -> None:
    table = concat([rows(0, a=(1, 10), b=(2, 20), c=(3, 30)), rows(1, a=(1, 90), b=(2, 20), c=(3, 10))])
    assert reading.setting_pairs(reading.scores_of(table), "both", "frames_moved") == [(1, 50), (2, 20), (3, 20)]
    # The means fall where they do not tie: 1, 2, 3 against 3, 1.5, 1.5; within the clips it is 1 and -1.
    line = reading.correlation_lines(table, "frames_moved")[2]
    assert line == "| layers | -0.87; within a clip 0 ± 1.4 (2) | -; within a clip - | -; within a clip - |"
