from __future__ import annotations

import dataclasses

import pytest

from attnchain_ros.lab.evaluation.records import OURS
from attnchain_ros.lab.evaluation.synthetic_records import RIGID
from attnchain_ros.lab.experiments import summary
from attnchain_ros.lab.experiments.bench import Bench, Task
from attnchain_ros.lab.experiments.rows import Row, select


def test_both_anchors_and_all_methods(bench: Bench) -> None:
    rows = summary.run(bench, Task("summary", "unseen", 0))
    assert [row.failure for row in rows] == [""] * len(rows)
    for table in (summary.GIVEN, summary.IMAGE):
        own = {row.setting: row.figures for row in select(rows, table=table)}
        assert len(own) == 7
        assert own[OURS]["cd_4d"] is not None and own[RIGID]["last_all"] is not None
        assert own[RIGID]["still_last_all"] == own["mesh that stays still"]["last_all"]
    assert select(rows, table=summary.GIVEN)[0].family == "lamp"
    text = "\n".join(summary.describe(bench, rows).lines)
    assert "| unseen | 1 of 1 |" in text and "split unseen" in text


def test_baselines_for_other_experiments_are_those_they_would_measure(bench: Bench) -> None:
    task = Task("summary", "test", 2)
    rows = summary.run(bench, task)
    known = summary.given_baselines(rows)
    assert list(known) == [("test", 2)]
    measured = bench.scene(task).baselines(clouds=True)
    assert [(row.table, row.setting) for row in known["test", 2]] == [(row.table, row.setting) for row in measured]
    for row, wanted in zip(known["test", 2], measured, strict=True):
        known_figures = {name: value for name, value in wanted.figures.items() if value is not None}
        # The same mesh: the anchor's vertices in frame 0 are the true ones.
        assert {name: row.figures[name] for name in known_figures} == pytest.approx(known_figures, rel=1e-6)
        assert all(row.figures[name] is None for name in wanted.figures if name not in known_figures)
    # A baseline that failed is measured again by those who need it.
    failed = [dataclasses.replace(row, failure="MaskError: made up") if row.setting == RIGID else row for row in rows]
    assert summary.given_baselines(failed) == {}


def test_ratios_are_by_family_and_pooled() -> None:
    def row(clip: int, family: str, setting: str, moved: float, still: float) -> Row:
        return Row("test", clip, family, summary.GIVEN, setting, {"last_moved": moved, "still_last_moved": still})

    rows = [row(0, "creature", OURS, 1.0, 2.0), row(1, "door", OURS, 1.0, 8.0), row(1, "door", RIGID, 4.0, 8.0)]
    lines = summary.ratio_lines(rows, {"all": lambda row: True, "creatures": lambda row: row.family == "creature"})
    assert lines[2].startswith("| all | 2 of 2 | **0.200** | - | - | **0.500** |")
    assert lines[3].startswith("| creatures | 1 of 1 | **0.500** | - | - | - |")


@pytest.mark.parametrize(
    ("ours", "told"),
    [
        (0.2, ": better than rigid ICP (0.3)."),
        (0.4, ": not better than rigid ICP (0.3)."),
    ],
)
def test_the_sentence_says_what_is_beaten(ours: float, told: str) -> None:
    rows = [Row("test", 0, "door", "t", name, {"last_moved": value}) for name, value in ((OURS, ours), (RIGID, 0.3))]
    assert summary.beaten_sentence(rows).endswith(told)
    assert summary.beaten_sentence(rows[1:]) == "No clip has an error on points that moved."
