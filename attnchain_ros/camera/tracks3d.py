"""3D tracks: points carried by the animated surface, seen from the estimated camera (Eq. 9)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from ..shapes import check_shape
from .intrinsics import check_intrinsics
from .raycast import RasterBuffer


def carry_points(vertices: np.ndarray, faces: np.ndarray, face: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
    """Follow points fixed to triangles through the frames of an animated mesh (the sum in Eq. 9).

    Args:
        vertices: [F, V, 3] animated vertices, any frame and units.
        faces: [T, 3] integers.
        face: [Q] integers, triangle of each point; -1 = on no triangle.
        barycentric: [Q, 3] weights of the triangle's corners.
    Returns:
        [F, Q, 3] float32, frame and units of ``vertices``; NaN where ``face`` is -1.
    Raises:
        ShapeError: sizes disagree.   InputError: a face index does not exist.
    Twin: ``lab.reference.tracks3d.carry_points``.
    """
    check_shape("vertices", vertices, "F V 3")
    axes = check_shape("faces", faces, "T 3")
    axes = check_shape("face", face, "Q", **axes)
    check_shape("barycentric", barycentric, "Q 3", **axes)
    face = np.asarray(face, dtype=np.int64)
    if len(face) and not (-1 <= face.min() and face.max() < axes["T"]):
        raise InputError(f"face indices run from {face.min()} to {face.max()}, wanted -1 to {axes['T'] - 1}")
    carried = np.full((len(vertices), len(face), 3), np.nan, dtype=np.float32)
    held = np.flatnonzero(face >= 0)
    corners = np.asarray(faces)[face[held]]
    weight = np.asarray(barycentric, dtype=np.float64)[held]
    carried[:, held] = sum(vertices[:, corners[:, corner]] * weight[:, corner, None] for corner in range(3))
    return carried


def to_camera(points: np.ndarray, camera_from_object: np.ndarray) -> np.ndarray:
    """Take object points of each frame into that frame's camera (R* and t* in Eq. 9).

    Args:
        points: [F, Q, 3] object frame.
        camera_from_object: [F, 4, 4], or [4, 4] for one pose of all frames.
    Returns:
        [F, Q, 3] float32, optical frame, same units; NaN stays NaN.
    Raises:
        ShapeError: sizes disagree.
    Twin: ``lab.reference.tracks3d.to_camera``.
    """
    axes = check_shape("points", points, "F Q 3")
    pattern = "4 4" if camera_from_object.ndim == 2 else "F 4 4"
    check_shape("camera_from_object", camera_from_object, pattern, "one pose per frame", **axes)
    pose = np.asarray(camera_from_object, dtype=np.float64)
    turned = np.asarray(points, dtype=np.float64) @ np.swapaxes(pose[..., :3, :3], -1, -2)
    return (turned + pose[..., None, :3, 3]).astype(np.float32)


def project(intrinsics: np.ndarray, points_camera: np.ndarray) -> np.ndarray:
    """Pixels [..., 2] float64 of camera points [..., 3] (pi_K in Eq. 8); NaN at or behind the camera plane.

    Raises:
        ShapeError: wrong shapes.   InputError: K cannot be used.
    Twin: ``lab.reference.tracks3d.project``.

    >>> project(np.array([[100.0, 0, 50], [0, 100, 40], [0, 0, 1]]), np.array([0.5, -0.2, 2.0])).tolist()
    [75.0, 30.0]
    """
    matrix = check_intrinsics(intrinsics)
    check_shape("points_camera", points_camera, "... 3")
    points = np.asarray(points_camera, dtype=np.float64)
    depth = points[..., 2:]
    flat = points @ matrix[:2].T
    pixels: np.ndarray = np.full_like(flat, np.nan)
    np.divide(flat, depth, out=pixels, where=depth > 0)
    return pixels


def visibility(
    points_camera: np.ndarray, buffers: Sequence[RasterBuffer], intrinsics: np.ndarray, margin: float
) -> np.ndarray:
    """Which points of an object the camera sees, by the z-buffer of the object itself in each frame.

    A point is visible if its nearest pixel is inside the image and the surface drawn there is at most ``margin``
    nearer than the point. A pixel without a surface hides nothing (a point on the outline may round onto it).

    Args:
        points_camera: [F, Q, 3] optical frame; NaN = absent, never visible.
        buffers: F z-buffers of the posed mesh, same camera and units.
        intrinsics: [3, 3] K of the buffers' pixels.
        margin: depth tolerance, units of the points.
    Returns:
        [F, Q] bool.
    Raises:
        ShapeError: sizes disagree.   InputError: not F buffers, negative margin, or K unusable.
    Twin: ``lab.reference.tracks3d.visibility``.
    """
    axes = check_shape("points_camera", points_camera, "F Q 3")
    if len(buffers) != axes["F"]:
        raise InputError(f"there are {len(buffers)} buffers for {axes['F']} frames, wanted one per frame")
    if not margin >= 0:
        raise InputError(f"margin is {margin}, wanted a depth of 0 or more")
    nearest = np.rint(project(intrinsics, points_camera))
    visible = np.zeros((axes["F"], axes["Q"]), dtype=bool)
    for frame, buffer in enumerate(buffers):
        height, width = buffer.depth.shape
        x, y = nearest[frame, :, 0], nearest[frame, :, 1]
        # Comparisons with NaN are false, so absent points drop out here.
        inside = np.flatnonzero((x >= 0) & (x < width) & (y >= 0) & (y < height))
        surface = buffer.depth[y[inside].astype(np.int64), x[inside].astype(np.int64)]
        visible[frame, inside] = points_camera[frame, inside, 2] <= surface + margin
    return visible
