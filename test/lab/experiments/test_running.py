from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from small_bench import COUNTS, SMALL

from attnchain_ros.errors import ConfigError
from attnchain_ros.lab.evaluation.runs import RunFile
from attnchain_ros.lab.experiments import report, running
from attnchain_ros.lab.experiments.bench import BASELINE_TABLE, Task
from attnchain_ros.lab.experiments.rows import Row, names_of, select
from attnchain_ros.lab.experiments.running import EXPERIMENTS, Setup, open_bench, run_experiment


@pytest.fixture
def setup(tiny_folder: Path) -> Setup:
    return Setup(tiny_folder, "cpu", "auto", tuple(SMALL.items()), COUNTS, 48)


def test_a_stopped_run_goes_on_and_failures_are_tried_again(setup: Setup, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    rows = run_experiment("reading", setup, 1, RunFile(tmp_path, {}, False), 1, lambda *at: seen.append(at))
    assert seen == [("reading", 0, 1), ("reading", 1, 1), ("reading", 1, 2), ("reading", 2, 2)]
    assert "heads" in names_of(rows, "table")
    kept = (tmp_path / "progress.jsonl").read_text(encoding="utf-8")
    again = run_experiment("reading", setup, 1, RunFile(tmp_path, {}, True))
    assert again == rows and (tmp_path / "progress.jsonl").read_text(encoding="utf-8") == kept
    # The first task failed in one setting: it is computed again, the second is not.
    lines = [json.loads(line) for line in kept.splitlines()]
    lines[1]["rows"][0]["failure"] = "MaskError: made up"
    (tmp_path / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    file = RunFile(tmp_path, {}, True)
    assert run_experiment("reading", setup, 1, file) == rows
    assert len(file.lines) == 3 and not any(row["failure"] for row in file.lines[-1]["rows"])


def test_known_baselines_are_not_measured_again(setup: Setup, tmp_path: Path) -> None:
    known = {("test", 0): [Row("test", 0, "door", BASELINE_TABLE, "made up", {"last_all": 1.0})]}
    rows = run_experiment("steps", setup, 2, RunFile(tmp_path, {}, False), baselines=known)
    named = [(row.clip, row.setting) for row in select(rows, table=BASELINE_TABLE)]
    assert named[-1] == (0, "made up") and {clip for clip, _ in named[:-1]} == {1} and len(named) == 4
    assert run_experiment("steps", setup, 2, RunFile(tmp_path, {}, True), baselines=known) == rows
    # Without them the first clip is computed again, now with its baselines.
    rows = run_experiment("steps", setup, 2, RunFile(tmp_path, {}, True))
    assert [row.clip for row in select(rows, table=BASELINE_TABLE)] == [0, 0, 0, 1, 1, 1]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As in the processes: with more threads sums come in another order, and a random network makes much of that."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_processes_change_nothing(setup: Setup, tmp_path: Path, one_thread: None) -> None:
    alone = run_experiment("camera", setup, 2, RunFile(tmp_path / "one", {}, False))
    together = run_experiment("camera", setup, 2, RunFile(tmp_path / "two", {}, False), 2)
    assert together == alone and {row.clip for row in alone} == {0, 1}


def test_the_report_has_every_section_and_its_pictures(setup: Setup, tmp_path: Path) -> None:
    bench = open_bench(setup)
    rows: dict[str, list[Row]] = {}
    for name in ("camera", "sensitivity"):
        rows[name] = running.EXPERIMENTS[name].run(bench, Task(name, "test", 0))
    text = report.write_results(tmp_path / "docs" / "results.md", bench, rows, {"commit": "abc"})
    assert text == (tmp_path / "docs" / "results.md").read_text(encoding="utf-8")
    assert "- commit: abc" in text
    for name in rows:
        assert f"## {EXPERIMENTS[name].title}\n" in text
    pictures = [part.split(")")[0] for part in text.split("](")[1:]]
    assert pictures and all((tmp_path / "docs" / name).is_file() for name in pictures)


def test_what_cannot_run_is_refused(setup: Setup, tmp_path: Path) -> None:
    file = RunFile(tmp_path, {}, False)
    with pytest.raises(ConfigError, match="no experiment 'step'; there are summary"):
        run_experiment("step", setup, 1, file)
    with pytest.raises(ConfigError, match="0 clips in 1 processes"):
        run_experiment("steps", setup, 0, file)
