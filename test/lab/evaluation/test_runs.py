from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from attnchain_ros import __version__
from attnchain_ros.errors import ConfigError, FileFormatError, MaskError
from attnchain_ros.lab.evaluation import runs
from attnchain_ros.lab.evaluation.runs import RunFile, code_version
from attnchain_ros.lab.table import Subject, to_json

DOOR = Subject("steps", "test", "3", "door")
IDENTITY = {"checksum": "abc", "seed": 1, "sizes": (1, 2)}


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    file = RunFile(tmp_path / "run", IDENTITY, resume=True)
    table = DOOR.measure("", "a", lambda: {"value": 0.1 + 0.2, "nothing": None})
    file.add("clip 1", table)
    file.add("clip 2", DOOR.failure("", "a", MaskError("empty")))
    # The process died in the middle of a line.
    with file.path.open("a") as end:
        end.write('{"piece": 3, "ro')
    again = RunFile(tmp_path / "run", IDENTITY, resume=True)
    assert to_json(again.finished("clip 1")) == to_json(table)
    # What failed is tried again, and what came out then counts.
    assert again.finished("clip 2") is None and again.finished("clip 3") is None
    again.add("clip 2", table)
    assert again.finished("clip 2") is not None
    assert RunFile(tmp_path / "run", IDENTITY, resume=True).finished("clip 2") is not None


def test_another_run_is_refused_or_starts_anew(tmp_path: Path) -> None:
    RunFile(tmp_path, IDENTITY, resume=False).add("1", DOOR.measure("", "a", dict))
    with pytest.raises(ConfigError, match="another run: checksum differ; leave out --resume"):
        RunFile(tmp_path, {**IDENTITY, "checksum": "def"}, resume=True)
    assert RunFile(tmp_path, {**IDENTITY, "checksum": "def"}, resume=False).finished("1") is None


@pytest.mark.parametrize("text", ["{]\n", '{"checksum": "abc", "seed": 1, "sizes": [1, 2]}\n{"rows": []}\n', "[]\n3\n"])
def test_a_damaged_file(tmp_path: Path, text: str) -> None:
    file = RunFile(tmp_path, IDENTITY, resume=False)
    file.path.write_text(text)
    with pytest.raises(FileFormatError, match="damaged"):
        RunFile(tmp_path, IDENTITY, resume=True)
    file.path.write_text("")
    with pytest.raises(FileFormatError, match="empty"):
        RunFile(tmp_path, IDENTITY, resume=True)


def test_version_of_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert code_version() == __version__ or re.fullmatch(r"[0-9a-f]{12}\+?", code_version())
    # A copy that lies inside somebody else's repository is not of that repository's commit.
    place = tmp_path / "package" / "lab" / "evaluation"
    place.mkdir(parents=True)
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]

    def commit(path: Path, text: str) -> None:
        path.write_text(text)
        subprocess.run(["git", "-C", str(tmp_path), "add", str(path)], check=True)
        subprocess.run(["git", "-C", str(tmp_path), *who, "commit", "-qm", "a"], check=True)

    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.setattr(runs, "__file__", str(place / "runs.py"))
    assert code_version() == __version__
    commit(place / "runs.py", "1")
    first = code_version()
    assert re.fullmatch(r"[0-9a-f]{12}", first)
    # A report beside the package, or a card inside it, is not another version of the code; a change of the package is.
    commit(tmp_path / "results.md", "1")
    (tmp_path / "package" / "weights").mkdir()
    commit(tmp_path / "package" / "weights" / "CARD.md", "1")
    assert code_version() == first
    commit(tmp_path / "package" / "other.py", "1")
    assert code_version() != first
    (place / "runs.py").write_text("2")
    assert code_version().endswith("+")
    monkeypatch.setenv("PATH", "")
    assert code_version() == __version__
