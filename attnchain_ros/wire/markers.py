"""The mesh for displays that know no animated meshes: a list of coloured triangles."""

from __future__ import annotations

import numpy as np

from .fields import Fields, header

TRIANGLE_LIST = 11
"""``visualization_msgs/Marker.TRIANGLE_LIST``."""
DELETE = 2
"""``visualization_msgs/Marker.DELETE``."""
_LIGHT = np.array([0.35, 0.8, 0.48])
_AMBIENT = 0.45


def shaded_triangles(vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A mesh as a triangle list with its shading in the colours.

    Args:
        vertices: [V, 3].   faces: [T, 3].   colors: [V, 3] uint8.
    Returns:
        points [3 T, 3] float64 and colours [3 T, 4] float32 in [0, 1], alpha 1.
    """
    corners = vertices[faces].astype(np.float64)  # [T, 3, 3]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.maximum(np.linalg.norm(normals, axis=1), 1e-20)
    towards = (normals @ (_LIGHT / np.linalg.norm(_LIGHT))) / lengths
    shade = _AMBIENT + (1 - _AMBIENT) * np.clip(0.5 + 0.5 * towards, 0, 1)  # half-Lambert: no black side
    rgba = np.ones((len(faces) * 3, 4), np.float32)
    rgba[:, :3] = ((colors[faces] / 255.0) * shade[:, None, None]).reshape(-1, 3)
    return corners.reshape(-1, 3), rgba


def markers(
    stamp_ns: int, frame_id: str, namespace: str, marker_id: int, points: np.ndarray, colors: np.ndarray
) -> Fields:
    """``visualization_msgs/MarkerArray`` with one TRIANGLE_LIST.

    Args:
        stamp_ns, frame_id: of the points.   namespace, marker_id: name the marker.
        points: [n, 3] float64, three a triangle.   colors: [n, 4] float32 RGBA in [0, 1].
    """
    corners: list[list[float]] = points.astype(np.float64).tolist()  # type: ignore[assignment]
    shades: list[list[float]] = colors.astype(np.float32).tolist()  # type: ignore[assignment]
    marker = {
        "header": header(stamp_ns, frame_id),
        "ns": namespace,
        "id": marker_id,
        "type": TRIANGLE_LIST,
        "action": 0,
        "pose": {"orientation": {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0}},
        "scale": {"x": 1.0, "y": 1.0, "z": 1.0},
        "color": {"r": 1.0, "g": 1.0, "b": 1.0, "a": 1.0},
        "points": [{"x": x, "y": y, "z": z} for x, y, z in corners],
        "colors": [{"r": r, "g": g, "b": b, "a": a} for r, g, b, a in shades],
    }
    return {"markers": [marker]}


def no_marker(stamp_ns: int, frame_id: str, namespace: str, marker_id: int) -> Fields:
    """``visualization_msgs/MarkerArray`` that takes a marker away; arguments as for ``markers``."""
    marker = {"header": header(stamp_ns, frame_id), "ns": namespace, "id": marker_id, "action": DELETE}
    return {"markers": [marker]}
