"""``attnchain view`` from the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import hand_made
import numpy as np
import pytest

from attnchain_ros.cli import main
from attnchain_ros.cli.view import invitation
from attnchain_ros.files.bag_writing import ResultBagWriter


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give either the results to look at, or --live"),
        (["--live", "out"], "give either the results to look at, or --live"),
        (["--live", "--images", "clip"], "--images is for results that lie on the disk"),
        (["out", "--port", "70000"], "--port is 70000, wanted 0 (any free one) to 65535"),
        (["--live", "--keep", "3"], "--keep is 3, the least is 16 frames"),
        (["out", "--budget", "0"], "--budget is 0, the least is 1 megabyte"),
        (["/nowhere"], "/nowhere does not exist: give the --out folder of a run, or a bag of results"),
    ],
)
def test_what_cannot_be_shown_is_refused(words: list[str], said: str, capsys: Any) -> None:
    assert main(["view", *words]) == 2
    assert said in capsys.readouterr().err


def test_it_says_how_to_get_there() -> None:
    here = invitation("127.0.0.1", 8081)
    assert here[0].startswith("http://127.0.0.1:8081 ") and "ssh -L 8081:127.0.0.1:8081 " in here[1]
    assert "no password" in invitation("0.0.0.0", 8080)[1]
    assert invitation("::1", 8080)[0].startswith("http://[::1]:8080 ")


def test_a_bag_is_served_until_it_is_interrupted(tmp_path: Path) -> None:
    pytest.importorskip("viser")
    with ResultBagWriter(tmp_path / "bag") as bag:
        bag.add(hand_made.make_result(np.arange(4, dtype=np.int64) * 10**8), "camera")
    command = [sys.executable, "-m", "attnchain_ros.cli", "view", str(tmp_path / "bag"), "--port", "0"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    try:
        assert process.stdout is not None
        address = next(line.split()[1] for line in process.stdout if "http://127.0.0.1:" in line)
        with urllib.request.urlopen(address, timeout=20) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0 and errors == ""
    finally:
        process.kill()
        process.wait(10)
