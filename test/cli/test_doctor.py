"""``attnchain doctor``: lines, JSON, exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from attnchain_ros import doctor
from attnchain_ros.cli import main
from attnchain_ros.doctor.examining import guarded
from attnchain_ros.doctor.findings import Finding, State
from attnchain_ros.errors import WeightsError

QUICK = ["doctor", "--quick", "--listen", "0", "--device", "cpu"]


def test_one_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(QUICK) == 0
    lines = capsys.readouterr().out.splitlines()
    told = [line.split()[1] for line in lines[:-1] if line.split()[0] in ("ok", "warn", "fail")]
    assert told[:8] == ["python", "packages", "torch", "device", "memory", "threads", "opencv", "weights"]
    assert "window" not in told and "topics" not in told
    assert "failed" in lines[-1] or "all work" in lines[-1]


def test_a_failure_is_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "--weights", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "fail  weights" in out and out.splitlines()[-1].endswith("1 failed (weights)")
    assert "-> attnchain weights check" in out


def test_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "--json"]) == 0
    whole: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert whole["ok"] is True and whole["version"] == "0.1.0"
    assert all(set(row) == {"name", "state", "text", "advice", "details"} for row in whole["findings"])
    assert main([*QUICK, "--json", "--weights", str(tmp_path)]) == 1
    broken = json.loads(capsys.readouterr().out)
    assert broken["ok"] is False
    (row,) = [row for row in broken["findings"] if row["state"] == "fail"]
    assert row["name"] == "weights" and row["advice"] and row["details"]


def test_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    for words, told in (
        (["--listen", "-1"], "--listen is -1"),
        (["--listen", "nan"], "--listen is nan"),
        (["--listen", "0", "--camera-info", "/x"], "--camera-info is looked for in the ROS graph"),
    ):
        assert main(["doctor", "--quick", *words]) == 2
        assert told in capsys.readouterr().err


def test_a_device_that_is_not_there_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--quick", "--listen", "0", "--device", "cuda:99"]) == 1
    out = capsys.readouterr().out
    assert "fail  device" in out and "fail  weights" in out and "ok    opencv" in out, "the rest is told all the same"


@pytest.mark.parametrize("error", [WeightsError("cut short"), OSError("no such library"), ZeroDivisionError("1/0")])
def test_a_check_that_breaks_down_is_a_finding(error: Exception) -> None:
    def check() -> list[Finding]:
        raise error

    (found,) = guarded("weights", check)
    assert found.state is State.FAIL and str(error) in found.text and found.advice


def test_the_window_is_computed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The real clip and the real checkpoint, but only their findings."""
    monkeypatch.setattr(doctor.examining.weights, "look_at_weights", lambda *args: Finding("weights", State.OK, ""))
    assert main(["doctor", "--listen", "0", "--device", "cpu"]) == 0
    (line,) = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith(("ok    window", "warn  window"))
    ]
    assert line.startswith("ok") and "16 frames of synthetic:0" in line and "16 of 16 poses" in line
