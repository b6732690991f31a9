"""ROS as it is seen without importing it: missing, hanging, without our messages; and the Fast DDS profile."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from attnchain_ros.doctor import ros
from attnchain_ros.doctor.findings import State
from attnchain_ros.doctor.topics import Wanted
from attnchain_ros.node.profiles import VARIABLE


def test_without_ros_the_rest_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (found,) = ros.look_at_ros(Wanted(), 1.0)
    assert found.state is State.WARN and "no rclpy" in found.text


def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> str:
    """A module to run as a process in place of the real one."""
    (tmp_path / "stand_in.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "stand_in"


def test_a_process_that_hangs_crashes_or_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = module(tmp_path, monkeypatch, "import time; time.sleep(60)")
    started = time.monotonic()
    assert "did not answer within 1 s" in ros.ask_process(0.5, 0.5, name)["error"]
    assert time.monotonic() - started < 30
    module(tmp_path, monkeypatch, "raise ImportError('librcl.so is not there')")
    assert ros.ask_process(0.1, 60, name)["error"].endswith("ImportError: librcl.so is not there")
    module(tmp_path, monkeypatch, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert "status" in ros.ask_process(0.1, 60, name)["error"]
    module(tmp_path, monkeypatch, "print('a line of a library'); print('{\"rmw\": \"x\"}')")
    assert ros.ask_process(0.1, 60, name) == {"rmw": "x"}


def test_messages_that_are_not_built() -> None:
    fault: dict[str, Any] = {
        "messages": [],
        "messages_error": "ModuleNotFoundError: No module named 'attnchain_ros.msg'",
    }
    found = ros.look_at_messages(fault)
    assert found.state is State.FAIL and "colcon build" in found.advice
    assert ros.look_at_messages({"messages": ["Tracks"], "messages_error": ""}).text == "built: Tracks"


def test_the_profile_in_use(tmp_path: Path) -> None:
    room = 10**9
    assert f"export {VARIABLE}=" in ros.look_at_profile({}, room).text
    other = ros.look_at_profile({"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}, room)
    assert other.state is State.OK and "rmw_cyclonedds_cpp" in other.text
    lost = ros.look_at_profile({VARIABLE: str(tmp_path / "no.xml")}, room)
    assert lost.state is State.WARN and "does not exist" in lost.text
    (tmp_path / "own.xml").write_text("<dds/>")
    own = ros.look_at_profile({VARIABLE: str(tmp_path / "own.xml")}, room)
    assert own.state is State.OK and own.text == str(tmp_path / "own.xml")
    assert "LARGE_DATA" in ros.look_at_profile({"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA"}, room).text
    small = ros.look_at_profile({}, 32 * 10**6)
    assert small.state is State.WARN and "/dev/shm has 32 MB" in small.text and "--shm-size" in small.advice


def test_nothing_here_imports_ros() -> None:
    assert "attnchain_ros.node.looking" not in sys.modules or "rclpy" in sys.modules
    assert "import rclpy" not in Path(ros.__file__).read_text(encoding="utf-8")
