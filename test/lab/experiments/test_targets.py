"""The table of targets, on rows made by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from attnchain_ros.lab.evaluation.methods import OURS, RIGID, STILL
from attnchain_ros.lab.experiments.bench import Bench
from attnchain_ros.lab.experiments.camera import setting_name
from attnchain_ros.lab.experiments.long import OBJECT, variant_name
from attnchain_ros.lab.experiments.summary import GIVEN, IMAGE
from attnchain_ros.lab.experiments.targets import AT_LEAST, AT_MOST, Target, describe, targets
from attnchain_ros.lab.experiments.tracks import FLOWS, MESH_ROUTE
from attnchain_ros.lab.table import Figures, Subject, concat


def row(
    clip: int, group: str, variant: str, figures: Figures, family: str = "door", split: str = "test"
) -> pd.DataFrame:
    return Subject("made up", split, str(clip), family, "static").measure(group, variant, lambda: figures)


def test_every_target_is_found(bench: Bench) -> None:
    ours: Figures = {"last_moved": 0.1, "last_all": 0.1, "cd_4d": 0.06}
    still: Figures = {"last_moved": 0.4, "last_all": 0.2, "cd_4d": 0.12}
    refined = setting_name(bench.config.camera.refine, None)
    drift: Figures = {"moved_first": 0.1, "moved_last": 0.2, "all_first": 0.1, "all_last": 0.3,
                      "cd_first": 0.1, "cd_last": 0.1}  # fmt: skip
    rows = {
        "networks": [
            row(0, "networks", "VAE, first frame", {"iou": 0.97}, "creature"),
            row(1, "networks", "VAE, first frame", {"iou": 0.92}),
            *(row(0, "networks", f"image to 3D, {steps} steps", {"iou": 0.5 + steps / 100}) for steps in (4, 20, 30)),
            *(row(0, "networks", f"Stage I, frame {frame}", {"iou": 0.91 - frame / 100}) for frame in (3, 8, 15)),
        ],
        "summary": [
            row(0, GIVEN, OURS, ours),
            row(0, GIVEN, OURS, dict.fromkeys(ours, 9.0), split="unseen"),
            row(0, GIVEN, STILL, still),
            row(0, GIVEN, RIGID, {"last_moved": 0.2}),
            row(0, IMAGE, OURS, ours),
            row(0, IMAGE, STILL, still),
        ],
        "tracks": [
            row(0, FLOWS, MESH_ROUTE, {"delta_avg": 0.6, "hidden": 0.5}),
            row(0, FLOWS, "DIS flow", {"delta_avg": 0.5, "hidden": 0.5}),
            row(1, FLOWS, MESH_ROUTE, {"delta_avg": 0.1, "hidden": 0.0}),
            row(1, FLOWS, "DIS flow", {"delta_avg": 0.9, "hidden": 0.0}),
        ],
        "camera": [
            row(clip, "refinement", refined, {"rotation_deg": value}) for clip, value in enumerate((1.0, 2.0, 90.0))
        ],
        "long": [row(0, OBJECT, variant_name(bench.config), drift)],
    }
    tables = {name: concat(own) for name, own in rows.items()}
    found = [target.found for target in targets(bench, tables)]
    expected = [0.97, 0.92, 0.54, 0.80, 0.83, 0.76, 0.25, 0.5, 0.5, 0.5, 2.0, 3.0, 1.0, 2.0, 1.2]
    assert found == pytest.approx(expected)
    text = "\n".join(describe(bench, tables).lines)
    assert text.count("| yes |") == 10 and text.count("| no |") == 5
    assert "| camera rotation, median over clips and motions [deg] | at most 5 | 2 | yes |" in text


def test_what_was_not_measured_is_said(bench: Bench) -> None:
    assert all(target.found is None and target.reached() is None for target in targets(bench, {}))
    assert "\n".join(describe(bench, {"summary": concat([])}).lines).count("| not measured |") == 15


def test_bounds_are_kept_at_the_bound() -> None:
    assert Target("a", AT_LEAST, 0.5, 0.5).reached() and Target("a", AT_MOST, 0.5, 0.5).reached()
    assert Target("a", AT_LEAST, 0.5, 0.4).reached() is False and Target("a", AT_MOST, 0.5, 0.6).reached() is False
