from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from attnchain_ros.cli.main import main
from attnchain_ros.errors import ConfigError
from attnchain_ros.lab.cli import experiments


def run(tiny_folder: Path, quick: list[str], out: Path, *words: str) -> int:
    fixed = ["--weights", str(tiny_folder), "--device", "cpu", "--image-size", "48", "--out", str(out)]
    return main(["experiments", *fixed, *words, *quick, "--set", "surface.candidate_grid=16"])


def test_a_run_its_report_and_going_on(
    tiny_folder: Path, quick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, target = tmp_path / "out", tmp_path / "docs" / "found.md"
    words = ("--only", "camera", "--clips", "1", "--report", str(target))
    assert run(tiny_folder, quick, out, *words) == 0
    said, progress = capsys.readouterr()
    assert f"wrote {target}" in said and "camera: 1 of 1 clips" in progress
    text = target.read_text(encoding="utf-8")
    for part in ("- commit:", "- checksum:", "- seed: 0", "- clips of each split: camera 1", "## Camera"):
        assert part in text
    lines = (out / "camera" / "progress.jsonl").read_text(encoding="utf-8").splitlines()
    identity, first = json.loads(lines[0]), json.loads(lines[1])
    assert identity["experiment"] == "camera" and identity["config"]["sampling"]["steps"] == 2
    assert first["piece"] == "test 0" and len(first["rows"]) > 9
    # One clip more: the first one is not run again.
    assert run(tiny_folder, quick, out, "--only", "camera", "--clips", "camera=2", "--resume") == 0
    more = (out / "camera" / "progress.jsonl").read_text(encoding="utf-8").splitlines()
    assert more[:2] == lines[:2] and len(more) == 3
    assert (out / "results.md").is_file()
    assert set(pd.read_csv(out / "rows.csv")["clip"]) == {0, 1}
    capsys.readouterr()
    assert run(tiny_folder, quick, out, "--only", "camera", "--resume", "--set", "sampling.seed=3") == 2
    assert "of another run: changed options, config, seed differ" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--only", "step"], "--only names 'step'; there are summary, networks, steps"),
        (["--clips", "0"], "--clips 0: wanted a number of at least 1"),
        (["--clips", "long=x"], "--clips long=x: wanted a number"),
        (["--only", "steps", "--clips", "long=3"], "'long' is not among the experiments that run (steps)"),
        (["--processes", "0"], "--processes is 0, must be at least 1"),
        (["--image-size", "8"], "--image-size is 8"),
        (["--report", "results.txt"], "wanted the name of a Markdown file"),
        (["--set", "sampling.nothing=1"], "unknown option"),
    ],
)
def test_wrong_arguments(words: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiments", "--out", str(tmp_path), *words]) == 2
    assert reason in capsys.readouterr().err


def test_the_names_and_counts_are_those_of_the_experiments() -> None:
    from attnchain_ros.lab.experiments.running import DEFAULT_CLIPS, EXPERIMENTS

    assert tuple(EXPERIMENTS) == experiments.NAMES
    assert experiments.parse_clips([], list(experiments.NAMES)) == dict.fromkeys(EXPERIMENTS, DEFAULT_CLIPS)
    assert experiments.parse_clips(["long=3", "5"], ["steps", "long"]) == {"steps": 5, "long": 3}
    assert experiments.parse_names(None) == list(EXPERIMENTS)
    with pytest.raises(ConfigError, match="there are summary"):
        experiments.parse_names("")
