"""``attnchain batch``: many clips over Ray's workers, one of which is killed, and the same results as single runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnchain_ros.cli import main
from attnchain_ros.cli import run as one_clip
from attnchain_ros.cli.batch import STATE, TABLE, add_arguments, plan
from attnchain_ros.cli.main import _parser
from attnchain_ros.cli.rolling import fixed_frame_of
from attnchain_ros.errors import ConfigError
from attnchain_ros.files.camera_bag import CameraBagWriter
from attnchain_ros.stream.frame import Frame

SAME = ("animation.glb", "tracks.npz", "cameras.npz")


@pytest.fixture
def clips(tmp_path: Path, clip_folder: Path) -> Path:
    """Three folders of images; the list names them and one that there is not."""
    for name in ("a", "b", "c"):
        shutil.copytree(clip_folder, tmp_path / "clips" / name)
    (tmp_path / "clips.txt").write_text("# all\nclips/[ab]\nclips/c\nclips/lost\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def words(tiny_folder: Path, anchor_file: Path, quick: list[str]) -> list[str]:
    return ["--weights", str(tiny_folder), "--anchor", str(anchor_file), "--device", "cpu", *quick]


def _planned(words: list[str]) -> list[Any]:
    from attnchain_ros.cli import batch

    assert batch.add_arguments is add_arguments
    return plan(_parser("batch", batch).parse_args(["batch", *words]))


def test_lists_patterns_and_names(clips: Path) -> None:
    jobs = _planned(
        [str(clips / "clips.txt"), "synthetic:4", "--out", str(clips / "out"), "--masks", str(clips / "m" / "{name}")]
    )
    assert [job.name for job in jobs] == ["a", "b", "c", "lost", "synthetic_4"]
    assert [job.args.input for job in jobs[:4]] == [str(clips / "clips" / name) for name in ("a", "b", "c", "lost")]
    assert [job.args.masks for job in jobs] == [clips / "m" / job.name for job in jobs]
    assert jobs[0].args.out == clips / "out" / "a" and jobs[0].attempt == 1
    with pytest.raises(ConfigError, match=r"would both be a in .*rename one"):
        _planned([str(clips / "clips" / "a"), str(clips / "clips" / "?"), "--out", str(clips / "out")])
    with pytest.raises(ConfigError, match="'nothing/\\*' fits no file"):
        _planned(["nothing/*", "--out", str(clips / "out")])


def test_what_cannot_run_is_refused_before_anything_starts(clips: Path, capsys: Any) -> None:
    out = clips / "out"
    for wrong, told in (
        (["--workers", "-1"], "--workers is -1"),
        (["--device", "cuda:1"], "Ray chooses the GPU"),
        (["--stride", "0"], "--stride is 0"),
        (["--fixed-frame", "odom"], f"a fixed frame is for bags, which hold TF; {clips / 'clips' / 'a'} is none"),
    ):
        assert main(["batch", str(clips / "clips" / "a"), "--out", str(out), *wrong]) == 2
        assert told in capsys.readouterr().err
    assert not out.exists()


def test_each_bag_has_its_own_fixed_frame(clips: Path) -> None:
    for place in (1.0, 2.0):
        with CameraBagWriter(clips / f"bag{place:.0f}", "eye", "odom") as writer:
            pose = np.eye(4)
            pose[0, 3] = place
            writer.add(Frame(np.zeros((12, 16, 3), np.uint8), np.ones((12, 16), bool), 10**9), np.eye(3), pose)
    jobs = _planned([str(clips / "bag?"), "--fixed-frame", "odom", "--out", str(clips / "out")])
    for job, place in zip(jobs, (1.0, 2.0), strict=True):
        one_clip.check_arguments(job.args)
        fixed = fixed_frame_of(job.args)
        assert fixed is not None and fixed.buffer.look_up("odom", "eye", 10**9)[0, 3] == place


def test_a_ray_that_does_not_come_up_is_an_error_and_no_fault(
    clips: Path, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def init(**options: Any) -> None:
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr("ray.init", init)
    assert main(["batch", str(clips / "clips" / "a"), "--out", str(clips / "out"), *words]) == 1
    assert "Ray did not start (The current node timed out during startup.)" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_worker_costs_nothing_but_time(clips: Path, words: list[str], capsys: Any) -> None:
    out = clips / "out"
    command = ["batch", str(clips / "clips.txt"), "--out", str(out), "--workers", "2", *words]
    said = _run_and_kill_the_first(command)
    assert "c: begins" in said and "4 of 4" not in said and f"wrote {TABLE}" in said, said
    state = json.loads((out / STATE).read_text())
    attempts = {name: clip["attempts"] for name, clip in state["clips"].items()}
    assert attempts == {"a": 2, "b": 1, "c": 1, "lost": 2}, said
    assert "does not exist" in state["clips"]["lost"]["error"]
    assert [name for name, clip in state["clips"].items() if clip["error"]] == ["lost"]
    rows = (out / TABLE).read_text().splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == ["| a", "| b", "| c", "| lost"]
    assert "| 7 | " in rows[0] and "failed: " in rows[3]
    assert "windows of" in (out / "logs" / "b.txt").read_text()
    single = clips / "single"
    assert main(["run", str(clips / "clips" / "a"), "--out", str(single), *words]) == 0
    for name in ("a", "b", "c"):  # the same images
        for file in SAME:
            assert (out / name / file).read_bytes() == (single / file).read_bytes(), (name, file)
    # The same command goes on: what failed is tried again, what is done is left alone.
    shutil.copytree(clips / "clips" / "a", clips / "clips" / "lost")
    before = (out / "a" / "summary.json").stat().st_mtime_ns
    again = subprocess.run(
        [sys.executable, "-m", "attnchain_ros.cli", *command], capture_output=True, text=True, timeout=300, check=False
    )
    assert again.returncode == 0, again.stderr
    assert "3 clips of 4 done before" in again.stdout and "lost: begins on" in again.stdout
    assert (out / "a" / "summary.json").stat().st_mtime_ns == before
    assert main([*command, "--set", "sampling.steps=3"]) == 2
    assert "holds a batch with settings" in capsys.readouterr().err


def _run_and_kill_the_first(command: list[str]) -> str:
    """Run it, kill the worker of the first clip as it begins, and return what was said; it must end with 1."""
    with subprocess.Popen(
        [sys.executable, "-m", "attnchain_ros.cli", *command],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if found := re.match(r"a: begins on worker \d+ \(process (\d+)\)", line):
                os.kill(int(found.group(1)), signal.SIGKILL)
        assert process.wait(timeout=300) == 1, "".join(said)
    return "".join(said)
