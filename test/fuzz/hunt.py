"""Throw garbage at every reader: each gives something usable or an error of ours that names the file, soon.

    PYTHONPATH=.:test python -m fuzz.hunt --minutes 30          # what is found is printed with its number
    PYTHONPATH=.:test python -m fuzz.hunt --case bags 1234      # one case again, with its traceback

A case is a kind of input and a number, from which everything else follows. Readers run in a process of their own, whose
memory is bounded; one that hangs, or ends it, is a fault like any exception that is not ours.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from . import seeds
from .spoiling import NAMES, spoil_file

KINDS = (*seeds.MAKERS, "arguments")
LIMIT_S = 20.0
"""The slowest good reading takes 0.1 s; other processes may take the cores."""
MEMORY = 4 << 30
"""Bytes that reading a file of kilobytes may take beyond what the process has."""


class Fault(NamedTuple):
    """What went wrong in a case, and what the case was."""

    kind: str
    number: int
    story: str
    text: str


class Case:
    """One spoiled input in a place of its own."""

    def __init__(self, kind: str, number: int, good: Path, place: Path) -> None:
        """Copy the good files of a kind and spoil one of them."""
        self.kind, self.number = kind, number
        chosen = random.Random(f"{kind} {number}")
        self.masks: Path | None = None
        if kind == "arguments":
            self.path, self.story = place / str(number), "texts"
            return
        shutil.copytree(good / kind, place)
        self.path = chosen.choice(seeds.inputs(kind, place))
        victims = [self.path]
        if self.path.is_dir():
            victims = sorted(path for path in self.path.rglob("*") if path.is_file())
        elif self.path.suffix in (".obj", ".gltf"):
            victims = sorted(path for path in place.iterdir() if path.stem in ("skin", "box") or path.suffix == ".bin")
        elif kind == "folder":
            victims = sorted(path for path in place.rglob("*") if path.is_file())
        everything = sorted(path for path in good.rglob("*") if path.is_file())
        self.story = spoil_file(chosen.choice(victims), everything, chosen)
        if kind != "datasets" and chosen.random() < 0.15:  # whose names say what they are
            target = place / chosen.choice(NAMES).replace("{}", self.path.suffix)
            if len(target.name.encode()) < 255 and not target.exists():
                self.path = self.path.rename(target)
                self.story += f", called {target.name!r}"
        if kind == "videos" and chosen.random() < 0.2:
            self.masks, self.path = self.path, good / "videos" / "plain.mp4"
            self.story += ", as masks"


Read = Callable[[Case], str | None]
"""What reads a case: what went wrong, or None."""


def judged(case: Case, read: Callable[[], None]) -> str | None:
    """What is wrong with how a reading ended: an error that names no file, or one that is not ours."""
    from attnchain_ros.errors import AttnChainError

    try:
        read()
    except AttnChainError as error:
        named = {case.path, *case.path.rglob("*")} | ({case.masks} if case.masks else set())
        if not any(path.name in str(error) for path in named):
            return f"the error names no file: {type(error).__name__}: {error}"
    # Whatever else may come out of a reader is what is hunted.
    except BaseException:
        return traceback.format_exc()
    return None


def read_case(case: Case) -> str | None:
    """Read it with the package's reader of its kind."""
    from .reading import arguments, clip, reader_of

    if case.kind == "arguments":
        return judged(case, lambda: arguments(case.path))
    if case.masks is not None:
        return judged(case, lambda: clip(case.path, case.masks))
    return judged(case, lambda: reader_of(case.kind, case.path)(case.path))


def _work(connection: Connection, good: Path, read: Read) -> None:
    """Read one case after another, until nobody asks."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)  # libpng, FFmpeg and OpenCV have much to say
    if read is read_case:
        importlib.import_module(f"{__package__}.reading")  # before the memory is counted
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    connection.send("ready")
    while True:
        try:
            kind, number = connection.recv()
        except EOFError:
            return
        with tempfile.TemporaryDirectory() as scratch:
            case = Case(kind, number, good, Path(scratch) / "in")
            connection.send(("story", case.story))
            connection.send(("result", read(case)))


class Reader:
    """A process that reads cases; a new one where one is lost."""

    def __init__(self, good: Path, read: Read = read_case, limit_s: float = LIMIT_S) -> None:
        self._good, self._read, self._limit_s = good, read, limit_s
        self._process: multiprocessing.process.BaseProcess | None = None

    def read(self, kind: str, number: int) -> Fault | None:
        """One case."""
        if self._process is None:
            self._start()
        story = "?"
        try:
            self._connection.send((kind, number))
            while True:
                if not self._connection.poll(self._limit_s):
                    self.close()
                    return Fault(kind, number, story, f"no answer within {self._limit_s:g} s")
                what, text = self._connection.recv()
                if what == "result":
                    return None if text is None else Fault(kind, number, story, text)
                story = text
        except (EOFError, BrokenPipeError, ConnectionResetError):
            assert self._process is not None
            self._process.join()
            code = self._process.exitcode
            self._process = None
            return Fault(kind, number, story, f"the process ended with {code}")

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_work, args=(other, self._good, self._read), daemon=True)
        self._process.start()
        other.close()
        self._connection.recv()


def make_seeds(place: Path) -> Path:
    """The good files of every kind, each in a folder of its own."""
    for kind, make in seeds.MAKERS.items():
        (place / kind).mkdir(parents=True)
        make(place / kind)
    return place


def hunt(
    good: Path, seconds: float, first: int = 0, kinds: tuple[str, ...] = KINDS, least: int = 0
) -> Iterator[Fault | None]:
    """One case of each kind after another, until the time is up and there were ``least``; what went wrong, or None."""
    reader = Reader(good)
    try:
        end = time.monotonic() + seconds
        number = first
        while time.monotonic() < end or number < first + least:
            for kind in kinds:
                yield reader.read(kind, number)
            number += 1
    finally:
        reader.close()


def main() -> int:
    """Hunt for some minutes, or read one case again."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only these")
    parser.add_argument("--case", nargs=2, metavar=("KIND", "NUMBER"), help="one case again")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        good = make_seeds(Path(scratch) / "good")
        if words.case:
            case = Case(words.case[0], int(words.case[1]), good, Path(scratch) / "in")
            sys.stdout.write(f"{case.path}: {case.story}\n{read_case(case) or 'fine'}\n")
            return 0
        count, faults = 0, 0
        for fault in hunt(good, 60 * words.minutes, words.first, tuple(words.kind or KINDS)):
            count += 1
            if fault is not None:
                faults += 1
                sys.stdout.write(f"--- {fault.kind} {fault.number} ({fault.story})\n{fault.text}\n")
                sys.stdout.flush()
        sys.stdout.write(f"{count} cases, {faults} faults\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
