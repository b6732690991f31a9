from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from small_bench import COUNTS, SMALL

from attnchain_ros.errors import ConfigError
from attnchain_ros.lab.evaluation.runs import RunFile
from attnchain_ros.lab.experiments.bench import Task
from attnchain_ros.lab.experiments.running import (
    EXPERIMENTS,
    Setup,
    one_thread_each,
    open_bench,
    run_experiment,
    start_worker,
    write_results,
)
from attnchain_ros.lab.table import BASELINES, Subject, names_of, select, to_json


@pytest.fixture
def setup(tiny_folder: Path) -> Setup:
    return Setup(tiny_folder, "cpu", "auto", tuple(SMALL.items()), COUNTS, 48)


def test_a_stopped_run_goes_on_and_failures_are_tried_again(setup: Setup, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    rows = run_experiment("reading", setup, 1, RunFile(tmp_path, {}, False), 1, lambda *at: seen.append(at))
    assert seen == [("reading", 0, 1), ("reading", 1, 1), ("reading", 1, 2), ("reading", 2, 2)]
    assert "heads" in names_of(rows, "group")
    kept = (tmp_path / "progress.jsonl").read_text(encoding="utf-8")
    again = run_experiment("reading", setup, 1, RunFile(tmp_path, {}, True))
    assert to_json(again) == to_json(rows) and (tmp_path / "progress.jsonl").read_text(encoding="utf-8") == kept
    # The first task failed in one setting: it is computed again, the second is not.
    lines = [json.loads(line) for line in kept.splitlines()]
    lines[1]["rows"][0][-1] = "MaskError: made up"
    (tmp_path / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    file = RunFile(tmp_path, {}, True)
    assert to_json(run_experiment("reading", setup, 1, file)) == to_json(rows)
    last = (tmp_path / "progress.jsonl").read_text(encoding="utf-8").splitlines()[3:]
    assert [json.loads(line)["piece"] for line in last] == ["test 0"] and "MaskError" not in last[0]


def test_known_baselines_are_not_measured_again(setup: Setup, tmp_path: Path) -> None:
    made_up = Subject("summary", "test", "0", "door").measure(BASELINES, "made up", lambda: {"last_all": 1.0})
    known = {("test", "0"): made_up}
    rows = run_experiment("steps", setup, 2, RunFile(tmp_path, {}, False), baselines=known)
    named = select(rows, group=BASELINES)[["experiment", "clip", "variant"]].drop_duplicates().to_numpy().tolist()
    assert named[-1] == ["steps", "0", "made up"] and {clip for _, clip, _ in named[:-1]} == {"1"} and len(named) == 4
    again = run_experiment("steps", setup, 2, RunFile(tmp_path, {}, True), baselines=known)
    assert to_json(again) == to_json(rows)
    # Without them the first clip is computed again, now with its baselines.
    rows = run_experiment("steps", setup, 2, RunFile(tmp_path, {}, True))
    own = select(rows, group=BASELINES)[["clip", "variant"]].drop_duplicates()
    assert own["clip"].tolist() == ["0", "0", "0", "1", "1", "1"]


@pytest.mark.slow
def test_processes_change_nothing(setup: Setup, tmp_path: Path) -> None:
    # Alone in a process like those, with one thread: with more, sums come in another order, in torch and in numpy's
    # libraries, and a random network makes much of that.
    with one_thread_each(), ProcessPoolExecutor(1, get_context("spawn"), start_worker) as pool:
        alone = pool.submit(run_experiment, "camera", setup, 2, RunFile(tmp_path / "one", {}, False)).result()
    together = run_experiment("camera", setup, 2, RunFile(tmp_path / "two", {}, False), 2)
    assert to_json(together) == to_json(alone) and names_of(alone, "clip") == ["0", "1"]


def test_the_report_has_every_section_and_its_pictures(setup: Setup, tmp_path: Path) -> None:
    bench = open_bench(setup)
    rows = {name: EXPERIMENTS[name].run(bench, Task(name, "test", 0)) for name in ("camera", "sensitivity")}
    text = write_results(tmp_path / "docs" / "results.md", bench, rows, {"commit": "abc"})
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
