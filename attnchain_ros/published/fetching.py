"""Fetching published files: what is missing, whether there is room, each file whole or not there, and converted."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import FetchError, FileFormatError
from ..files.atomic import make_folder, remove_empty
from .hub import Hub
from .manifest import Manifest, PublishedFile, in_gigabytes, read_manifest, sha256_of, write_manifest
from .states import FileState, State, state_of

UNFINISHED = ".fetching"
"""Folder of unfinished files below the checkpoint folder."""

CONVERTED_LIST = "published.json"
"""In the folder of a converted copy: its files with their SHA-256."""

SPARE_BYTES = 256 << 20
"""Left free on the disk beside what is written."""

Tell = Callable[[str], None]
Advance = Callable[[int], object]


@dataclass(frozen=True)
class FetchOptions:
    """How to fetch.

    Attributes:
        precision: float32 = the files as published; bfloat16 = also a converted copy, in the folder ``bfloat16``.
        drop_float32: remove each published file once its copy is there, so that both never lie there in full.
        hub: where from.
    """

    precision: str = "float32"
    drop_float32: bool = False
    hub: Hub = field(default_factory=Hub)

    @property
    def converts(self) -> bool:
        """Whether a copy is written."""
        return self.precision != "float32"


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        fetch: files that are missing or damaged.
        convert: files of which the copy is missing, whether they are there already or fetched first.
        bytes_to_fetch: over the network, without what unfinished files hold.
        bytes_needed: on the disk at the fullest moment, beside what lies there now.
    """

    fetch: tuple[PublishedFile, ...]
    convert: tuple[PublishedFile, ...]
    bytes_to_fetch: int
    bytes_needed: int


def copy_folder(folder: Path, precision: str) -> Path:
    """Where the converted copy of a checkpoint folder lies."""
    return folder / precision


