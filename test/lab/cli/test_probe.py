from __future__ import annotations

import json
from pathlib import Path

import pytest

from attnchain_ros.cli.main import main
from attnchain_ros.lab.cli import probe
from attnchain_ros.lab.probe import GROUPS


def run(tiny_folder: Path, quick: list[str], *words: str) -> int:
    fixed = ["--weights", str(tiny_folder), "--device", "cpu"]
    return main(["probe", *words, *fixed, *quick, "--set", "surface.candidate_grid=16"])


def test_a_folder_of_images_is_ranked(
    tiny_folder: Path,
    quick: list[str],
    clip_folder: Path,
    anchor_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "scores.json"
    assert run(tiny_folder, quick, str(clip_folder), "--anchor", str(anchor_file), "--json", str(file)) == 0
    said = capsys.readouterr().out
    for part in ("1 window(s) of 4 frames", "\nlayers\n", "\nheads of layer ", "\nsteps\n", "readout.direction=both"):
        assert part in said
    found = json.loads(file.read_text(encoding="utf-8"))
    assert [way["group"] for way in found["readings"]] == (
        ["layers"] * 5 + ["heads"] * 3 + ["steps"] * 3 + ["direction"] * 3 + ["renormalise"] * 2
    )
    # Each table goes from the best to the worst.
    for table in said.split("\n\n")[1:]:
        scores = [float(line.split()[0]) for line in table.splitlines()[2:]]
        assert scores == sorted(scores) and len(scores) > 1
    # The heads are those of the layer at the top.
    singles = [line for line in said.split("\n\n")[1].splitlines() if "  layer " in line]
    assert f"heads of layer {singles[0].split('  layer ')[1].split()[0]}\n" in said


def test_synthetic_clips_and_windows_from_one_image(
    tiny_folder: Path, quick: list[str], clip_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tiny_folder, quick, "--clips", "2", "--settings", "direction") == 0
    assert "2 window(s)" in capsys.readouterr().out
    stage_zero = ("--set", "sampling.stage0_steps=1")
    assert run(tiny_folder, quick, str(clip_folder), "--windows", "2", "--settings", "renormalise", *stage_zero) == 0
    assert "2 window(s)" in capsys.readouterr().out


def test_failures_make_the_exit_status(
    tiny_folder: Path, quick: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from attnchain_ros.errors import SurfaceError
    from attnchain_ros.lab import probe as probing

    def fail(*arguments: object) -> None:
        raise SurfaceError("no frame has one")

    monkeypatch.setattr(probing, "score_cycle", fail)
    assert run(tiny_folder, quick, "--clips", "1", "--settings", "layers,heads") == 1
    out, err = capsys.readouterr()
    assert "no reading has a score" in out and "window 0, layer 0: no frame has one" in err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "give either INPUT or --clips N"),
        (["x", "--clips", "1"], "give either INPUT or --clips N"),
        (["--clips", "0"], "--clips is 0"),
        (["x", "--windows", "0"], "--windows is 0"),
        (["x", "--windows", "2", "--anchor", "a.ply"], "--anchor is the mesh of INPUT's first frame"),
        (["x", "--settings", "layer"], "--settings names 'layer'; there are layers, heads"),
        (["x", "--settings", "heads"], "ask for layers as well"),
        (["x", "--intrinsics", "1,2"], "--intrinsics"),
        (["x", "--json", "."], "--json . is a folder"),
    ],
)
def test_wrong_arguments(words: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", *words]) == 2
    assert reason in capsys.readouterr().err


def test_the_groups_are_those_of_the_probe() -> None:
    assert probe.GROUPS == GROUPS
    assert probe.parse_groups(",".join(reversed(GROUPS))) == list(GROUPS)
