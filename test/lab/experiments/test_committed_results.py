"""The reports in docs/ are of today's form: their parts, targets and columns are those that the code would write."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from attnchain_ros.lab.experiments import (
    camera,
    long,
    motion,
    networks,
    poses,
    presets_report,
    reading,
    sensitivity,
    steps,
    summary,
    tracks,
)
from attnchain_ros.lab.experiments.bench import Bench
from attnchain_ros.lab.experiments.running import EXPERIMENTS
from attnchain_ros.lab.experiments.targets import targets
from attnchain_ros.lab.report import TITLES, compare_lines
from attnchain_ros.lab.table import Subject

DOCS = Path(__file__).resolve().parents[3] / "docs"
REPORTS = ("results.md", "presets.md", "motion.md", "pieces.md")
"""One run each: the paper's experiments; the two presets and dirty pictures; a known motion of the camera; the
pieces of the preset full."""


@pytest.fixture(scope="module")
def sections() -> dict[str, list[str]]:
    """The lines below each heading of the second level, of all reports."""
    parts = [part for name in REPORTS for part in (DOCS / name).read_text(encoding="utf-8").split("\n## ")[1:]]
    return {part.split("\n")[0]: part.split("\n")[1:] for part in parts}


def heads(lines: list[str]) -> list[list[str]]:
    """The first rows of the tables."""
    found = [above for above, below in itertools.pairwise(lines) if below.startswith("|---")]
    return [line.strip("|").strip().split(" | ") for line in found]


def test_every_experiment_is_there(sections: dict[str, list[str]]) -> None:
    assert list(sections) == ["Targets", *(experiment.title for experiment in EXPERIMENTS.values())]


def test_the_targets_are_those_of_the_code(sections: dict[str, list[str]], bench: Bench) -> None:
    rows = [line.strip("| ").split(" | ") for line in sections["Targets"] if line.startswith("| ")][1:]
    assert [row[:2] for row in rows] == [
        [wanted.name, f"{wanted.side} {wanted.wanted:g}"] for wanted in targets(bench, {})
    ]
    assert {row[3] for row in rows} == {"yes", "no"}


def test_columns_are_called_as_the_code_calls_them(sections: dict[str, list[str]]) -> None:
    own = {*TITLES.values()}
    for module in (camera, poses, long, reading, steps, summary, tracks, networks, sensitivity, presets_report, motion):
        for columns in ("_COLUMNS", "_FIGURES", "_FLOW_FIGURES", "_WORLD_FIGURES"):
            own |= set(getattr(module, columns, {}).values())
    own |= {"seconds of denoising"}
    for title, lines in sections.items():
        for head in heads(lines):
            if "clips that succeeded" in head and title != networks.EXPERIMENT.title:
                assert set(head[2:]) <= own, (title, head)
    table = Subject("x", "test", "0").measure("", "a", lambda: {"e": 1.0})
    compared = compare_lines(table, {"e": "error"}, "a")[0]
    assert sum(line == compared for lines in sections.values() for line in lines) == 16


def test_no_sentence_says_what_the_figures_mean(sections: dict[str, list[str]]) -> None:
    """Conclusions are docs/findings.md's; the report's lists are of failures, of which this run had none."""
    assert not [line for lines in sections.values() for line in lines if line.startswith("- ")]
