"""Threads and waiting are chosen before torch is loaded, by the node and by every command; what the user set stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from attnchain_ros import threads
from attnchain_ros.errors import ConfigError
from attnchain_ros.threads import (
    CACHES,
    COUNTS,
    LOWEST_REALTIME,
    TURN_S,
    WAITING,
    asked_threads,
    going_first,
    prefer_this_thread,
    prepare,
    take_short_turns,
    usable_cores,
)

OURS = {*WAITING, *CACHES, *COUNTS}

# Looks at the environment at the moment at which torch begins to be loaded, which is when its libraries read it.
WATCH = """
import importlib.abc, json, os, sys

class Watch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "torch" and not seen:
            seen.update(os.environ)
        return None

seen = {}
sys.meta_path.insert(0, Watch())
"""
COMMAND = """
from attnchain_ros.cli.main import main
main(["parity", "--threads=1", "nowhere"])  # refused, but its module has loaded torch
"""
NODE = """
from attnchain_ros.node.main import make_engine
from attnchain_ros.node.parameters import NodeConfig, NodeSettings
assert not seen, "torch was loaded before the settings are known"
make_engine(NodeSettings(NodeConfig(threads=1)))
"""
TELL = """
import torch
print(json.dumps({"seen": seen, "threads": torch.get_num_threads(), "info": torch.__config__.parallel_info()}))
"""


def run(script: str, **given: str) -> dict:
    """What a process that loads torch found."""
    environment = {name: value for name, value in os.environ.items() if name not in OURS} | given
    done = subprocess.run(
        [sys.executable, "-c", WATCH + script + TELL], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("script", [COMMAND, pytest.param(NODE, marks=pytest.mark.ros)], ids=["command", "node"])
def test_all_is_set_when_torch_is_loaded(script: str) -> None:
    found = run(script)
    for name, value in (WAITING | CACHES).items():
        assert found["seen"][name] == value
    assert found["threads"] == 1 == int(found["seen"]["OMP_NUM_THREADS"])


def test_what_the_user_set_stays() -> None:
    given = {"OMP_WAIT_POLICY": "ACTIVE", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "7", "OMP_NUM_THREADS": "2"}
    found = run(COMMAND.replace('"--threads=1", ', ""), **given)
    assert given.items() <= found["seen"].items()
    assert "GOMP_SPINCOUNT" not in found["seen"], "it would overrule the policy that was asked for"


def test_a_number_of_threads_wins_over_the_environment() -> None:
    environment = {"OMP_NUM_THREADS": "2"}
    prepare(5, environment)
    assert environment["OMP_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == "5"
    environment = {"MKL_NUM_THREADS": "2"}
    prepare(0, environment)
    assert "OMP_NUM_THREADS" not in environment


def test_without_a_number_every_usable_core_gets_a_thread() -> None:
    environment: dict[str, str] = {}
    prepare(0, environment)
    assert {environment[name] for name in COUNTS} == {str(usable_cores())}


def test_a_loaded_torch_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Torch:
        threads = 0

        def set_num_threads(self, count: int) -> None:
            self.threads = count

    loaded = Torch()
    monkeypatch.setitem(sys.modules, "torch", loaded)
    monkeypatch.setattr(os, "environ", {})
    prepare(0)
    assert loaded.threads == 0
    prepare(2)
    assert loaded.threads == 2


@pytest.mark.parametrize("count", [-1, 1025])
def test_an_absurd_number_is_refused(count: int) -> None:
    environment: dict[str, str] = {}
    with pytest.raises(ConfigError, match=f"threads is {count}, wanted 1 to 1024"):
        prepare(count, environment)
    assert environment == {}


@pytest.mark.parametrize(
    ("text", "cores"),
    [("max 100000", 8), ("400000 100000", 4), ("50000 100000", 1), ("250000 100000", 2), ("nonsense", 8), (None, 8)],
)
def test_a_container_has_fewer_cores(
    text: str | None, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    file = tmp_path / "cpu.max"
    if text is not None:
        file.write_text(text + "\n")
    assert usable_cores(file) == cores


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["run", "--threads", "4", "x"], 4),
        (["--threads=12"], 12),
        (["run", "--threads"], 0),
        (["run", "--threads", "many"], 0),
        (["run", "--threads=99999"], 0),
        (["run", "4"], 0),
    ],
)
def test_the_number_is_found_among_the_words(words: list[str], count: int) -> None:
    assert asked_threads(words) == count


def test_only_the_thread_that_asks_goes_first() -> None:
    found: list[tuple[bool, int]] = []

    def ask() -> None:
        # Towards the back, which everybody is allowed to ask for.
        allowed = prefer_this_thread(os.getpriority(os.PRIO_PROCESS, 0) + 1)
        found.append((allowed, os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))

    before = os.getpriority(os.PRIO_PROCESS, 0)
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert found == [(True, min(before + 1, 19))] and os.getpriority(os.PRIO_PROCESS, 0) == before


def test_a_system_that_does_not_allow_it_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError("not allowed")

    monkeypatch.setattr(os, "setpriority", refuse)
    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert not prefer_this_thread() and not prefer_this_thread(realtime=True)
    with going_first():
        assert policy() == os.SCHED_OTHER


def policy() -> int:
    """How the calling thread is scheduled."""
    return os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK


def in_a_thread(work: Callable[[], object]) -> object:
    """What it returns in a thread of its own, whose scheduling is nobody else's."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def may_be_realtime() -> bool:
    """Whether this machine lets a thread go before all ordinary ones, and has a second core for these."""

    def ask() -> bool:
        try:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(LOWEST_REALTIME))
        except OSError:
            return False
        return usable_cores() > 1

    return bool(in_a_thread(ask))


