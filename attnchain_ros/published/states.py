"""Whether a file on the disk is the published one."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import WeightsError
from .manifest import PublishedFile, in_gigabytes, sha256_of


class State(enum.Enum):
    """What there is in the place of a published file."""

    WHOLE = "whole"
    MISSING = "missing"
    DAMAGED = "damaged"
    OTHER = "other"


@dataclass(frozen=True)
class FileState:
    """A published file and what is in its place.

    Attributes:
        file: the published file.
        state: whole = the same bytes (or, unless asked, the same size); other = readable, but not the published file.
        reason: why it is damaged or other; empty otherwise.
        precisions: number types of its tensors, as the format names them; empty where there are none.
    """

    file: PublishedFile
    state: State
    reason: str = ""
    precisions: tuple[str, ...] = ()


def state_of(
    folder: Path, file: PublishedFile, *, hashed: bool = True, advance: Callable[[int], object] = lambda count: None
) -> FileState:
    """Compare one file of a folder with what was published.

    Args:
        folder: the checkpoint folder.
        file: what should be there.
        hashed: read all bytes; otherwise only sizes and headers are compared.
        advance: is told how many bytes were read.
    """
    path = folder / file.path
    if not path.exists():
        return FileState(file, State.MISSING)
    try:
        size = path.stat().st_size
        precisions = _readable(path)
        if size != file.size:
            reason = f"{in_gigabytes(size)}, the published file has {in_gigabytes(file.size)}"
            if in_gigabytes(size) == in_gigabytes(file.size):
                reason = f"{size} bytes, the published file has {file.size}"
            return FileState(file, State.OTHER, reason, precisions)
        if hashed and sha256_of(path, advance) != file.sha256:
            return FileState(file, State.OTHER, "the right size, but another SHA-256: damaged or changed", precisions)
    except (OSError, ValueError, RecursionError, WeightsError) as error:
        text = str(error).removeprefix(f"{path} is no readable safetensors file: ")
        return FileState(file, State.DAMAGED, f"cannot be read: {text}")
    return FileState(file, State.WHOLE, "", precisions)


def _readable(path: Path) -> tuple[str, ...]:
    """Number types of a safetensors file; of a JSON file none, but it must be one."""
    if path.suffix == ".safetensors":
        from ..backbone.tensor_files import TensorFile

        return tuple(sorted(set(TensorFile(path).kinds.values())))
    if path.suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))
    return ()
