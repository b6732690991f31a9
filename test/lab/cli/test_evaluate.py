from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "evaluation"))
import layouts

from attnchain_ros.cli.main import main

SYNTHETIC = ["--clips", "1", "--frames", "4", "--image-size", "48", "--anchor", "given"]


def evaluate(tiny_folder: Path, quick: list[str], out: Path, *words: str) -> int:
    slow = ["--set", "surface.candidate_grid=16", "--set", "surface.coarse_grid=8"]
    return main(
        ["evaluate", "--weights", str(tiny_folder), "--device", "cpu", "--out", str(out), *words, *quick, *slow]
    )


@pytest.mark.slow
def test_synthetic_run_and_resume(
    tiny_folder: Path, quick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(tiny_folder, quick, tmp_path, *SYNTHETIC) == 0
    out, err = capsys.readouterr()
    assert "1 of 1 runs" in err
    for part in ("# Errors against the truth", "- commit:", "- checksum:", "8000 points a frame", " rigid ICP |"):
        assert part in out
    assert "- numbers: 0 to 0" in out
    rows = pd.read_csv(tmp_path / "rows.csv")
    assert set(rows["variant"]) >= {"attention chain", "DIS flow"} and set(rows["group"]) == {"anchor given"}
    assert (tmp_path / "errors" / "anchor_given_frame_raw.png").is_file()
    assert "](errors/anchor_given_frame_raw.png)" in out
    # Going on with one more clip: the first is not run again, so its seconds are the same to the last digit.
    assert evaluate(tiny_folder, quick, tmp_path, *SYNTHETIC, "--clips", "2", "--resume") == 0
    more = pd.read_csv(tmp_path / "rows.csv")
    assert more["clip"].unique().tolist() == [0, 1]
    pd.testing.assert_frame_equal(more[more["clip"] == 0], rows)
    capsys.readouterr()
    assert evaluate(tiny_folder, quick, tmp_path, *SYNTHETIC, "--resume", "--set", "sampling.seed=9") == 2
    assert "of another run: changed options, config, seed differ" in capsys.readouterr().err


def test_a_benchmark_folder(
    tiny_folder: Path, quick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layouts.tapvid(tmp_path / "data")
    words = ("--dataset", "tapvid", "--root", str(tmp_path / "data"))
    assert evaluate(tiny_folder, quick, tmp_path / "out", *words) == 0
    out, err = capsys.readouterr()
    assert "1 of 1 items" in err and "# TAP-Vid-DAVIS" in out and "| AJ |" in out
    rows = pd.read_csv(tmp_path / "out" / "rows.csv")
    assert set(rows["clip"]) == {"disc"} and rows["variant"].nunique() == 4 and set(rows["dataset"]) == {"tapvid"}
    assert evaluate(tiny_folder, quick, tmp_path / "out", *words, "--first", "1") == 2
    assert "fewer items" in capsys.readouterr().err


def test_failures_make_the_exit_status(tiny_folder: Path, quick: list[str], tmp_path: Path) -> None:
    layouts.tapvid(tmp_path / "data", masks=False)
    assert evaluate(tiny_folder, quick, tmp_path / "out", "--dataset", "tapvid", "--root", str(tmp_path / "data")) == 1
    text = (tmp_path / "out" / "errors.md").read_text(encoding="utf-8")
    assert "| items that succeeded | 0 of 1 | 1 of 1 |" in text
    assert "- tapvid disc, attention chain: MaskError" in text


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--clips", "0"], "--clips is 0, must be at least 1"),
        (["--frames", "1"], "--frames is 1"),
        (["--dataset", "badja"], "needs its folder: give --root DIR"),
        (["--root", "x"], "for published benchmarks: give --dataset"),
        (["--dataset", "badja", "--root", "x", "--frames", "5"], "--frames: only for synthetic clips"),
        (["--dataset", "badja", "--root", "x", "--ping-pong", "5"], "--ping-pong: only for synthetic clips"),
        (["--set", "sampling.nothing=1"], "unknown option"),
    ],
)
def test_wrong_arguments(words: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--out", str(tmp_path), *words]) == 2
    assert reason in capsys.readouterr().err


def test_unknown_names_are_told_before_a_clip_runs(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, reason in (
        (("--split", "tset"), "tset"),
        (("--family", "dragon"), "dragon"),
        (("--camera", "fly"), "fly"),
    ):
        assert evaluate(tiny_folder, [], tmp_path, *words) == 2
        assert reason in capsys.readouterr().err
