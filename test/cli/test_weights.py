"""``attnchain weights``: licences, exit codes, and the way from the hub to a folder in a process of its own."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import HubServer

from attnchain_ros.backbone import default_weights
from attnchain_ros.cli import main

ROOT = Path(__file__).resolve().parents[2]
REVISION = "a" * 40


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    """A hub with one small and one large file, and their list at ``tmp_path/list.json``."""
    files = {"a/b/config.json": b"{}", "a/b/large.bin": bytes(range(256)) * 40}
    entries = [
        {
            "repo": "a/b",
            "revision": REVISION,
            "folder": "B",
            "file": name.removeprefix("a/b/"),
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        for name, data in files.items()
    ]
    licence = {"of": "a/b", "name": "Test Licence", "terms": "be kind"}
    (tmp_path / "list.json").write_text(json.dumps({"licences": [licence], "files": entries}))
    with HubServer(files, REVISION).running() as server:
        yield server


def run(hub: HubServer, tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, pointed at the hub."""
    environment = os.environ | {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-W", "ignore", "-m", "attnchain_ros.cli", "weights", *words]
    return subprocess.run(
        [*command, "--manifest", str(tmp_path / "list.json")],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
    )


def test_the_hub_of_the_environment_is_asked(hub: HubServer, tmp_path: Path) -> None:
    words = "fetch", "--to", str(tmp_path / "weights")
    refused = run(hub, tmp_path, *words)
    assert refused.returncode == 1 and hub.requests == [] and not (tmp_path / "weights").exists()
    assert "a/b: Test Licence (be kind)" in refused.stdout
    assert refused.stderr.splitlines()[-1] == (
        "attnchain: error: the licences above must be agreed to: call this again with --accept-licences"
    )
    done = run(hub, tmp_path, *words, "--accept-licences")
    assert done.returncode == 0, done.stderr
    assert "fetching 2 of 2 files, 10 kB" in done.stdout
    assert done.stdout.splitlines()[-1] == f"done: use them with --weights {tmp_path / 'weights'}"
    assert (tmp_path / "weights/B/large.bin").read_bytes() == hub.files["a/b/large.bin"]
    hub.lying = True
    (tmp_path / "weights/B/large.bin").unlink()
    wrong = run(hub, tmp_path, *words, "--accept-licences")
    assert wrong.returncode == 1 and not (tmp_path / "weights/B/large.bin").exists()
    assert wrong.stderr.splitlines()[-1].startswith("attnchain: error: B/large.bin has the SHA-256")


class _Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_licences_are_asked_for_and_may_be_refused(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", _Terminal(answer))
    assert main(["weights", "fetch", "--to", str(tmp_path / "weights")]) == 1
    told = capsys.readouterr()
    assert "facebook/ActionMesh: FAIR Noncommercial Research License v1" in told.out and "[y/N]" in told.out
    assert told.err == "attnchain: error: the licences were not agreed to: nothing was fetched\n"
    assert not (tmp_path / "weights").exists()


def test_a_yes_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", _Terminal("y\n"))
    monkeypatch.setattr("attnchain_ros.published.fetching.fetch", lambda manifest, folder, *more: folder)
    assert main(["weights", "fetch", "--to", str(tmp_path / "weights")]) == 0
    assert capsys.readouterr().out.endswith(f"done: use them with --weights {tmp_path / 'weights'}\n")


def test_arguments_that_do_not_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "fetch", "--drop-float32"]) == 2
    assert "--drop-float32 is for --dtype bfloat16" in capsys.readouterr().err
    assert main(["weights"]) == 2
    assert main(["weights", "check"]) == 2


def test_a_folder_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "check", str(default_weights()), "--device", "cpu"]) == 0
    assert "would run: yes" in capsys.readouterr().out
    assert main(["weights", "check", str(tmp_path), "--quick"]) == 1
    assert "would run: no, " in capsys.readouterr().out
    assert main(["weights", "check", str(tmp_path / "no")]) == 2
    assert "there is no folder" in capsys.readouterr().err
