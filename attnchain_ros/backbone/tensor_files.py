"""Safetensors files, read once and in pieces: a checkpoint of 12 GB must load on a robot's computer of 16."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import WeightsError

_MAPPED_BYTES = 256 << 20
"""Bytes read before the file is mapped anew: pages that were read count as this process's memory until then."""
_WHOLE_BYTES = 64 << 20
"""Files up to this size go into a fingerprint whole."""
_PAGE = 4096
_HEADER_LENGTH = 8


class TensorFile:
    """One safetensors file.

    Attributes:
        path: where it lies.
        shapes: shape of each tensor by name, in the order in which they lie in the file.
        kinds: the format's name of each tensor's number type (F32, BF16, ...).
        spans: first and last byte (exclusive) of each tensor in the file.
    Raises:
        WeightsError: it cannot be read, or is no safetensors file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._header = self._read_header()
        start = _HEADER_LENGTH + len(self._header)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.kinds: dict[str, str] = {}
        self.spans: dict[str, tuple[int, int]] = {}
        for name, entry in sorted(self._entries().items(), key=lambda item: item[1]["data_offsets"]):
            first, last = entry["data_offsets"]
            self.shapes[name] = tuple(entry["shape"])
            self.kinds[name] = str(entry["dtype"])
            self.spans[name] = (start + int(first), start + int(last))

    @property
    def elements(self) -> int:
        """Numbers in all tensors together."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def tensors(self, device: torch.device, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
        """Every tensor, brought to its place one after another, each byte read once.

        Args:
            device: to go to; the change of precision happens there.
            dtype: of the tensors that hold fractions; others keep theirs.
        Raises:
            WeightsError: the file is damaged.
        """
        names = iter(self.spans)
        name = next(names, None)
        try:
            while name is not None:
                budget = _MAPPED_BYTES
                with safe_open(str(self.path), framework="pt", device="cpu") as file:
                    while name is not None and budget > 0:
                        first, last = self.spans[name]
                        budget -= last - first
                        yield name, _place(file.get_tensor(name), device, dtype)
                        name = next(names, None)
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{self.path} is no readable safetensors file: {error}") from error

    def fingerprint(self) -> bytes:
        """SHA-256 digest that tells one file from another without reading gigabytes.

        Of a file up to 64 MiB it is that of all its bytes; of a larger one that of its size, its header, and the first
        and last 4 KiB of every tensor. It finds other weights, not damage: that is what full hashes are for.
        """
        digest = hashlib.sha256()
        self.add_fingerprint(digest)
        return digest.digest()

    def add_fingerprint(self, digest: Any) -> None:
        """Put what ``fingerprint`` hashes into a running hashlib digest."""
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            if size <= _WHOLE_BYTES:
                while block := file.read(1 << 20):
                    digest.update(block)
                return
            digest.update(str(size).encode())
            digest.update(self._header)
            for first, last in self.spans.values():
                for place in (first, max(first, last - _PAGE)):
                    file.seek(place)
                    digest.update(file.read(min(_PAGE, last - place)))

    def _read_header(self) -> bytes:
        try:
            # Whatever is wrong with offsets and sizes is found by the library before we trust a number in it.
            with safe_open(str(self.path), framework="pt", device="cpu"):
                pass
            with self.path.open("rb") as file:
                return file.read(int.from_bytes(file.read(_HEADER_LENGTH), "little"))
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{self.path} is no readable safetensors file: {error}") from error

    def _entries(self) -> dict[str, Any]:
        header = json.loads(self._header)
        return {name: entry for name, entry in header.items() if name != "__metadata__"}


def _place(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """A tensor of a mapped file as one that owns its memory."""
    moved = tensor.to(device)
    moved = moved.to(dtype) if moved.is_floating_point() else moved
    return moved.clone() if moved.data_ptr() == tensor.data_ptr() else moved
