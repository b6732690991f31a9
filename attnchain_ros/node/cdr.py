"""Large standard messages as CDR bytes, built with numpy; ``Publisher.publish`` takes such bytes as they are. ROS-free.

A marker of 120,000 points takes a quarter of a second as Python objects and a few milliseconds here; a path of 2,000
poses took 70 ms as objects. Whether the running middleware writes the same is checked once at start
(``building.check_cdr``). Meshes, tracks and clouds are flat arrays already, which cost next to nothing as objects.
"""

from __future__ import annotations

import struct

import numpy as np

from ..wire.markers import TRIANGLE_LIST

LITTLE_ENDIAN_CDR = b"\x00\x01\x00\x00"
"""Encapsulation header of plain CDR, version 1, little-endian."""


class CdrWriter:
    """Appends values with CDR's alignment: every number at a multiple of its own size after the header."""

    def __init__(self) -> None:
        self._parts: list[bytes] = [LITTLE_ENDIAN_CDR]
        self._size = 0

    def _append(self, data: bytes, alignment: int) -> None:
        padding = -self._size % alignment
        self._parts.append(b"\x00" * padding + data)
        self._size += padding + len(data)

    def number(self, kind: str, value: float) -> None:
        """One number; ``kind`` is a format character of ``struct``."""
        data = struct.pack("<" + kind, value)
        self._append(data, len(data))

    def numbers(self, kind: str, *values: float) -> None:
        """Several numbers of one kind."""
        for value in values:
            self.number(kind, value)

    def string(self, text: str) -> None:
        """Length with the final zero byte, then the bytes."""
        data = text.encode() + b"\x00"
        self.number("I", len(data))
        self._append(data, 1)

    def sequence(self, rows: np.ndarray) -> None:
        """A sequence of [n, ...] numbers or of structures of equal numbers; its length is n."""
        self.number("I", len(rows))
        if len(rows):
            data = np.ascontiguousarray(rows)
            self._append(data.astype(data.dtype.newbyteorder("<"), copy=False).tobytes(), data.dtype.itemsize)

    def structures(self, rows: np.ndarray, alignment: int) -> None:
        """[n] rows of a structured array that holds its own padding, each a multiple of ``alignment`` bytes."""
        if len(rows):
            self._append(rows.tobytes(), alignment)

    def data(self) -> bytes:
        """Everything written so far."""
        return b"".join(self._parts)


def marker_array(
    stamp_ns: int, frame_id: str, namespace: str, marker_id: int, points: np.ndarray, colors: np.ndarray
) -> bytes:
    """A ``visualization_msgs/MarkerArray`` with one TRIANGLE_LIST.

    Args:
        stamp_ns, frame_id: of the points.
        namespace, marker_id: name the marker.
        points: [n, 3] float64 metres, three a triangle.
        colors: [n, 4] float32 RGBA in [0, 1].
    Twin: ``building.build`` of ``wire.markers``.
    """
    out = CdrWriter()
    out.number("I", 1)
    out.number("i", stamp_ns // 10**9)
    out.number("I", stamp_ns % 10**9)
    out.string(frame_id)
    out.string(namespace)
    out.numbers("i", marker_id, TRIANGLE_LIST, 0)  # action 0: add or change
    out.numbers("d", 0, 0, 0, 0, 0, 0, 1)  # pose: position, orientation xyzw
    out.numbers("d", 1, 1, 1)  # scale
    out.numbers("f", 1, 1, 1, 1)  # colour of markers without colours of their own
    out.number("i", 0)  # lifetime: for ever
    out.number("I", 0)
    out.number("?", False)  # frame_locked
    out.sequence(points.astype(np.float64, copy=False))
    out.sequence(colors.astype(np.float32, copy=False))
    out.string("")  # texture_resource
    out.number("i", 0)  # texture: stamp, frame_id, format, data
    out.number("I", 0)
    out.string("")
    out.string("")
    out.number("I", 0)
    out.number("I", 0)  # uv_coordinates
    out.string("")  # text
    out.string("")  # mesh_resource
    out.string("")  # mesh_file: filename, data
    out.number("I", 0)
    out.number("?", False)  # mesh_use_embedded_materials
    return out.data()


def path(frame_id: str, stamps_ns: np.ndarray, poses: np.ndarray) -> bytes:
    """A ``nav_msgs/Path`` whose header has the last pose's stamp.

    Args:
        frame_id: frame of the poses.
        stamps_ns: [n] int64, n at least 1.
        poses: [n, 7] float64: position x, y, z, orientation x, y, z, w.
    Twin: ``building.build`` of ``wire.path``.
    """
    seconds, nanoseconds = np.divmod(np.asarray(stamps_ns, np.int64), 10**9)
    out = CdrWriter()
    out.number("i", int(seconds[-1]))
    out.number("I", int(nanoseconds[-1]))
    out.string(frame_id)
    out.number("I", len(poses))
    # The first pose begins wherever the header ends; behind it everything repeats, since a pose ends at eight bytes.
    out.number("i", int(seconds[0]))
    out.number("I", int(nanoseconds[0]))
    out.string(frame_id)
    out.numbers("d", *poses[0].tolist())
    text = frame_id.encode() + b"\x00"
    offset = 12 + len(text) + -(12 + len(text)) % 8
    rows = np.zeros(
        len(poses) - 1,
        {
            "names": ["sec", "nanosec", "length", "text", "pose"],
            "formats": ["<i4", "<u4", "<u4", f"({len(text)},)u1", "(7,)<f8"],
            "offsets": [0, 4, 8, 12, offset],
            "itemsize": offset + 56,
        },
    )
    rows["sec"], rows["nanosec"], rows["length"] = seconds[1:], nanoseconds[1:], len(text)
    rows["text"] = np.frombuffer(text, np.uint8)
    rows["pose"] = poses[1:]
    out.structures(rows, 8)
    return out.data()


def shape_mesh(vertices: np.ndarray, faces: np.ndarray) -> bytes:
    """A ``shape_msgs/Mesh``.

    Args:
        vertices: [V, 3] metres.
        faces: [T, 3] integer.
    Twin: ``building.build`` of ``wire.object_mesh``.
    """
    out = CdrWriter()
    out.sequence(faces.astype(np.uint32))
    out.sequence(vertices.astype(np.float64))
    return out.data()
