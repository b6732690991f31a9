"""From ``wire``'s dictionaries to messages of rclpy, and whether numpy-built bytes are what the middleware reads."""

from __future__ import annotations

import array
import importlib
import re
from functools import cache
from typing import Any

import numpy as np
from rclpy.serialization import deserialize_message, serialize_message

from .. import wire
from . import cdr

MESH = "shape_msgs/msg/Mesh"
_ITEM = re.compile(r"(?:sequence<)?(\w+)/(\w+)")


@cache
def message_class(name: str) -> type[Any]:
    """The class of a message such as ``std_msgs/msg/Header``."""
    package, _, kind = name.split("/")
    found: type[Any] = getattr(importlib.import_module(f"{package}.msg"), kind)
    return found


def find_class(name: str) -> type[Any] | None:
    """As ``message_class``; None where its package is not installed."""
    try:
        return message_class(name)
    except ImportError:
        return None


@cache
def _members(kind: Any) -> dict[str, str]:
    """Of a message's fields that hold other messages: their class's name."""
    found = {name: _ITEM.match(text) for name, text in kind.get_fields_and_field_types().items()}
    return {name: f"{match[1]}/msg/{match[2]}" for name, match in found.items() if match}


def build(name: str, fields: wire.Fields) -> Any:
    """A message of rclpy from its fields; those that are not given keep their defaults."""
    kind: Any = message_class(name)
    members = _members(kind)
    values: dict[str, Any] = {}
    for field, value in fields.items():
        if isinstance(value, dict):
            values[field] = build(members[field], value)
        elif isinstance(value, list):
            values[field] = [build(members[field], item) for item in value]
        elif isinstance(value, np.ndarray) and field not in _fixed(kind):
            values[field] = _flat(value)
        else:
            values[field] = value
    return kind(**values)


@cache
def _fixed(kind: Any) -> frozenset[str]:
    """Fields that are arrays of a fixed length, which take numpy's arrays as they are."""
    texts = kind.get_fields_and_field_types()
    return frozenset(name for name, text in texts.items() if re.search(r"\[\d+\]$", text))


def _flat(values: np.ndarray) -> array.array[Any]:
    """Values as the array that rosidl's sequences take without looking at each element."""
    result = array.array(values.dtype.char if values.dtype.char != "l" else "q")
    # One copy, as bytes without being any: a window's vertices are megabytes.
    result.frombytes(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
    return result


def check_cdr() -> str:
    """Compare numpy-built bytes with what the running middleware reads and writes; returns "" or what differs.

    Not byte by byte: the middleware leaves whatever was in memory in the padding between values.
    """
    rng = np.random.default_rng(0)
    for count, frame_id, namespace in ((0, "", ""), (3, "a", "mesh"), (6, "object_12", "ns")):
        points, colors = rng.normal(size=(count, 3)), rng.random((count, 4)).astype(np.float32)
        args = (7_123_456_789, frame_id, namespace, count, points, colors)
        wanted = build("visualization_msgs/msg/MarkerArray", wire.markers(*args))
        difference = _difference(wanted, cdr.marker_array(*args))
        if difference:
            return f"a marker of {count} points {difference}"
        if find_class(MESH) is not None:
            faces = rng.integers(0, 9, (count, 3))
            difference = _difference(build(MESH, wire.object_mesh(points, faces)), cdr.shape_mesh(points, faces))
            if difference:
                return f"a mesh of {count} vertices {difference}"
        # Every length of name, since padding depends on it; a path has at least one pose.
        for length in range(len(frame_id), len(frame_id) + 8):
            stamps, poses = np.arange(count + 1) * 1_234_567_891, rng.normal(size=(count + 1, 7))
            name = "f" * length
            wanted = build("nav_msgs/msg/Path", wire.path(name, stamps, poses))
            difference = _difference(wanted, cdr.path(name, stamps, poses))
            if difference:
                return f"a path of {count + 1} poses {difference}"
    return ""


def _difference(wanted: Any, got: bytes) -> str:
    """How bytes differ from an object-built message, "" if the middleware takes them for the same."""
    length = len(serialize_message(wanted))
    if length != len(got):
        return f"is {len(got)} bytes here and {length} from the middleware"
    return "" if deserialize_message(got, type(wanted)) == wanted else "is read differently by the middleware"
