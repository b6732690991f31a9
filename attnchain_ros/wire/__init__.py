"""What a window's result becomes on topics and in bags: plain dictionaries named like the messages' fields.

They are filled here once. The node's and the bags' writers only make messages of them (``node.building``,
``files.bag_writing``).
"""

from .fields import (
    KEPT_POSE_VARIANCE,
    Fields,
    Names,
    camera_pose,
    cloud,
    header,
    mesh,
    object_pose,
    path,
    pose_row,
    scaled_pose,
    time,
    tracks,
    transform,
)
from .markers import markers, shaded_triangles

__all__ = [
    "KEPT_POSE_VARIANCE",
    "Fields",
    "Names",
    "camera_pose",
    "cloud",
    "header",
    "markers",
    "mesh",
    "object_pose",
    "path",
    "pose_row",
    "scaled_pose",
    "shaded_triangles",
    "time",
    "tracks",
    "transform",
]
