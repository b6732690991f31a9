"""What a window's result becomes on topics and in bags: plain dictionaries named like the messages' fields.

They are filled here once. The node's and the bags' writers only make messages of them (``node.building``,
``files.bag_writing``).
"""

from .camera import camera_info, frame_transform, image
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
from .fixed import fixed_cloud, fixed_from_object, fixed_pose
from .live import live_cloud, live_frame, live_pose, live_transform
from .markers import markers, no_marker, shaded_triangles
from .planning import newest_vertices, object_box, object_mesh

__all__ = [
    "KEPT_POSE_VARIANCE",
    "Fields",
    "Names",
    "camera_info",
    "camera_pose",
    "cloud",
    "fixed_cloud",
    "fixed_from_object",
    "fixed_pose",
    "frame_transform",
    "header",
    "image",
    "live_cloud",
    "live_frame",
    "live_pose",
    "live_transform",
    "markers",
    "mesh",
    "newest_vertices",
    "no_marker",
    "object_box",
    "object_mesh",
    "object_pose",
    "path",
    "pose_row",
    "scaled_pose",
    "shaded_triangles",
    "time",
    "tracks",
    "transform",
]
