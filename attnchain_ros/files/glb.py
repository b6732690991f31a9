"""The GLB container: reading its two chunks, its accessors, and a strict check of the rules that loaders rely on."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileFormatError

MAGIC, JSON, BIN = 0x46546C67, 0x4E4F534A, 0x004E4942
FLOAT, UBYTE, UINT = 5126, 5121, 5125
ARRAY_BUFFER, ELEMENT_BUFFER = 34962, 34963
COMPONENT: dict[int, np.dtype[Any]] = {FLOAT: np.dtype("<f4"), UBYTE: np.dtype("u1"), UINT: np.dtype("<u4")}
WIDTH = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}

_Need = Callable[[bool, str], None]


def check_glb(path: Path) -> dict[str, Any]:
    """Check a GLB against the structural rules that loaders rely on, and return its JSON document.

    Checked: header and chunk lengths; every buffer view inside the buffer; every accessor inside its view, on a
    multiple of its component size, vertex data on 4 bytes; min and max of positions and of times equal to the data's;
    indices in range; as many weights as targets times key frames; times increasing; references that exist.

    Raises:
        FileFormatError: names the rule that is broken.
    """
    document, data = load_glb(path)
    check_document(document, data, path)
    return document


def load_glb(path: Path) -> tuple[dict[str, Any], bytes]:
    """The JSON document and the binary chunk of a GLB."""
    path = Path(path)
    if not path.is_file():
        raise FileFormatError(f"{path} does not exist")
    raw = path.read_bytes()
    if len(raw) < 20 or struct.unpack_from("<I", raw)[0] != MAGIC:
        raise FileFormatError(f"{path} is not a GLB: it does not start with 'glTF'")
    version, total = struct.unpack_from("<II", raw, 4)
    if version != 2 or total != len(raw):
        raise FileFormatError(
            f"{path}: version {version} and {total} bytes announced, wanted version 2 and {len(raw)} bytes"
        )
    chunks: list[tuple[int, bytes]] = []
    position = 12
    while position + 8 <= len(raw):
        length, kind = struct.unpack_from("<II", raw, position)
        if length % 4 or position + 8 + length > len(raw):
            raise FileFormatError(f"{path}: a chunk of {length} bytes at {position} is not aligned or leaves the file")
        chunks.append((kind, raw[position + 8 : position + 8 + length]))
        position += 8 + length
    if position != len(raw) or not chunks or chunks[0][0] != JSON:
        raise FileFormatError(f"{path}: the chunks do not fill the file, or the first one is not JSON")
    try:
        document = json.loads(chunks[0][1])
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path}: the JSON chunk cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise FileFormatError(f"{path}: the JSON chunk holds a {type(document).__name__}, wanted an object")
    return document, chunks[1][1] if len(chunks) > 1 and chunks[1][0] == BIN else b""


def weights_sampler(document: dict[str, Any]) -> dict[str, Any] | None:
    """The sampler that drives morph weights, None without one."""
    for animation in document.get("animations", []):
        for channel in animation["channels"]:
            if channel["target"]["path"] == "weights":
                return dict(animation["samplers"][channel["sampler"]])
    return None


def accessor_array(document: dict[str, Any], data: bytes, number: int) -> np.ndarray:
    """One accessor as [count] or [count, width]; normalised integers become floats."""
    accessor = document["accessors"][number]
    view = document["bufferViews"][accessor["bufferView"]]
    dtype, width = COMPONENT[accessor["componentType"]], WIDTH[accessor["type"]]
    start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    stride = view.get("byteStride", dtype.itemsize * width)
    array: np.ndarray = np.ndarray((accessor["count"], width), dtype, data, start, (stride, dtype.itemsize))
    if accessor.get("normalized"):
        array = array.astype(np.float32) / np.iinfo(dtype).max
    return np.array(array[:, 0] if width == 1 else array)


def check_document(document: dict[str, Any], data: bytes, path: Path) -> None:
    """Raise FileFormatError at the first broken rule (see ``check_glb``)."""

    def need(good: bool, rule: str) -> None:
        if not good:
            raise FileFormatError(f"{path} breaks a rule of glTF 2.0: {rule}")

    try:
        need(document["asset"]["version"] == "2.0", "asset version 2.0")
        size = document["buffers"][0]["byteLength"]
        need(size <= len(data) < size + 4, f"buffer of {size} bytes fills the binary chunk of {len(data)}")
        for number, view in enumerate(document["bufferViews"]):
            start, length = view.get("byteOffset", 0), view["byteLength"]
            need(start >= 0 and length > 0 and start + length <= size, f"buffer view {number} inside the buffer")
        for number, accessor in enumerate(document["accessors"]):
            view = document["bufferViews"][accessor["bufferView"]]
            dtype, width = COMPONENT[accessor["componentType"]], WIDTH[accessor["type"]]
            offset = accessor.get("byteOffset", 0)
            stride = view.get("byteStride", dtype.itemsize * width)
            last = offset + stride * (accessor["count"] - 1) + dtype.itemsize * width
            need(accessor["count"] > 0 and last <= view["byteLength"], f"accessor {number} inside its view")
            start = view.get("byteOffset", 0) + offset
            need(start % dtype.itemsize == 0, f"accessor {number} on a multiple of its component size")
            need(
                view.get("target") != ARRAY_BUFFER or (start % 4 == 0 and stride % 4 == 0),
                f"accessor {number} on 4 bytes",
            )
            if "min" in accessor:
                values = accessor_array(document, data, number).reshape(accessor["count"], -1)
                need(
                    values.min(axis=0).tolist() == accessor["min"] and values.max(axis=0).tolist() == accessor["max"],
                    f"min and max of accessor {number} equal to its data's",
                )
        for node in document["nodes"]:
            need(0 <= node.get("mesh", 0) < len(document["meshes"]), "node refers to a mesh")
        for mesh in document["meshes"]:
            _check_primitive(document, data, mesh, need)
        _check_animation(document, data, need)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise FileFormatError(f"{path} breaks a rule of glTF 2.0: missing or misplaced {error}") from error


def _check_primitive(document: dict[str, Any], data: bytes, mesh: dict[str, Any], need: _Need) -> None:
    for primitive in mesh["primitives"]:
        targets = primitive.get("targets", [])
        count = document["accessors"][primitive["attributes"]["POSITION"]]["count"]
        for group in (primitive["attributes"], *targets):
            for name, number in group.items():
                accessor = document["accessors"][number]
                need(accessor["count"] == count, f"{name} has one value per vertex")
                need(name != "POSITION" or "min" in accessor, "positions carry min and max")
        indices = accessor_array(document, data, primitive["indices"])
        need(len(indices) % 3 == 0 and int(indices.max()) < count, "indices are triangles of existing vertices")
        need(len(mesh.get("weights", targets)) == len(targets), "one default weight per target")


def _check_animation(document: dict[str, Any], data: bytes, need: _Need) -> None:
    sampler = weights_sampler(document)
    if sampler is None:
        return
    times = accessor_array(document, data, sampler["input"])
    need("min" in document["accessors"][sampler["input"]], "key times carry min and max")
    need(bool((np.diff(times) > 0).all()) and float(times[0]) >= 0, "key times increase from 0 or later")
    targets = len(document["meshes"][0]["primitives"][0].get("targets", []))
    need(
        document["accessors"][sampler["output"]]["count"] == len(times) * targets, "one weight per target and key time"
    )
