"""Sequences made by hand for the evaluation's tests."""

from __future__ import annotations

import numpy as np

from attnchain_ros.rollout.window import CameraTrack, PointTracks, WindowResult


def window_result(
    vertices: np.ndarray,
    faces: np.ndarray,
    poses: np.ndarray,
    intrinsics: np.ndarray,
    points_px: np.ndarray,
    index: int = 0,
    first_stamp: int = 0,
) -> WindowResult:
    """A window's result whose mesh, poses and 2D tracks are given and all else is empty."""
    frames, count = points_px.shape[:2]
    absent = np.full((frames, count, 3), np.nan, np.float32)
    return WindowResult(
        index=index,
        topology_id=0,
        stamps_ns=np.arange(first_stamp, first_stamp + frames, dtype=np.int64),
        shared_first=index > 0,
        vertices=vertices.astype(np.float32),
        faces=faces.astype(np.int32),
        vertex_colors=np.zeros((vertices.shape[1], 3), np.uint8),
        confidence=np.ones(frames, np.float32),
        landmark_vertices=np.zeros(0, np.int64),
        landmarks=np.zeros((frames, 0, 3), np.float32),
        landmark_valid=np.zeros((frames, 0), bool),
        tracks=PointTracks(
            ids=np.arange(count),
            points_px=points_px.astype(np.float32),
            points_object=absent,
            points_camera=absent,
            visible=np.ones((frames, count), bool),
            confidence=np.ones((frames, count), np.float32),
            colors=np.zeros((count, 3), np.uint8),
            face=np.full(count, -1, np.int32),
            barycentric=np.zeros((count, 3), np.float32),
        ),
        camera=CameraTrack(
            intrinsics=intrinsics,
            intrinsics_given=True,
            camera_from_object=poses,
            valid=np.ones(frames, bool),
            inliers=np.full(frames, 100, np.int32),
            reprojection_px=np.zeros(frames, np.float32),
        ),
        scale=1.0,
        metric=False,
        silhouette_iou=1.0,
    )


def turn(axis: int, degrees: float) -> np.ndarray:
    """[3, 3] rotation about an axis, written out."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    a, b = [(1, 2), (2, 0), (0, 1)][axis]
    matrix[a, a] = matrix[b, b] = c
    matrix[a, b], matrix[b, a] = -s, s
    return matrix
