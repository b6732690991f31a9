"""Large standard messages as CDR bytes, built with numpy; ``Publisher.publish`` takes such bytes as they are. ROS-free.

A marker of 120,000 points takes a quarter of a second as Python objects and a few milliseconds here. Whether the
running middleware writes the same bytes is checked once at start (``messages.check_cdr``).
"""

from __future__ import annotations

import struct

import numpy as np

LITTLE_ENDIAN_CDR = b"\x00\x01\x00\x00"
"""Encapsulation header of plain CDR, version 1, little-endian."""
TRIANGLE_LIST = 11
"""``visualization_msgs/Marker.TRIANGLE_LIST``."""


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

    def data(self) -> bytes:
        """Everything written so far."""
        return b"".join(self._parts)


def marker_array(
    stamp: tuple[int, int], frame_id: str, namespace: str, marker_id: int, points: np.ndarray, colors: np.ndarray
) -> bytes:
    """A ``visualization_msgs/MarkerArray`` with one TRIANGLE_LIST.

    Args:
        stamp: seconds, nanoseconds.
        frame_id: frame of the points.
        namespace, marker_id: name the marker.
        points: [n, 3] float64 metres, three a triangle.
        colors: [n, 4] float32 RGBA in [0, 1].
    Twin: ``messages.marker_array_object``.
    """
    out = CdrWriter()
    out.number("I", 1)
    out.number("i", stamp[0])
    out.number("I", stamp[1])
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
