"""The fields of what a camera's driver publishes: images, camera_info and the transform to where the camera stands."""

from __future__ import annotations

import numpy as np

from .fields import Fields, header, pose_row


def image(pixels: np.ndarray, encoding: str, stamp_ns: int, frame_id: str) -> Fields:
    """``sensor_msgs/Image`` of [H, W] or [H, W, C] values in one of ROS's encodings, of this machine's byte order."""
    rows = np.ascontiguousarray(pixels)
    return {
        "header": header(stamp_ns, frame_id),
        "height": rows.shape[0],
        "width": rows.shape[1],
        "encoding": encoding,
        "is_bigendian": 0,
        "step": rows[0].nbytes,
        "data": rows.view(np.uint8).ravel(),
    }


def camera_info(intrinsics: np.ndarray | None, size: tuple[int, int], stamp_ns: int, frame_id: str) -> Fields:
    """``sensor_msgs/CameraInfo`` of a pinhole camera without distortion.

    Args:
        intrinsics: [3, 3] K in pixels; None = not calibrated, all zero.
        size: height and width of its images.
        stamp_ns, frame_id: of the image.
    """
    matrix = np.zeros((3, 3)) if intrinsics is None else np.asarray(intrinsics, np.float64)
    return {
        "header": header(stamp_ns, frame_id),
        "height": size[0],
        "width": size[1],
        "distortion_model": "plumb_bob",
        "d": np.zeros(5),
        "k": matrix.ravel(),
        "r": np.zeros(9) if intrinsics is None else np.eye(3).ravel(),
        "p": np.concatenate([matrix, np.zeros((3, 1))], axis=1).ravel(),
        "binning_x": 0,
        "binning_y": 0,
        "roi": {"x_offset": 0, "y_offset": 0, "height": 0, "width": 0, "do_rectify": False},
    }


def frame_transform(parent_from_child: np.ndarray, stamp_ns: int, parent: str, child: str) -> Fields:
    """``geometry_msgs/TransformStamped`` of a rigid [4, 4] transform in metres."""
    x, y, z, qx, qy, qz, qw = (float(value) for value in pose_row(parent_from_child))
    return {
        "header": header(stamp_ns, parent),
        "child_frame_id": child,
        "transform": {
            "translation": {"x": x, "y": y, "z": z},
            "rotation": {"x": qx, "y": qy, "z": qz, "w": qw},
        },
    }
