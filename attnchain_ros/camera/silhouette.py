"""Moving a camera pose so that the object's outline fills its mask: for poses from few or coarse patches."""

from __future__ import annotations

import numpy as np

from ..shapes import check_shape
from .intrinsics import check_intrinsics
from .tracks3d import project

ROUNDS = 4
"""Scale and shift are not independent in perspective; four rounds settle both to well below a pixel."""

MOST_SCALE = 2.0
"""A pose whose outline is more than this many times too small or too large is not one to repair."""


def mask_box(mask: np.ndarray) -> np.ndarray | None:
    """Outer edges (left, top, right, bottom) of a mask [H, W] in pixels, or None where it is empty or cut by the frame.

    A mask that touches the frame's border may go on outside, so its box says nothing about the object's size.
    """
    check_shape("mask", mask, "H W")
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        return None
    height, width = mask.shape
    if rows[0] == 0 or columns[0] == 0 or rows[-1] == height - 1 or columns[-1] == width - 1:
        return None
    return np.array([columns[0] - 0.5, rows[0] - 0.5, columns[-1] + 0.5, rows[-1] + 0.5])


def fit_to_mask(
    camera_from_object: np.ndarray, vertices: np.ndarray, intrinsics: np.ndarray, mask: np.ndarray
) -> np.ndarray | None:
    """Keep a pose's rotation and move the camera so that the projected vertices fill the mask's bounding box.

    Not in the paper: attention on a coarse patch grid gives the direction of view, but blurs the outline inwards, so
    that the object comes out too far away. The mask knows better.

    Args:
        camera_from_object: [4, 4] pose to start from.
        vertices: [V, 3] posed mesh, object frame.
        intrinsics: [3, 3] K of the mask's pixels.
        mask: [H, W] bool, the whole object: not occluded.
    Returns:
        [4, 4] the moved pose; None where the mask is empty or cut by the frame, or the pose is too far off.
    Raises:
        ShapeError: wrong shapes.   InputError: K cannot be used.
    """
    check_shape("camera_from_object", camera_from_object, "4 4")
    check_shape("vertices", vertices, "V 3")
    matrix = check_intrinsics(intrinsics)
    box = mask_box(np.asarray(mask).astype(bool, copy=False))
    if box is None:
        return None
    turned = np.asarray(vertices, np.float64) @ camera_from_object[:3, :3].T
    middle = 0.5 * (turned.max(axis=0) + turned.min(axis=0))
    shift = camera_from_object[:3, 3].astype(np.float64)
    wanted = box[2:] - box[:2]
    for _ in range(ROUNDS):
        pixels = project(matrix, turned + shift)
        if np.isnan(pixels).any():
            return None
        low, high = pixels.min(axis=0), pixels.max(axis=0)
        if not (high > low).all():
            return None
        scale = float(np.sqrt(np.prod(wanted / (high - low))))
        if not 1.0 / MOST_SCALE < scale < MOST_SCALE:
            return None
        centre = (middle + shift) / scale
        away = 0.5 * (box[:2] + box[2:]) - 0.5 * (low + high)
        centre[:2] += away / (matrix[0, 0], matrix[1, 1]) * centre[2]
        shift = centre - middle
    moved = np.array(camera_from_object, np.float64)
    moved[:3, 3] = shift
    return moved
