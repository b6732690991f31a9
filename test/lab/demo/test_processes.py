from __future__ import annotations

import os
import random
import socket
import time
from pathlib import Path

import pytest

from attnchain_ros.errors import ConfigError
from attnchain_ros.lab.demo.main import main, parse_arguments
from attnchain_ros.lab.demo.processes import Child, free_domain, isolated_environment


def test_a_domain_in_use_is_not_chosen() -> None:
    first = free_domain(random.Random(0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("", 7400 + 250 * first))
        assert free_domain(random.Random(0)) != first


def test_environment_stays_on_this_machine() -> None:
    environment = isolated_environment(42)
    assert environment["ROS_DOMAIN_ID"] == "42"
    assert environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"


def test_a_child_ends_with_its_block(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        Child("server", "http.server", ["0", "--bind", "127.0.0.1"], dict(os.environ), tmp_path / "log") as child,
    ):
        assert child.status is None
        raise KeyboardInterrupt
    assert child.status is not None
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_a_failing_child_tells_its_status_and_words(tmp_path: Path) -> None:
    with Child("wrong", "json.tool", ["no_such_file.json"], dict(os.environ), tmp_path / "log") as child:
        until = time.monotonic() + 60
        while child.status is None and time.monotonic() < until:
            time.sleep(0.02)
        assert child.status not in (None, 0)
        assert "no_such_file.json" in child.last_lines()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--frames", "1"], "--frames is 1"),
        (["--seed-index", "-1"], "--seed-index is -1"),
        (["--rate", "0"], "--rate is 0"),
        (["--weights", "no/such/folder"], "no/such/folder"),
        (["--param", "steps=3"], "NAME:=VALUE"),
    ],
)
def test_wrong_arguments(words: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match=text):
        parse_arguments(words)
    assert main(words) == 2
    assert text in capsys.readouterr().err
