"""The fields of what motion planners take: the newest frame's mesh and its box, in the object's frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .fields import Fields, Names, header

if TYPE_CHECKING:
    # Importing the rollout would import torch, which writing files does without.
    from ..rollout.window import WindowResult

CLASS_ID = "object"
"""Nothing here knows what the object is, only where."""


def newest_vertices(result: WindowResult) -> np.ndarray:
    """[V, 3] float64 of a window's last frame in published lengths, object frame."""
    found: np.ndarray = result.vertices[-1].astype(np.float64) * result.scale
    return found


def object_mesh(vertices: np.ndarray, faces: np.ndarray) -> Fields:
    """``shape_msgs/Mesh``; the message has no header, its frame is the object's.

    Args:
        vertices: [V, 3] published lengths, object frame.
        faces: [T, 3] integer.
    """
    return {
        "triangles": [{"vertex_indices": corners} for corners in faces.astype(np.uint32)],
        "vertices": [{"x": float(x), "y": float(y), "z": float(z)} for x, y, z in np.asarray(vertices, np.float64)],
    }


def object_box(result: WindowResult, names: Names) -> Fields:
    """``vision_msgs/Detection3DArray`` with the box of a window's last frame, along the object frame's axes."""
    vertices = newest_vertices(result)[np.unique(result.faces)]
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    middle, size = (0.5 * (low + high)).tolist(), (high - low).tolist()
    center = {
        "position": dict(zip("xyz", middle, strict=True)),
        "orientation": {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0},
    }
    where = header(int(result.stamps_ns[-1]), names.object_frame)
    hypothesis = {"class_id": CLASS_ID, "score": float(result.confidence[-1])}
    return {
        "header": where,
        "detections": [
            {
                "header": where,
                # In the object's own frame its pose is exact; how well the camera's is known stands in ~/camera_pose.
                "results": [{"hypothesis": hypothesis, "pose": {"pose": center, "covariance": np.zeros(36)}}],
                "bbox": {"center": center, "size": dict(zip("xyz", size, strict=True))},
                "id": str(names.object_id),
            }
        ],
    }
