"""A safetensors file in another precision, written tensor by tensor: no file is ever held in memory whole."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path

import torch

from ..backbone.tensor_files import TensorFile
from ..files.atomic import write_then_rename

PRECISIONS = {"float32": ("F32", torch.float32), "bfloat16": ("BF16", torch.bfloat16)}
"""Precisions that files can be had in: the format's name, and torch's."""

FRACTIONS = frozenset({"F64", "F32", "F16", "BF16"})
"""Number types of the format that are converted; others stay."""


def converted_header(source: TensorFile, precision: str) -> tuple[bytes, int]:
    """The first bytes of the converted file (length and JSON), and the size of the whole file in bytes."""
    kind, dtype = PRECISIONS[precision]
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    place = 0
    for name, shape in source.shapes.items():
        first, last = source.spans[name]
        changes = source.kinds[name] in FRACTIONS
        length = math.prod(shape) * dtype.itemsize if changes else last - first
        entries[name] = {
            "dtype": kind if changes else source.kinds[name],
            "shape": list(shape),
            "data_offsets": [place, place + length],
        }
        place += length
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, 8 + len(text) + place


def converted_size(source: Path, precision: str) -> int:
    """Bytes of the converted file, without writing it.

    Raises:
        WeightsError: the source is no readable safetensors file.
    """
    return converted_header(TensorFile(source), precision)[1]


def convert_file(
    source: Path, target: Path, precision: str, advance: Callable[[int], object] = lambda count: None
) -> str:
    """Write a safetensors file with all fractional numbers in another precision, rounded to nearest.

    Loading it gives the same numbers as loading the source and rounding then. Whole or not there at all; the same
    source always gives the same bytes.

    Args:
        source: a safetensors file.
        target: the file to write; missing folders are made.
        precision: a name of ``PRECISIONS``.
        advance: is told how many bytes of the source were converted.
    Returns:
        SHA-256 of what was written, as hex digits.
    Raises:
        WeightsError: the source is damaged.
        OSError: the disk is full, or cannot be written to.
    """
    file = TensorFile(source)
    header, _ = converted_header(file, precision)
    digest = hashlib.sha256(header)
    with write_then_rename(target) as out:
        out.write(header)
        for name, tensor in file.tensors(torch.device("cpu"), PRECISIONS[precision][1]):
            data = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
            out.write(data)
            digest.update(data)
            first, last = file.spans[name]
            advance(last - first)
    return digest.hexdigest()
