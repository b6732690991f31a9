"""Running experiments: clips over processes, every finished piece on disk, and the same run gone on with later."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import torch

from ...backbone import load_backbone
from ...errors import ConfigError
from ...options import resolve
from ...workers import end_with_parent
from ..evaluation.actionbench_config import REDUCED, ActionBenchConfig
from ..evaluation.runs import RunFile
from ..report import CELLS, LENGTHS, write_report
from ..table import concat
from . import (
    camera,
    dirty,
    long,
    motion,
    networks,
    pieces,
    poses,
    presets,
    reading,
    sensitivity,
    steps,
    summary,
    targets,
    tracks,
)
from .bench import Bench, Experiment, Task

if TYPE_CHECKING:
    import pandas as pd

EXPERIMENTS: dict[str, Experiment] = {
    module.EXPERIMENT.name: module.EXPERIMENT
    for module in (
        summary,
        networks,
        steps,
        reading,
        tracks,
        camera,
        poses,
        sensitivity,
        long,
        dirty,
        presets,
        motion,
        pieces,
    )
}
"""All experiments in the order in which they run and are reported."""

DEFAULT_CLIPS = 30


@dataclass(frozen=True)
class Setup:
    """What a process needs to make its own ``Bench``.

    Attributes:
        weights: checkpoint folder, None = the package's small one.
        device, dtype: as for ``load_backbone``.
        settings: (dotted option, value) pairs changed by the user.
        counts, image_size: as in ``Bench``.
    """

    weights: Path | None = None
    device: str = "auto"
    dtype: str = "auto"
    settings: tuple[tuple[str, Any], ...] = ()
    counts: ActionBenchConfig = REDUCED
    image_size: int = 256


# One entry in each process: a worker gets task after task and loads the networks once.
@functools.lru_cache(maxsize=1)
def open_bench(setup: Setup) -> Bench:
    """Load the networks of a setup.

    Raises:
        WeightsError, ConfigError: they cannot be loaded.
    """
    backbone = load_backbone(setup.weights, setup.device, setup.dtype)
    return Bench(backbone, resolve(backbone, dict(setup.settings)), setup.counts, setup.image_size)


def run_task(setup: Setup, task: Task) -> pd.DataFrame:
    """One task in this process."""
    return EXPERIMENTS[task.experiment].run(open_bench(setup), task)


def run_experiment(
    name: str,
    setup: Setup,
    clips: int,
    file: RunFile,
    processes: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
    baselines: Mapping[tuple[str, str], pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """Run an experiment on the first clips of its splits.

    Args:
        name: of the experiment.
        setup: networks and options.
        clips: how many of each split.
        file: finished tasks; new ones are added as they finish. A task with a failure is tried again.
        processes: how many at once, one thread each; 1 computes here.
        progress: called with name, tasks done and tasks planned so far.
        baselines: by split and clip, rows of ``Scene.baselines`` that need not be measured again.
    Returns:
        all rows, in the order of the clips.
    Raises:
        ConfigError: unknown experiment or a count below 1.   AttnChainError: the networks cannot be loaded.
    """
    if name not in EXPERIMENTS:
        raise ConfigError(f"there is no experiment {name!r}; there are {', '.join(EXPERIMENTS)}")
    if clips < 1 or processes < 1:
        raise ConfigError(f"{clips} clips in {processes} processes: both must be at least 1")
    experiment = EXPERIMENTS[name]
    known = baselines if baselines is not None and experiment.shares_baselines else {}
    first = [
        Task(name, split, clip, baselines=(split, str(clip)) not in known)
        for split in experiment.splits
        for clip in experiment.clips(clips)
    ]
    tables = [_run_tasks(setup, first, file, processes, progress, 0)]
    keys = ((task.split, str(task.clip)) for task in first)
    tables += [known[key].assign(experiment=name) for key in keys if key in known]
    if experiment.follow_up is not None:
        part = experiment.follow_up(open_bench(setup), tables[0])
        if part:
            more = [dataclasses.replace(task, part=part) for task in first]
            tables.append(_run_tasks(setup, more, file, processes, progress, len(first)))
    return concat(tables)


def _run_tasks(
    setup: Setup,
    tasks: Sequence[Task],
    file: RunFile,
    processes: int,
    progress: Callable[[str, int, int], None] | None,
    before: int,
) -> pd.DataFrame:
    found = {task: table for task in tasks if (table := file.finished(task.piece)) is not None}
    waiting = [task for task in tasks if task not in found]
    total = before + len(tasks)
    done = total - len(waiting)
    if progress is not None and tasks:
        progress(tasks[0].experiment, done, total)
    for task, table in _compute(setup, waiting, processes):
        file.add(task.piece, table)
        found[task] = table
        done += 1
        if progress is not None:
            progress(task.experiment, done, total)
    return concat(found[task] for task in tasks)


def _compute(setup: Setup, tasks: Sequence[Task], processes: int) -> Iterator[tuple[Task, pd.DataFrame]]:
    """Tables of tasks as they finish, in any order."""
    if processes == 1 or len(tasks) < 2:
        for task in tasks:
            yield task, run_task(setup, task)
        return
    with one_thread_each():
        # Spawned, since forking a process in which torch runs threads may hang.
        pool = ProcessPoolExecutor(
            min(processes, len(tasks)), mp_context=get_context("spawn"), initializer=start_worker
        )
        try:
            futures = {pool.submit(run_task, setup, task): task for task in tasks}
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def start_worker() -> None:
    """One thread for torch and OpenCV in this process, which lives no longer than the one that started it."""
    end_with_parent()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let new processes inherit one thread for numpy's libraries, which read it when they are loaded."""
    name = "OMP_NUM_THREADS"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def write_results(path: Path, bench: Bench, tables: Mapping[str, pd.DataFrame], identity: Mapping[str, Any]) -> str:
    """Write the report of all experiments and return its text.

    Args:
        path: of the Markdown file; its pictures go to a folder of the same name without the ending.
        bench: networks and options of the run.
        tables: by experiment.
        identity: what the run was, a line each.
    Raises:
        FileFormatError: it cannot be written.
    """
    intro = (
        f"{LENGTHS} {CELLS} The baselines mesh that stays still, nearest surface point and rigid ICP start from the "
        "same anchor; the last two are given the true surface of every frame."
    )
    sections = [EXPERIMENTS[name].describe(bench, table) for name, table in tables.items()]
    if any(name in tables for name in targets.MEASURED_BY):
        sections.insert(0, targets.describe(bench, tables))
    return write_report(path, "The experiments, in small", identity, intro, sections)
