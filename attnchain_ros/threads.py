"""How many threads the numeric libraries take, how these wait for one another, and what they keep.

Torch computes with OpenMP's threads. By default those spin for a while after every piece of work, in case another one
comes: on a machine that also runs a camera's driver and the middleware they take the cores from whoever has work to do,
and then from one another. Threads that sleep instead cost a quiet machine next to nothing.

The libraries read all this from the environment while they are loaded and never again, so nothing here imports them,
and ``prepare`` is called before anything else does. What the user has set stays.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from .errors import ConfigError

WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
"""Sleep instead of spinning: OpenMP's own setting, and those of GNU's and Intel's libraries, which may overrule it.
A user who has set one of them has chosen a way to wait: then none is set."""

CACHES = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16"}
"""oneDNN, torch's library for half precision and convolutions on the CPU, keeps the code that it makes for every new
size, up to 1024 of them, and every window asks for other numbers of points. A window in bfloat16 takes no longer with
16 of them (3.1 s of the processor with 16 and 64, 3.2 s with 1024)."""

COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
MOST_THREADS = 1024
PREFERRED = -10
"""Niceness of the live lane where it cannot have a real-time priority."""
LOWEST_REALTIME = 1
"""Before every ordinary thread and after everything that a robot gives a real-time priority of its own.

Niceness is weighed within a session only (autogroups) and a control group: at a load of 10 on two cores a live lane
with a niceness of -10 waited 16 ms for a core (median; 95 %: 32 ms) where one of this priority did not wait."""
TURN_S = 1e-3
"""So long a thread may keep the interpreter while another one waits for it; Python's own default is 5 ms.

At a load of 11 on two cores 95 % of the live lane's poses came within 25 ms instead of 31."""
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def prepare(threads: int = 0, environment: MutableMapping[str, str] | None = None) -> None:
    """Set what the numeric libraries read when they are loaded.

    Where torch is loaded already (a node that is configured anew), a given number of threads is handed to it; how
    threads wait can no longer be changed then.

    Args:
        threads: of torch's computations; 0 leaves it to ``OMP_NUM_THREADS`` and, where that is not set, takes every
            core that this process may use.
        environment: what to set it in; None = this process's own.
    Raises:
        ConfigError: a negative or absurd number of threads.
    """
    if not 0 <= threads <= MOST_THREADS:
        raise ConfigError(f"threads is {threads}, wanted 1 to {MOST_THREADS}, or 0 for one a core")
    target = os.environ if environment is None else environment
    if not any(name in target for name in WAITING):
        target.update(WAITING)
    for name, value in CACHES.items():
        target.setdefault(name, value)
    if threads:
        target.update({name: str(threads) for name in COUNTS})
    elif not any(name in target for name in COUNTS):
        target.update({name: str(usable_cores()) for name in COUNTS})
    torch = sys.modules.get("torch")
    if threads and environment is None and torch is not None:
        torch.set_num_threads(threads)


def prefer_this_thread(nice: int = PREFERRED, *, realtime: bool = False) -> bool:
    """Let the calling thread go before others; False where the system does not allow it.

    For short work that must not wait for long one: on Linux, with the right to it (root, CAP_SYS_NICE, a limit
    ``rtprio`` or ``nice``), a thread has a priority of its own.

    Args:
        nice: from -20 (first) to 19, among the threads of its process.
        realtime: before all ordinary threads of the machine instead, where that is allowed and it has several cores.
    """
    if realtime and _schedule(_REALTIME, LOWEST_REALTIME):
        return True
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
    except (AttributeError, OSError):  # another system, or not allowed
        return False
    return True


def take_short_turns() -> None:
    """Let this process's threads hand the interpreter on sooner; for a program that has to answer beside long work."""
    sys.setswitchinterval(min(TURN_S, sys.getswitchinterval()))


@contextmanager
def going_first() -> Iterator[None]:
    """The calling thread goes before all ordinary ones of the machine meanwhile, where that is allowed.

    Whoever holds the interpreter's lock and has no core makes every other thread of the process wait, too.
    """
    changed = _is_ordinary() and _schedule(_REALTIME, LOWEST_REALTIME)
    try:
        yield
    finally:
        if changed:
            _schedule(_ORDINARY, 0)


_RESET = getattr(os, "SCHED_RESET_ON_FORK", 0)  # threads of libraries that are started meanwhile stay ordinary
_REALTIME, _ORDINARY = getattr(os, "SCHED_RR", 0) | _RESET, getattr(os, "SCHED_OTHER", 0) | _RESET


def _is_ordinary() -> bool:
    """Whether the calling thread has no scheduling of another kind, which would be someone's choice."""
    return hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) & ~_RESET == os.SCHED_OTHER


def _schedule(policy: int, priority: int) -> bool:
    """Give the calling thread a policy; not where a thread that goes first would leave no core to the others."""
    if not hasattr(os, "sched_setscheduler") or _cores() < 2:
        return False
    try:
        os.sched_setscheduler(0, policy, os.sched_param(priority))
    except OSError:  # not allowed
        return False
    return True


@cache
def _cores() -> int:
    return usable_cores()


def usable_cores(quota: Path = _QUOTA) -> int:
    """Cores that this process may use: those it is bound to, or fewer where its control group has a smaller share.

    A container with four cores of a machine with 64 sees 64, and as many threads as that hinder one another.

    Args:
        quota: the control group's file.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        share, period = quota.read_text(encoding="ascii").split()
        if share != "max":
            cores = min(cores, max(1, round(int(share) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):
        pass  # no control groups, or of another kind
    return cores


def asked_threads(words: list[str]) -> int:
    """The number after ``--threads`` in the words of a command, before anything parses them; 0 where there is none.

    What cannot be understood is left to the parser to refuse.

    >>> asked_threads(["run", "clip", "--threads", "2"]), asked_threads(["run", "--threads=3"]), asked_threads(["run"])
    (2, 3, 0)
    """
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name == "--threads":
            text = value if equals else "".join(words[place + 1 : place + 2])
            return int(text) if text.isdecimal() and int(text) <= MOST_THREADS else 0
    return 0
