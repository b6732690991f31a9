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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import AttnChainError, ConfigError
from ..threads import CACHES, COUNTS, WAITING
from .rolling import Networks, load_networks, say
from .run import run_clip

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


@dataclass
class _Worker:
    """What a worker's process holds."""

    networks: Networks | None = field(default=None)

    def load(self, args: argparse.Namespace) -> tuple[int, str]:
        """Load the networks of the first clip, which are every clip's: number of the process, and where they are."""
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
                run_clip(job.args, self.networks)
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
        running: dict[Any, tuple[Job, int]] = {}
        while waiting or running:
            while waiting and (number := crew.free()) is not None:
                job = waiting.popleft()
                again = "" if job.attempt == 1 else " again"
                say(f"{job.name}: begins{again} on worker {number + 1} (process {crew.process(number)})")
                running[crew.begin(number, job)] = job, number
            done, _ = ray.wait(list(running), num_returns=1)
            job, number = running.pop(done[0])
            ended = crew.end(number, done[0])
            on_end(job, ended)
            if ended.error and job.attempt == 1:
                waiting.append(replace(job, attempt=2))


class _Crew:
    """The workers: who is free, and a new one for one that ended."""

    def __init__(self, ray: Any, args: argparse.Namespace, workers: int) -> None:
        self._ray, self._args = ray, args
        on_gpu = args.device == "auto" or args.device.startswith("cuda")
        there = int(ray.cluster_resources().get("GPU", 0)) if on_gpu else 0
        if there and workers > there:
            raise ConfigError(f"--workers is {workers}, but Ray sees {there} GPU and each worker takes one")
        surroundings = {name: os.environ[name] for name in (*WAITING, *CACHES, *COUNTS) if name in os.environ}
        self._kind = ray.remote(
            num_cpus=0, num_gpus=1 if there else 0, max_restarts=0, runtime_env={"env_vars": surroundings}
        )(_Worker)
        self._workers: list[Any] = []
        self._processes: list[int] = []
        self._idle: deque[int] = deque()
        for number in range(workers or there or 1):
            self._workers.append(self._kind.remote())
            self._processes.append(0)
            self._idle.append(number)
        for number in range(len(self._workers)):
            self._load(number)

    def free(self) -> int | None:
        """A worker with nothing to do."""
        return self._idle.popleft() if self._idle else None

    def process(self, number: int) -> int:
        """Its process."""
        return self._processes[number]

    def begin(self, number: int, job: Job) -> Any:
        """Hand a clip to a worker; what ``end`` takes when it is done."""
        return self._workers[number].run.remote(job)

    def end(self, number: int, reference: Any) -> Ended:
        """How a clip ended; its worker is free again, or replaced."""
        try:
            ended: Ended = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            told = str(error).strip().splitlines()[0]
            ended = Ended(
                f"the worker's process {self._processes[number]} ended (killed, or out of memory): {told}", 0.0
            )
            self._workers[number] = self._kind.remote()
            self._load(number)
        self._idle.append(number)
        return ended

    def _load(self, number: int) -> None:
        try:
            self._processes[number], where = self._ray.get(self._workers[number].load.remote(self._args))
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
    try:
        yield ray
    finally:
        ray.shutdown()
