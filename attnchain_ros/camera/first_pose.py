"""The pose of a first frame that nothing is known about, by trying many directions against the mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from ..shapes import check_shape
from .outline import fit_to_outlines
from .raycast import rasterize, silhouette_iou
from .silhouette import fit_to_mask
from .tracks3d import to_camera

YAWS_DEG, TILTS_DEG = range(0, 360, 30), (0, 20, 40)
"""Directions tried: turns about the object's upright axis, seen from so far above."""

REFINED = 8
"""Directions that are laid onto the outline, those whose silhouettes overlap most with the mask."""

CLOSE_OVERLAP = 0.02
"""Overlaps this close together do not decide: the earlier start does."""

_COARSE = 64


def find_first_pose(
    mesh: tuple[np.ndarray, np.ndarray],
    intrinsics: np.ndarray,
    mask: np.ndarray,
    starts: Sequence[np.ndarray] = (),
    distance: float = 3.5,
) -> tuple[np.ndarray, float] | None:
    """The pose whose silhouette is the mask.

    Objects that look alike from several sides mislead attention and the outline near its guess; the whole outline
    seldom is the same from two sides, so that trying them all finds the right one.

    Args:
        mesh: vertices [V, 3], object frame, y up, and faces [T, 3].
        intrinsics: [3, 3] K of the mask's pixels.   mask: [S, S] bool, the whole object.
        starts: poses [4, 4] to try as well, the likeliest first; among fits of like overlap they win in this order.
        distance: camera to object of the other directions tried, object units; the mask's size then decides.
    Returns:
        camera_from_object [4, 4] and the overlap of mask and silhouette; None if the mask is empty.
    Raises:
        ShapeError: wrong shapes.   InputError: K cannot be used.
    """
    vertices, faces = mesh
    check_shape("vertices", vertices, "V 3")
    size = check_shape("mask", mask, "S S")["S"]
    if not mask.any():
        return None
    step = max(1, size // _COARSE)
    coarse, small = intrinsics.copy().astype(np.float64), mask[::step, ::step]
    coarse[:2] /= step

    def overlap(pose: np.ndarray, camera: np.ndarray, wanted: np.ndarray) -> float:
        drawn = rasterize(to_camera(vertices[None], pose)[0], faces, camera, *wanted.shape)
        return silhouette_iou(wanted, drawn)

    tried = [filled for start in directions(vertices, distance)
             if (filled := fit_to_mask(start, vertices, intrinsics, mask)) is not None]  # fmt: skip
    tried.sort(key=lambda pose: -overlap(pose, coarse, small))
    best: tuple[np.ndarray, float] | None = None
    for start in (*starts, *tried[:REFINED]):
        pose = fit_to_outlines(start[None], (vertices[None], faces), intrinsics, mask[None], 1.0)[0]
        found = overlap(pose, intrinsics, mask)
        if best is None or found > best[1] + CLOSE_OVERLAP:
            best = (pose, found)
        elif found > best[1] and _apart_deg(pose, best[0]) < 5.0:
            best = (pose, found)
    return best


def directions(vertices: np.ndarray, distance: float) -> list[np.ndarray]:
    """Poses [4, 4] that look at the middle of vertices [V, 3] from all around."""
    middle = 0.5 * (vertices.min(axis=0) + vertices.max(axis=0))
    found = []
    for yaw in YAWS_DEG:
        for tilt in TILTS_DEG:
            pose = np.eye(4)
            turn = Rotation.from_euler("x", tilt, degrees=True) * Rotation.from_euler("y", -yaw, degrees=True)
            pose[:3, :3] = np.diag([1.0, -1.0, -1.0]) @ turn.as_matrix()
            pose[:3, 3] = [0, 0, distance] - pose[:3, :3] @ middle
            found.append(pose)
    return found


def _apart_deg(one: np.ndarray, other: np.ndarray) -> float:
    turn = Rotation.from_matrix(one[:3, :3] @ other[:3, :3].T)
    return float(np.degrees(turn.magnitude()))
