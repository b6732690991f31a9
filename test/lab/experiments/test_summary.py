from __future__ import annotations

import pandas as pd
import pytest

from attnchain_ros.errors import MaskError
from attnchain_ros.lab.evaluation.methods import OURS, RIGID, STILL
from attnchain_ros.lab.experiments import summary
from attnchain_ros.lab.experiments.bench import Bench, Task
from attnchain_ros.lab.table import (
    WHOLE,
    Subject,
    concat,
    mean_of,
    names_of,
    select,
    succeeded,
    to_json,
    values_of,
)


def test_both_anchors_and_all_methods(bench: Bench) -> None:
    table = summary.run(bench, Task("summary", "unseen", 0))
    for group in (summary.GIVEN, summary.IMAGE):
        own = select(table, group=group)
        assert succeeded(own) == (7, 7)
        assert mean_of(select(own, variant=OURS), "cd_4d") is not None
        assert mean_of(select(own, variant=RIGID), "last_all") is not None
        assert summary.over_still(own, "last_all", STILL) == 1.0
    assert names_of(table, "family") == ["lamp"]
    text = "\n".join(summary.describe(bench, table).lines)
    assert "| unseen | 1 of 1 |" in text and "split unseen" in text


def test_baselines_for_other_experiments_are_those_they_would_measure(bench: Bench) -> None:
    task = Task("summary", "test", 2)
    table = summary.run(bench, task)
    known = summary.given_baselines(table)
    assert list(known) == [("test", "2")]
    found = known["test", "2"]
    measured = bench.scene(task).baselines(clouds=True)
    assert names_of(found, "variant") == names_of(measured, "variant")
    assert names_of(found, "group") == names_of(measured, "group") and set(found["place"]) == {WHOLE}
    for name in names_of(measured, "variant"):
        for metric in names_of(measured, "metric"):
            values = (values_of(select(part, variant=name), metric) for part in (found, measured))
            # The same mesh: the anchor's vertices in frame 0 are the true ones.
            assert next(values) == pytest.approx(next(values), rel=1e-6)
    # A baseline that failed is measured again by those who need it.
    broken = Subject("summary", "test", "2", "door", "static").failure(summary.GIVEN, RIGID, MaskError("made up"))
    rest = table[(table["variant"] != RIGID) | (table["group"] != summary.GIVEN)]
    assert summary.given_baselines(concat([rest, broken])) == {} == summary.given_baselines(concat([]))


def test_ratios_are_by_family_and_pooled() -> None:
    def row(clip: int, family: str, variant: str, moved: float) -> pd.DataFrame:
        return Subject("summary", "test", str(clip), family).measure("", variant, lambda: {"last_moved": moved})

    table = concat([
        row(0, "creature", OURS, 1.0), row(0, "creature", STILL, 2.0),
        row(1, "door", OURS, 1.0), row(1, "door", STILL, 8.0), row(1, "door", RIGID, 4.0),
    ])  # fmt: skip
    lines = summary.ratio_lines(summary.kinds(table))
    assert lines[2].startswith("| test, all | 2 of 2 | **0.200** | - | - | **0.500** |")
    assert lines[3].startswith("| test, creatures | 1 of 1 | **0.500** | - | - | - |")
    assert lines[4].startswith("| test, others | 1 of 1 | **0.125** | - | - | **0.500** |")
    assert [line.split(" | ")[0] for line in lines[5:7]] == ["| test, creature", "| test, door"]
    assert to_json(summary.kinds(table)["test, all"]) == to_json(table)