def test_a_thread_goes_first_for_a_moment_and_what_it_starts_does_not() -> None:
    def ask() -> tuple[int, object, int]:
        with going_first():
            return policy(), in_a_thread(policy), os.sched_getparam(0).sched_priority

    def after() -> int:
        with pytest.raises(ValueError, match="decoded"), going_first():
            raise ValueError("what is decoded is spoiled")
        return policy()

    allowed = may_be_realtime()
    wanted = (os.SCHED_RR, os.SCHED_OTHER, LOWEST_REALTIME) if allowed else (os.SCHED_OTHER, os.SCHED_OTHER, 0)
    assert in_a_thread(ask) == wanted
    assert in_a_thread(after) == os.SCHED_OTHER


def test_turns_are_made_shorter_and_never_longer() -> None:
    before = sys.getswitchinterval()
    try:
        for given, wanted in ((0.005, TURN_S), (0.0001, 0.0001)):
            sys.setswitchinterval(given)
            take_short_turns()
            assert sys.getswitchinterval() == pytest.approx(wanted, rel=0.02), "whole microseconds"
    finally:
        sys.setswitchinterval(before)


def test_a_scheduling_that_someone_chose_stays() -> None:
    def ask() -> tuple[int, int]:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        with going_first():
            inside = policy()
        return inside, policy()

    assert in_a_thread(ask) == (os.SCHED_BATCH, os.SCHED_BATCH)


def test_a_thread_goes_first_for_good_where_others_have_a_core_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask() -> int:
        assert prefer_this_thread(realtime=True) or not allowed
        return policy()

    allowed = may_be_realtime()
    assert in_a_thread(ask) == (os.SCHED_RR if allowed else os.SCHED_OTHER)
    monkeypatch.setattr(threads, "_cores", lambda: 1)
    allowed = False
    assert in_a_thread(ask) == os.SCHED_OTHER


def test_nothing_here_loads_a_numeric_library() -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {threads.__name__}, attnchain_ros.cli.main; print(*sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not {"numpy", "torch", "scipy", "cv2"} & set(done.stdout.split())
