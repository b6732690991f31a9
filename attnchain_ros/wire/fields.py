"""The fields of every message about a window, as nested dictionaries of plain values and flat arrays.

Arrays have the message's own number type. All lengths are multiplied by ``result.scale``, so that mesh, tracks, poses
and TF agree with one another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..camera.poses import invert_covariance, invert_pose, quaternion_xyzw

if TYPE_CHECKING:
    # Importing the rollout would import torch, which writing files does without.
    from ..rollout.window import WindowResult

Fields = dict[str, Any]

KEPT_POSE_VARIANCE = 1e6
"""Variance of every component where the frame's own pose was refused, and an older one is repeated, or is doubted."""

_UNKNOWN = np.diag([KEPT_POSE_VARIANCE] * 6)

HIDDEN, VISIBLE = 0, 1
"""``attnchain_ros/Tracks``' constants."""

_UINT8, _INT32, _FLOAT32 = 2, 5, 7  # sensor_msgs/PointField's numbers
_CLOUD = (
    ("x", "<f4", _FLOAT32),
    ("y", "<f4", _FLOAT32),
    ("z", "<f4", _FLOAT32),
    ("rgb", "<u4", _FLOAT32),
    ("id", "<i4", _INT32),
    ("confidence", "<f4", _FLOAT32),
    ("visibility", "u1", _UINT8),
)
_OWNED_CLOUD = (*_CLOUD, ("object_id", "<i4", _INT32))


def _cloud_dtype(layout: tuple[tuple[str, str, int], ...]) -> np.dtype[Any]:
    return np.dtype(
        {
            "names": [name for name, _, _ in layout],
            "formats": [kind for _, kind, _ in layout],
            "offsets": list(range(0, 4 * len(layout), 4)),
            "itemsize": 4 * len(layout),
        }
    )


CLOUD_DTYPE = _cloud_dtype(_CLOUD)
"""One point of a track cloud; rgb holds 0x00RRGGBB in the bytes of a float, as PCL and RViz want it."""
OWNED_CLOUD_DTYPE = _cloud_dtype(_OWNED_CLOUD)
"""The same where there are several objects: each point says whose it is."""


@dataclass(frozen=True)
class Names:
    """What frames and object are called.

    Attributes:
        camera_frame: optical frame of the images.
        object_frame: TF frame of the object.
        object_id: its number.
        several: there are others; clouds, which have no place for the number, get a field for it.
    """

    camera_frame: str
    object_frame: str
    object_id: int
    several: bool = False

    def topic(self, name: str) -> str:
        """Private topic of messages that have no place for the number at all: of several objects each has its own."""
        return f"~/object_{self.object_id}/{name}" if self.several else f"~/{name}"

    def empty_cloud(self, count: int) -> np.ndarray:
        """[count] rows of zeros for a track cloud, with the object's number where that is needed."""
        if not self.several:
            return np.zeros(count, CLOUD_DTYPE)
        rows = np.zeros(count, OWNED_CLOUD_DTYPE)
        rows["object_id"] = self.object_id
        return rows


