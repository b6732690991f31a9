"""The pose of a first frame that nothing is known about, by trying many directions against the mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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

TIED_OVERLAP = 0.08
"""Overlaps this close together leave it to what else is known, if anything is: masks are not as clean as that."""

SAME_DEG = 8.0
"""Fits turned by less than this from one another are one pose."""

QUARTERS_DEG = (90, 180, 270)
"""Turns about the upright axis under which many things look alike."""

_COARSE = 64


@dataclass(frozen=True)
class FirstPose:
    """A pose that fits the first mask.

    Attributes:
        pose: [4, 4] camera_from_object.   overlap: of mask and silhouette, 0 to 1.
    """

    pose: np.ndarray
    overlap: float


def find_first_pose(
    mesh: tuple[np.ndarray, np.ndarray],
    intrinsics: np.ndarray,
    mask: np.ndarray,
    starts: Sequence[np.ndarray] = (),
    evidence: Callable[[np.ndarray], float] | None = None,
    distance: float = 3.5,
) -> tuple[np.ndarray, float] | None:
    """The pose whose silhouette is the mask.

    Objects that look alike from several sides mislead attention and the outline near its guess; the whole outline
    seldom is the same from two sides, so that trying them all finds the right one. Where it is the same, what else is
    known decides.

    Args:
        mesh: vertices [V, 3], object frame, y up, and faces [T, 3].
        intrinsics: [3, 3] K of the mask's pixels.   mask: [S, S] bool, the whole object.
        starts: poses [4, 4] to try as well, the likeliest first; among fits of like overlap they win in this order.
        evidence: what speaks for a pose [4, 4] beside its outline, in units of overlap; only asked where outlines do
            not decide (``TIED_OVERLAP``).
        distance: camera to object of the other directions tried, object units; the mask's size then decides.
    Returns:
        camera_from_object [4, 4] and the overlap of mask and silhouette; None if the mask is empty.
    Raises:
        ShapeError: wrong shapes.   InputError: K cannot be used.
    """
    vertices = mesh[0]
    check_shape("vertices", vertices, "V 3")
    size = check_shape("mask", mask, "S S")["S"]
    if not mask.any():
        return None
    step = max(1, size // _COARSE)
    coarse, small = intrinsics.copy().astype(np.float64), mask[::step, ::step]
    coarse[:2] /= step

    def overlap(pose: np.ndarray, camera: np.ndarray, wanted: np.ndarray) -> float:
        return _overlap(mesh, pose, camera, wanted)

    def laid(start: np.ndarray) -> FirstPose:
        return lay_on_mask(start, mesh, intrinsics, mask)

    tried = [filled for start in directions(vertices, distance)
             if (filled := fit_to_mask(start, vertices, intrinsics, mask)) is not None]  # fmt: skip
    tried.sort(key=lambda pose: -overlap(pose, coarse, small))
    fits = [laid(start) for start in (*starts, *tried[:REFINED])]
    if evidence is not None:
        best = max(fits, key=lambda fit: fit.overlap)
        turned = [turn_upright(best.pose, vertices, degrees) for degrees in QUARTERS_DEG]
        alike = [pose for pose in turned if overlap(pose, coarse, small) > best.overlap - 2 * TIED_OVERLAP]
        fits += [laid(pose) for pose in alike]
        tied = tied_fits(fits)
        if len(tied) > 1:
            # The first start is where attention looked: of equals it wins.
            total = [
                fit.overlap + evidence(fit.pose) + (0.5 * CLOSE_OVERLAP if fit is fits[0] and starts else 0.0)
                for fit in tied
            ]
            chosen = tied[int(np.argmax(total))]
            return chosen.pose, chosen.overlap
    found: FirstPose | None = None
    for fit in fits:
        if found is None or fit.overlap > found.overlap + CLOSE_OVERLAP:
            found = fit
        elif fit.overlap > found.overlap and _apart_deg(fit.pose, found.pose) < 5.0:
            found = fit
    return None if found is None else (found.pose, found.overlap)


def lay_on_mask(
    start: np.ndarray, mesh: tuple[np.ndarray, np.ndarray], intrinsics: np.ndarray, mask: np.ndarray
) -> FirstPose:
    """A pose [4, 4] laid onto the outline of a mask [S, S]; arguments as for ``find_first_pose``."""
    vertices, faces = mesh
    pose = fit_to_outlines(start[None], (vertices[None], faces), intrinsics, mask[None], 1.0)[0]
    return FirstPose(pose, _overlap(mesh, pose, intrinsics, mask))


def tied_fits(fits: Sequence[FirstPose]) -> list[FirstPose]:
    """Of fits, the best of each pose, where its overlap comes near the best of all; in their order."""
    enough = max((fit.overlap for fit in fits), default=0.0) - TIED_OVERLAP
    kept: list[FirstPose] = []
    for fit in sorted((fit for fit in fits if fit.overlap >= enough), key=lambda fit: -fit.overlap):
        if all(_apart_deg(fit.pose, other.pose) > SAME_DEG for other in kept):
            kept.append(fit)
    return [fit for fit in fits if any(fit is other for other in kept)]


def turn_upright(pose: np.ndarray, vertices: np.ndarray, degrees: float) -> np.ndarray:
    """A pose [4, 4] after the object was turned about the upright axis through the middle of its vertices [V, 3]."""
    middle = 0.5 * (vertices.min(axis=0) + vertices.max(axis=0)).astype(np.float64)
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("y", degrees, degrees=True).as_matrix()
    turn[:3, 3] = middle - turn[:3, :3] @ middle
    turned: np.ndarray = pose @ turn
    return turned


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


def _overlap(mesh: tuple[np.ndarray, np.ndarray], pose: np.ndarray, intrinsics: np.ndarray, mask: np.ndarray) -> float:
    vertices, faces = mesh
    drawn = rasterize(to_camera(vertices[None], pose)[0], faces, intrinsics, *mask.shape)
    return silhouette_iou(mask, drawn)


def _apart_deg(one: np.ndarray, other: np.ndarray) -> float:
    turn = Rotation.from_matrix(one[:3, :3] @ other[:3, :3].T)
    return float(np.degrees(turn.magnitude()))