def fetch(
    manifest: Manifest,
    folder: Path,
    options: FetchOptions = FetchOptions(),
    tell: Tell = lambda line: None,
    advance: Advance = lambda count: None,
) -> Path:
    """Bring the published files into a folder; what is there and whole is not fetched again.

    Every file is fetched into ``.fetching``, compared with its SHA-256 and then renamed: under its own name a file is
    whole or not there. After a failure the same call goes on where it stopped.

    Args:
        manifest: the files.
        folder: the checkpoint folder; made if it is not there.
        options: how.
        tell: gets a line for each step.
        advance: is told how many bytes were hashed or converted.
    Returns:
        the folder to load weights from: ``folder``, or that of the converted copy.
    Raises:
        FetchError: it could not be done; the message says what to do.
        FileFormatError: ``folder`` is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise FileFormatError(f"{folder} is a file, wanted a folder for the weights")
    made = make_folder(folder)
    try:
        with _alone(folder):
            plan = make_plan(manifest, folder, options, advance)
            _check_room(plan, folder)
            tell(_summary(plan, manifest))
            for file in in_order(manifest, options):
                if file in plan.fetch:
                    _fetch_file(file, folder, options.hub, tell, advance)
                if options.converts and file in plan.convert:
                    _convert(file, folder, options.precision, tell, advance)
                if options.converts and options.drop_float32:
                    _drop(folder / file.path, folder)
    finally:
        remove_empty(made)
    return copy_folder(folder, options.precision) if options.converts else folder


def in_order(manifest: Manifest, options: FetchOptions) -> list[PublishedFile]:
    """The files as they are fetched: the largest first where each is dropped once converted, which takes less room."""
    if options.drop_float32:
        return sorted(manifest.files, key=lambda file: file.size, reverse=True)
    return list(manifest.files)


def make_plan(manifest: Manifest, folder: Path, options: FetchOptions, advance: Advance = lambda count: None) -> Plan:
    """What is missing in a folder, and how much room that takes.

    Raises:
        FetchError: a file of another content lies where a published one belongs; it is never overwritten.
    """
    copied = _whole_copies(copy_folder(folder, options.precision), advance) if options.converts else frozenset()
    files = in_order(manifest, options)
    convert = [file for file in files if options.converts and file.path not in copied]
    wanted = convert if options.drop_float32 else files
    states = [state_of(folder, file, advance=advance) for file in wanted]
    _refuse_others(folder, states)
    missing = [state.file for state in states if state.state is not State.WHOLE]
    to_fetch = 0
    now = peak = 0
    for file in wanted:
        half = file.size // 2 if file in convert and file.holds_tensors else file.size if file in convert else 0
        if file in missing:
            rest = file.size - _part_size(folder, file)
            to_fetch += rest
            now += rest
        now += half
        peak = max(peak, now)
        if options.converts and options.drop_float32:
            now -= file.size
    return Plan(tuple(missing), tuple(convert), to_fetch, peak)


def _refuse_others(folder: Path, states: list[FileState]) -> None:
    others = [state for state in states if state.state is State.OTHER]
    if others:
        first = others[0]
        more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
        raise FetchError(
            f"{folder / first.file.path} is not the published file: {first.reason}{more}; it is left as it is: move "
            "it away, or fetch into another folder with --to"
        )


def _check_room(plan: Plan, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if plan.bytes_needed and plan.bytes_needed + SPARE_BYTES > free:
        raise FetchError(
            f"the disk of {folder} has {in_gigabytes(free)} free, {in_gigabytes(plan.bytes_needed + SPARE_BYTES)} are "
            "needed: make room, or choose another folder with --to (--dtype bfloat16 --drop-float32 needs less)"
        )


def _summary(plan: Plan, manifest: Manifest) -> str:
    if not plan.fetch:
        return f"all {len(manifest.files)} files are there, with the right SHA-256"
    return f"fetching {len(plan.fetch)} of {len(manifest.files)} files, {in_gigabytes(plan.bytes_to_fetch)}"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second fetch out of the same folder; unfinished files lie in a folder of their own while it lasts."""
    place = folder / UNFINISHED
    try:
        place.mkdir(exist_ok=True)
        lock = (place / "lock").open("w")
    except OSError as error:
        raise FetchError(f"cannot write in {folder}: {error.strerror or error}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FetchError(f"another fetch is at work in {folder}: wait until it is done") from error
        try:
            yield
        finally:
            if not any(path.suffix == ".part" for path in place.iterdir()):
                shutil.rmtree(place, ignore_errors=True)


def _part(folder: Path, file: PublishedFile) -> Path:
    """The unfinished file, named after the content that it shall have."""
    return folder / UNFINISHED / f"{file.sha256[:32]}.part"


def _part_size(folder: Path, file: PublishedFile) -> int:
    part = _part(folder, file)
    return min(part.stat().st_size, file.size) if part.is_file() else 0


def _fetch_file(file: PublishedFile, folder: Path, hub: Hub, tell: Tell, advance: Advance) -> None:
    part, place = _part(folder, file), folder / file.path
    begun = _part_size(folder, file)
    went_on = f", going on after {in_gigabytes(begun)}" if begun else ""
    tell(f"{file.path}: {in_gigabytes(file.size)} from {file.repo} at {file.revision[:12]}{went_on}")
    hub.download(file, part)
    got = sha256_of(part, advance)
    if got != file.sha256 and begun:
        # What lay there may have been damaged; only bytes of one go tell whether the hub's are wrong.
        tell(f"{file.path}: the unfinished file was damaged, fetching it from its start")
        part.unlink()
        hub.download(file, part)
        got = sha256_of(part, advance)
    if got != file.sha256:
        part.unlink()
        raise FetchError(
            f"{file.path} has the SHA-256 {got[:12]}..., wanted {file.sha256[:12]}...: it was thrown away; call this "
            "again, and if it happens again something on the way to the hub changes files"
        )
    place.parent.mkdir(parents=True, exist_ok=True)
    with part.open("rb") as done:
        os.fsync(done.fileno())
    part.replace(place)


def _convert(file: PublishedFile, folder: Path, precision: str, tell: Tell, advance: Advance) -> None:
    """Write the copy of one file and list it."""
    source, target = folder / file.path, copy_folder(folder, precision) / file.path
    try:
        if file.holds_tensors:
            # torch takes seconds to import.
            from .converting import convert_file

            tell(f"{file.path}: writing it in {precision}")
            sha256 = convert_file(source, target, precision, advance)
        else:
            from ..files.atomic import write_bytes

            write_bytes(target, source.read_bytes())
            sha256 = file.sha256
    except OSError as error:
        reason = error.strerror or error
        raise FetchError(f"{target} cannot be written: {reason}; nothing half-written was left") from error
    _list_copy(copy_folder(folder, precision), replace(file, size=target.stat().st_size, sha256=sha256))


def _list_copy(copies: Path, file: PublishedFile) -> None:
    path = copies / CONVERTED_LIST
    others = [other for other in copied_files(copies) if other.path != file.path]
    write_manifest(path, Manifest((*others, file)))


def copied_files(copies: Path) -> tuple[PublishedFile, ...]:
    """The files of a converted copy, with their own sizes and SHA-256; none where there is no copy."""
    path = copies / CONVERTED_LIST
    return read_manifest(path).files if path.is_file() else ()


def _whole_copies(copies: Path, advance: Advance) -> frozenset[str]:
    states = (state_of(copies, file, advance=advance) for file in copied_files(copies))
    return frozenset(state.file.path for state in states if state.state is State.WHOLE)


def _drop(path: Path, folder: Path) -> None:
    """Remove a published file and the folders that are empty then."""
    path.unlink(missing_ok=True)
    for parent in path.relative_to(folder).parents:
        place = folder / parent
        if place != folder and place.is_dir() and not any(place.iterdir()):
            place.rmdir()
