"""The list of published files: where each comes from, how large it is, and the SHA-256 that it must have."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import FileFormatError
from ..files.atomic import write_bytes

_SHA256 = re.compile(r"[0-9a-f]{64}")
_BLOCK = 4 << 20


@dataclass(frozen=True)
class PublishedFile:
    """One file of the published weights.

    Attributes:
        repo: on the Hugging Face hub.
        revision: the commit it is pinned to.
        folder: of the checkpoint folder that it goes to.
        file: its name within the repository, and below ``folder``.
        size: bytes.
        sha256: 64 lower-case hex digits.
    """

    repo: str
    revision: str
    folder: str
    file: str
    size: int
    sha256: str

    @property
    def path(self) -> str:
        """Where it lies below the checkpoint folder."""
        return f"{self.folder}/{self.file}" if self.folder else self.file

    @property
    def holds_tensors(self) -> bool:
        """Whether it is a safetensors file, which can be converted."""
        return self.file.endswith(".safetensors")


@dataclass(frozen=True)
class Licence:
    """What the user agrees to: of what, the licence's name, and its terms in a few words."""

    of: str
    name: str
    terms: str


@dataclass(frozen=True)
class Manifest:
    """Files that belong together, and their licences."""

    files: tuple[PublishedFile, ...]
    licences: tuple[Licence, ...] = field(default=())

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def packaged_manifest() -> Path:
    """The manifest that comes with this package: TripoSG and ActionMesh, float32, 13.7 GB."""
    return Path(str(resources.files("attnchain_ros"))) / "published" / "manifest.json"


def masks_manifest() -> Path:
    """The manifest of SAM 2.1's smallest video model, for masks from a click: 156 MB."""
    return packaged_manifest().with_name("masks.json")


def read_manifest(path: Path | None = None) -> Manifest:
    """Read and check a manifest; None is the packaged one.

    Raises:
        FileFormatError: it cannot be read, an entry is missing or of another kind, or a file would leave the folder.
    """
    where = packaged_manifest() if path is None else path
    try:
        found = json.loads(where.read_text(encoding="utf-8"))
        files = tuple(PublishedFile(**entry) for entry in found["files"])
        licences = tuple(Licence(**entry) for entry in found.get("licences", []))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise FileFormatError(f"{where} is no readable list of published files: {error!r}") from error
    for file in files:
        _check(file, where)
    if not files:
        raise FileFormatError(f"{where} lists no files")
    return Manifest(files, licences)


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest, whole or not at all."""
    found: dict[str, Any] = {
        "licences": [asdict(licence) for licence in manifest.licences],
        "files": [asdict(file) for file in manifest.files],
    }
    write_bytes(path, (json.dumps(found, indent=1) + "\n").encode())


def _check(file: PublishedFile, where: Path) -> None:
    parts = PurePosixPath(file.path)
    if parts.is_absolute() or ".." in parts.parts or not file.file or "\\" in file.path:
        raise FileFormatError(f"{where}: {file.path!r} would leave the folder")
    if not isinstance(file.size, int) or file.size < 0 or not _SHA256.fullmatch(str(file.sha256)):
        raise FileFormatError(f"{where}: {file.path} needs a size in bytes and a SHA-256 of 64 hex digits")


def sha256_of(path: Path, advance: Callable[[int], object] = lambda count: None) -> str:
    """SHA-256 of a file as hex digits; ``advance`` is told how many bytes were read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            advance(len(block))
    return digest.hexdigest()


def in_gigabytes(count: int) -> str:
    """Bytes as a person reads them, in units of 1000.

    >>> in_gigabytes(5758281000), in_gigabytes(970685468), in_gigabytes(436)
    ('5.76 GB', '971 MB', '436 bytes')
    """
    if count >= 1_000_000_000:
        return f"{count / 1e9:.{1 if count >= 9.95e9 else 2}f} GB"
    if count >= 1_000_000:
        return f"{count / 1e6:.0f} MB"
    return f"{count / 1e3:.0f} kB" if count >= 10_000 else f"{count} bytes"
