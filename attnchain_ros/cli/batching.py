"""Clips over the workers of Ray: one process a device, which loads the networks once and runs clip after clip.

A worker is a process of its own with the surroundings of a single run (its threads, how these wait), so that a clip's
results are those of ``attnchain run``. A worker that ends (killed, out of memory) is replaced; its clip counts as
failed once.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import AttnChainError, ConfigError
from ..threads import CACHES, COUNTS, WAITING
from . import run as one_clip
from .main import OK
from .rolling import load_networks, say

_STORE_BYTES = 100 * 2**20
"""Of Ray's shared memory, which holds arguments and outcomes only: results go to files."""


@dataclass(frozen=True)
class Job:
    """One clip.

    Attributes:
        name: of the clip, and of its folder.
        args: of ``attnchain run``.
        log: file that gets what a single run would print.
        attempt: 1, or 2 after a failure.
    """

    name: str
    args: argparse.Namespace
    log: Path
    attempt: int = 1


@dataclass(frozen=True)
class Ended:
    """How a clip ended.

    Attributes:
        error: why it failed; empty = it did not.
        seconds: that it took.
    """

    error: str
    seconds: float


class _Worker:
    """What a worker's process holds: the networks of the first clip, which are every clip's."""

    def load(self, args: argparse.Namespace) -> tuple[int, str]:
        """Load them: number of the process, and what and where they are."""
        self.networks = load_networks(args)
        backbone = self.networks.backbone
        return os.getpid(), f"{backbone.name} on {backbone.device}"

    def run(self, job: Job) -> Ended:
        """One clip, with everything that it says in its log."""
        started = time.monotonic()
        job.log.parent.mkdir(parents=True, exist_ok=True)
        error = ""
        with (
            job.log.open("w" if job.attempt == 1 else "a", encoding="utf-8", buffering=1) as log,
            contextlib.redirect_stdout(log),
            contextlib.redirect_stderr(log),
        ):
            try:
                if one_clip.run(job.args, self.networks) != OK:
                    error = "stopped before its end"
            except (AttnChainError, OSError, MemoryError) as reason:
                error = str(reason) or type(reason).__name__
            except Exception as reason:  # of which the log tells more; the other clips go on
                error = f"{type(reason).__name__}: {reason}, a fault of attnchain_ros (see {job.log})"
                log.write(traceback.format_exc())
        return Ended(error, time.monotonic() - started)


def run_jobs(jobs: Sequence[Job], workers: int, address: str | None, on_end: Callable[[Job, Ended], None]) -> None:
    """Run all clips; one that fails is tried once more, after the others.

    Args:
        jobs: in the order in which they begin.
        workers: processes; 0 = one for each GPU that there is, or one on the CPU.
        address: of a running cluster ("auto": of this machine); None starts one here.
        on_end: called after each attempt, in the order in which they end.
    Raises:
        ConfigError: more workers than GPUs.   AttnChainError: Ray is not there, or workers cannot load the networks.
    """
    if not jobs:
        return
    with _cluster(workers, address) as ray:
        crew = _Crew(ray, jobs[0].args, workers)
        waiting = deque(jobs)
        while waiting or crew.busy:
            while waiting and crew.idle:
                crew.begin(waiting.popleft())
            if (found := crew.wait()) is not None:
                job, ended = found
                on_end(job, ended)
                if ended.error and job.attempt == 1:
                    waiting.append(replace(job, attempt=2))


class _Crew:
    """The workers, by number: what each does, and a new process for one that ended. All load at the same time.

    Attributes:
        idle: who has nothing to do; a worker that loads is not among them.
    """

    def __init__(self, ray: Any, args: argparse.Namespace, workers: int) -> None:
        self._ray, self._args = ray, args
        on_gpu = args.device in ("auto", "cuda")
        there = int(ray.cluster_resources().get("GPU", 0)) if on_gpu else 0
        if there and workers > there:
            raise ConfigError(f"--workers is {workers}, but Ray sees {there} GPU and each worker takes one")
        surroundings = {name: os.environ[name] for name in (*WAITING, *CACHES, *COUNTS) if name in os.environ}
        self._kind = ray.remote(
            num_cpus=0, num_gpus=1 if there else 0, max_restarts=0, runtime_env={"env_vars": surroundings}
        )(_Worker)
        self.idle: deque[int] = deque()
        self._workers: dict[int, Any] = {}
        self._processes: dict[int, int] = {}
        self._doing: dict[Any, tuple[int, Job | None]] = {}
        for number in range(workers or there or 1):
            self._start(number)

    @property
    def busy(self) -> bool:
        """Whether a clip is running."""
        return any(job is not None for _, job in self._doing.values())

    def begin(self, job: Job) -> None:
        """Hand a clip to the worker that has been idle for longest."""
        number = self.idle.popleft()
        again = "" if job.attempt == 1 else " again"
        say(f"{job.name}: begins{again} on worker {number + 1} (process {self._processes[number]})")
        self._doing[self._workers[number].run.remote(job)] = number, job

    def wait(self) -> tuple[Job, Ended] | None:
        """Wait until a clip ends, which is returned, or a worker has loaded the networks.

        Raises:
            AttnChainError: a worker cannot load the networks.
        """
        done, _ = self._ray.wait(list(self._doing), num_returns=1)
        number, job = self._doing.pop(done[0])
        if job is None:
            self._loaded(number, done[0])
            self.idle.append(number)
            return None
        try:
            ended: Ended = self._ray.get(done[0])
            self.idle.append(number)
        except self._ray.exceptions.RayError as error:
            told = str(error).strip().splitlines()[0]
            ended = Ended(f"process {self._processes[number]} ended (killed, or out of memory): {told}", 0.0)
            self._start(number)
        return job, ended

    def _start(self, number: int) -> None:
        self._workers[number] = worker = self._kind.remote()
        self._doing[worker.load.remote(self._args)] = number, None

    def _loaded(self, number: int, reference: Any) -> None:
        try:
            self._processes[number], where = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise AttnChainError(f"worker {number + 1} cannot load the networks: {error.cause}") from error
        except self._ray.exceptions.RayError as error:
            raise AttnChainError(f"worker {number + 1} ended while it loaded the networks: {error}") from error
        say(f"worker {number + 1}: {where} (process {self._processes[number]})")


@contextmanager
def _cluster(workers: int, address: str | None) -> Iterator[Any]:
    """Ray, connected, and left again."""
    # What a robot's clips are called is nobody's business; Ray asks for this before it is imported.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise AttnChainError("'attnchain batch' needs the extra: pip install 'attnchain_ros[batch]'") from error
    try:
        if address is None:
            ray.init(
                num_cpus=max(1, workers),
                include_dashboard=False,
                object_store_memory=_STORE_BYTES,
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
        else:
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, ValueError) as error:
        raise AttnChainError(f"no Ray cluster at {address}: {error}") from error
    except Exception as error:  # what Ray raises where its own processes do not come up is nothing narrower
        raise AttnChainError(f"Ray did not start ({error}): is the machine too busy, or its memory full?") from error
    try:
        yield ray
    finally:
        ray.shutdown()