def time(stamp_ns: int) -> Fields:
    """``builtin_interfaces/Time``."""
    return {"sec": int(stamp_ns // 10**9), "nanosec": int(stamp_ns % 10**9)}


def header(stamp_ns: int, frame_id: str) -> Fields:
    """``std_msgs/Header`` with an image's own stamp."""
    return {"stamp": time(stamp_ns), "frame_id": frame_id}


def mesh(result: WindowResult, names: Names) -> Fields:
    """``attnchain_ros/AnimatedMesh`` of a window, in the object's frame."""
    frames, vertices = result.vertices.shape[:2]
    return {
        "header": header(int(result.stamps_ns[0]), names.object_frame),
        "object_id": names.object_id,
        "window_index": result.index,
        "topology_id": result.topology_id,
        "anchor_index": 0,
        "frame_count": frames,
        "vertex_count": vertices,
        "stamps": [time(int(stamp)) for stamp in result.stamps_ns],
        "triangles": result.faces.astype(np.uint32).ravel(),
        "vertices": (result.vertices * np.float32(result.scale)).astype(np.float32, copy=False).ravel(),
        "vertex_colors": result.vertex_colors.ravel(),
        "confidence": result.confidence.astype(np.float32).ravel(),
        "scale": float(result.scale),
        "metric": bool(result.metric),
    }


def tracks(result: WindowResult, points_px: np.ndarray, names: Names) -> Fields:
    """``attnchain_ros/Tracks`` of a window; ``points_px`` [F, Q, 2] are pixels of the image as published."""
    found, scale = result.tracks, np.float32(result.scale)
    in_object = (found.points_object * scale).astype(np.float32).ravel()
    return {
        "header": header(int(result.stamps_ns[0]), names.camera_frame),
        "object_id": names.object_id,
        "object_frame_id": names.object_frame,
        "window_index": result.index,
        "frame_count": result.frames,
        "track_count": len(found.ids),
        "stamps": [time(int(stamp)) for stamp in result.stamps_ns],
        "ids": found.ids.astype(np.int64),
        "points_px": points_px.astype(np.float32).ravel(),
        "points_camera": (found.points_camera * scale).astype(np.float32).ravel(),
        "points_object": in_object if np.isfinite(in_object).any() else np.zeros(0, np.float32),
        "visible": np.where(found.visible, VISIBLE, HIDDEN).astype(np.uint8).ravel(),
        "confidence": found.confidence.astype(np.float32).ravel(),
        "scale": float(result.scale),
        "metric": bool(result.metric),
    }


def cloud(result: WindowResult, frame: int, names: Names) -> Fields:
    """``sensor_msgs/PointCloud2`` of the tracked points at one image, in its camera's optical frame; NaN = absent.

    Fields: x, y, z float32; rgb float32 holding 0x00RRGGBB (PCL's and RViz's way); id int32; confidence float32;
    visibility uint8 (1 seen, 0 hidden); of several objects also object_id int32.
    """
    points = result.tracks.points_camera[frame] * np.float32(result.scale)
    return point_cloud(track_rows(result, frame, points, names), int(result.stamps_ns[frame]), names.camera_frame)


def track_rows(result: WindowResult, frame: int, points: np.ndarray, names: Names) -> np.ndarray:
    """Rows of a cloud of the tracked points at one image, which lie at points [Q, 3]."""
    found = result.tracks
    rows = names.empty_cloud(len(found.ids))
    rows["x"], rows["y"], rows["z"] = points[:, 0], points[:, 1], points[:, 2]
    color = found.colors.astype(np.uint32)
    rows["rgb"] = color[:, 0] << 16 | color[:, 1] << 8 | color[:, 2]
    rows["id"] = found.ids
    rows["confidence"] = found.confidence[frame]
    rows["visibility"] = found.visible[frame]
    return rows


def point_cloud(rows: np.ndarray, stamp_ns: int, frame_id: str) -> Fields:
    """``sensor_msgs/PointCloud2`` of points in rows of ``Names.empty_cloud``; NaN = absent."""
    layout = _CLOUD if rows.dtype == CLOUD_DTYPE else _OWNED_CLOUD
    finite = all(bool(np.isfinite(rows[axis]).all()) for axis in "xyz")
    return {
        "header": header(stamp_ns, frame_id),
        "height": 1,
        "width": len(rows),
        "fields": [
            {"name": name, "offset": 4 * place, "datatype": kind, "count": 1}
            for place, (name, _, kind) in enumerate(layout)
        ],
        "is_bigendian": False,
        "point_step": rows.dtype.itemsize,
        "row_step": rows.dtype.itemsize * len(rows),
        "data": np.frombuffer(rows.tobytes(), np.uint8),
        "is_dense": finite,
    }


def scaled_pose(result: WindowResult, frame: int) -> np.ndarray:
    """camera_from_object of a frame in published lengths: [4, 4] float64."""
    pose = np.array(result.camera.camera_from_object[frame], np.float64)
    pose[:3, 3] *= result.scale
    return pose


def scaled_covariance(result: WindowResult, frame: int) -> np.ndarray | None:
    """Covariance [6, 6] float64 of ``scaled_pose``, row and column x, y, z, turns about x, y, z, optical frame.

    None where it is not known, or the frame's pose is not ``valid``.
    """
    known = result.camera.covariance
    if known is None or not result.camera.valid[frame] or not np.isfinite(known[frame]).all():
        return None
    lengths = np.array([result.scale] * 3 + [1.0] * 3)
    scaled: np.ndarray = known[frame] * lengths[:, None] * lengths
    return scaled


def camera_pose(result: WindowResult, frame: int, names: Names) -> Fields:
    """``geometry_msgs/PoseWithCovarianceStamped``: the camera in the object's frame at one image."""
    pose, known = scaled_pose(result, frame), scaled_covariance(result, frame)
    covariance = _UNKNOWN if known is None else invert_covariance(pose, known)
    return stamped_pose(invert_pose(pose), covariance, int(result.stamps_ns[frame]), names.object_frame)


def object_pose(result: WindowResult, frame: int, names: Names) -> Fields:
    """``geometry_msgs/PoseWithCovarianceStamped``: the object in the camera's optical frame at one image."""
    known = scaled_covariance(result, frame)
    covariance = _UNKNOWN if known is None else known
    return stamped_pose(scaled_pose(result, frame), covariance, int(result.stamps_ns[frame]), names.camera_frame)


def transform(result: WindowResult, frame: int, names: Names) -> Fields:
    """``geometry_msgs/TransformStamped``: camera optical frame -> the object's, at one image."""
    pose = scaled_pose(result, frame)
    return stamped_transform(pose, int(result.stamps_ns[frame]), names.camera_frame, names.object_frame)


def path(frame_id: str, stamps_ns: np.ndarray, poses: np.ndarray) -> Fields:
    """``nav_msgs/Path`` of poses [n, 7] (``pose_row``), n at least 1; its header has the last one's stamp."""
    return {
        "header": header(int(stamps_ns[-1]), frame_id),
        "poses": [
            {"header": header(int(stamp), frame_id), "pose": _pose(row)}
            for stamp, row in zip(stamps_ns, poses, strict=True)
        ],
    }


def pose_row(pose: np.ndarray) -> np.ndarray:
    """A rigid [4, 4] transform as [7]: position x, y, z, orientation x, y, z, w."""
    return np.concatenate([np.asarray(pose[:3, 3], np.float64), quaternion_xyzw(pose[:3, :3])])


def stamped_pose(pose: np.ndarray, covariance: np.ndarray, stamp_ns: int, frame_id: str) -> Fields:
    """``geometry_msgs/PoseWithCovarianceStamped`` of a pose [4, 4] and its covariance [6, 6]."""
    placed = _pose(pose_row(pose))
    return {"header": header(stamp_ns, frame_id), "pose": {"pose": placed, "covariance": covariance.flatten()}}


def stamped_transform(pose: np.ndarray, stamp_ns: int, frame_id: str, child_frame_id: str) -> Fields:
    """``geometry_msgs/TransformStamped`` of a pose [4, 4] of the child in the frame."""
    row = _pose(pose_row(pose))
    return {
        "header": header(stamp_ns, frame_id),
        "child_frame_id": child_frame_id,
        "transform": {"translation": row["position"], "rotation": row["orientation"]},
    }


def _pose(row: np.ndarray) -> Fields:
    """``geometry_msgs/Pose`` of ``pose_row``."""
    x, y, z, qx, qy, qz, qw = (float(value) for value in row)
    return {"position": {"x": x, "y": y, "z": z}, "orientation": {"x": qx, "y": qy, "z": qz, "w": qw}}
