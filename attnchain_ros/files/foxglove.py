"""What Foxglove shows as a mesh: ``foxglove_msgs/SceneUpdate``, in which each frame is a small GLB.

Foxglove knows these messages by name, written as ROS 2 messages like all others of a bag, so that nothing has to be
installed to write them, and the file alone is enough to see the mesh move.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..wire import Fields, Names, time
from .animation import animated_glb_bytes

if TYPE_CHECKING:
    # Importing the rollout would import torch, which reading and writing files does without.
    from ..rollout.window import WindowResult

SCENE_TYPE = "foxglove_msgs/msg/SceneUpdate"

_PLACED = "geometry_msgs/Pose pose\n"
_COLOUR = "foxglove_msgs/Color color\n"
_SOLID = f"{_PLACED}geometry_msgs/Vector3 size\n{_COLOUR}"
_POINTS = f"geometry_msgs/Point[] points\n{_COLOUR}foxglove_msgs/Color[] colors\nuint32[] indices\n"
DEFINITIONS = {
    "Color": "float64 r\nfloat64 g\nfloat64 b\nfloat64 a\n",
    "KeyValuePair": "string key\nstring value\n",
    "ArrowPrimitive": f"{_PLACED}float64 shaft_length\nfloat64 shaft_diameter\nfloat64 head_length\n"
    f"float64 head_diameter\n{_COLOUR}",
    "CubePrimitive": _SOLID,
    "SpherePrimitive": _SOLID,
    "CylinderPrimitive": f"{_PLACED}geometry_msgs/Vector3 size\nfloat64 bottom_scale\nfloat64 top_scale\n{_COLOUR}",
    "LinePrimitive": f"uint8 type\n{_PLACED}float64 thickness\nbool scale_invariant\n{_POINTS}",
    "TriangleListPrimitive": f"{_PLACED}{_POINTS}",
    "TextPrimitive": f"{_PLACED}bool billboard\nfloat64 font_size\nbool scale_invariant\n{_COLOUR}string text\n",
    "ModelPrimitive": f"{_PLACED}geometry_msgs/Vector3 scale\n{_COLOUR}bool override_color\nstring url\n"
    "string media_type\nuint8[] data\n",
    "SceneEntityDeletion": "builtin_interfaces/Time timestamp\nuint8 type\nstring id\n",
    "SceneEntity": "builtin_interfaces/Time timestamp\nstring frame_id\nstring id\n"
    "builtin_interfaces/Duration lifetime\nbool frame_locked\nfoxglove_msgs/KeyValuePair[] metadata\n"
    "foxglove_msgs/ArrowPrimitive[] arrows\nfoxglove_msgs/CubePrimitive[] cubes\n"
    "foxglove_msgs/SpherePrimitive[] spheres\nfoxglove_msgs/CylinderPrimitive[] cylinders\n"
    "foxglove_msgs/LinePrimitive[] lines\nfoxglove_msgs/TriangleListPrimitive[] triangles\n"
    "foxglove_msgs/TextPrimitive[] texts\nfoxglove_msgs/ModelPrimitive[] models\n",
    "SceneUpdate": "foxglove_msgs/SceneEntityDeletion[] deletions\nfoxglove_msgs/SceneEntity[] entities\n",
}
"""Fields of every message that a scene is made of, by name; those that stay empty belong to it, too."""

_OTHERS = ("arrows", "cubes", "spheres", "cylinders", "lines", "triangles", "texts")
_QUARTER = 0.5**0.5
_UPRIGHT = {"x": -_QUARTER, "y": 0.0, "z": 0.0, "w": _QUARTER}
"""A quarter turn about x: Foxglove turns glTF's y to its own z, and the vertices are meant as they are."""


def scene_update(result: WindowResult, frame: int, names: Names) -> Fields:
    """``foxglove_msgs/SceneUpdate`` with one frame's mesh in the object's frame, in place of the frame before.

    Args:
        result: a window of the rollout.
        frame: number in the window.
        names: of the object and its TF frame, with which the mesh moves.
    """
    vertices = (result.vertices[frame] * np.float32(result.scale)).astype(np.float32)
    glb = animated_glb_bytes(vertices[None], result.faces, result.vertex_colors, np.zeros(1), name=names.object_frame)
    model: Fields = {
        "pose": {"position": {"x": 0.0, "y": 0.0, "z": 0.0}, "orientation": _UPRIGHT},
        "scale": {"x": 1.0, "y": 1.0, "z": 1.0},
        "color": {"r": 1.0, "g": 1.0, "b": 1.0, "a": 1.0},
        "override_color": False,
        "url": "",
        "media_type": "model/gltf-binary",
        "data": np.frombuffer(glb, np.uint8),
    }
    known = {"object_id": names.object_id, "window_index": result.index, "frame": frame}
    entity: Fields = {
        "timestamp": time(int(result.stamps_ns[frame])),
        "frame_id": names.object_frame,
        "id": names.object_frame,
        "lifetime": {"sec": 0, "nanosec": 0},
        "frame_locked": True,
        "metadata": [{"key": key, "value": str(value)} for key, value in known.items()],
        **{other: [] for other in _OTHERS},
        "models": [model],
    }
    return {"deletions": [], "entities": [entity]}
