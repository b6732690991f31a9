"""Files that are either complete or not there, and paths that stay inside one folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ..errors import FileFormatError, InputError


@contextmanager
def write_then_rename(path: Path) -> Iterator[IO[bytes]]:
    """A binary file to write to, which takes its name only when the block ends without an error.

    The temporary lies in the same folder (a rename across file systems is a copy, and not atomic), is flushed to
    the disk before the rename, and is removed when the block fails. Missing folders are made.

    Raises:
        FileFormatError: ``path`` is a folder, or its folder cannot be made or written to.
    """
    path = Path(path)
    if path.is_dir():
        raise FileFormatError(f"{path} is a folder, wanted the name of a file to write")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise FileFormatError(f"cannot write in {path.parent}: {error.strerror or error}") from error
    temporary = Path(name)
    try:
        with os.fdopen(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files for the owner alone; results are as readable as any other new file.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file at once (``write_then_rename``)."""
    with write_then_rename(path) as file:
        file.write(data)


def make_folder(path: Path) -> list[Path]:
    """Make a folder with its parents; returns those that were not there before, the innermost first."""
    path = Path(path)
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    return made


def remove_empty(folders: list[Path]) -> None:
    """Take folders away again (``make_folder``), as far as nothing lies in them."""
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


@contextmanager
def folder_then_rename(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """A new folder of the same name in a temporary place, moved to ``path`` when the block ends without an error.

    After an error nothing is left, parents that were made for it included.

    Args:
        path: the folder to make.
        overwrite: replace an existing folder; otherwise it is an error.
    Raises:
        FileFormatError: ``path`` exists and ``overwrite`` is False, or it is a file.
    """
    path = Path(path)
    if path.exists() and (not overwrite or not path.is_dir()):
        raise FileFormatError(f"{path} exists already: choose another name or remove it first")
    made = make_folder(path.parent)
    place = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        yield place / path.name
        if path.exists():
            os.replace(path, place / "replaced")
        os.replace(place / path.name, path)
    finally:
        shutil.rmtree(place, ignore_errors=True)
        remove_empty(made)


def inside(output_dir: Path, user_path: str | Path, folder: str = "output folder") -> Path:
    """The absolute path of a user's file name below ``output_dir``, refusing every way out of it.

    Args:
        output_dir: folder that must not be left; may itself be a link.
        user_path: relative, or absolute but below ``output_dir``.
        folder: what the folder is called in errors.
    Returns:
        the resolved path; its folder need not exist yet.
    Raises:
        InputError: the path is empty, has a ``..``, is the folder itself, or leads outside (also through links).
    """
    text = str(user_path)
    if not text.strip() or "\0" in text:
        raise InputError(f"the file name is empty: give one, relative to the {folder}")
    root = Path(output_dir).resolve()
    path = Path(text)
    if ".." in path.parts:
        raise InputError(f"{text!r} has a '..' in it: give a name below {root}")
    full = (root / path).resolve()
    if full == root:
        raise InputError(f"{text!r} is the {folder} itself: give the name of a file in it")
    if not full.is_relative_to(root):
        raise InputError(f"{text!r} leads out of {root} (to {full}): give a name below it")
    return full
