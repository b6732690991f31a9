"""Joint motion without end and forward kinematics of a tree of solids.

Every joint angle and every slide is a sum of two sinusoids whose frequencies are whole multiples of 1 /
``PERIOD_FRAMES``: the speed per frame does not depend on how many frames are asked for, and one pass over the period
bounds the motion for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...errors import InputError
from .model import Model
from .solids import Solids, axis_ends, corner_points

PERIOD_FRAMES = 240
"""Frames after which the motion repeats."""

FIT_RADIUS = 0.985
"""Radius of the sphere the solids stay in; the rest of the unit sphere is room for the mesh's own error."""


@dataclass(frozen=True)
class Waves:
    """Sums of two sinusoids for every part and axis.

    Attributes:
        amplitude: [2, P, 3] float64.
        cycles: [2, P, 3] int64 whole cycles per ``PERIOD_FRAMES``.
        phase: [2, P, 3] float64 radians.
    """

    amplitude: np.ndarray
    cycles: np.ndarray
    phase: np.ndarray

    @classmethod
    def still(cls, parts: int) -> Waves:
        """No motion at all, to be filled in."""
        shape = (2, parts, 3)
        return cls(np.zeros(shape), np.zeros(shape, dtype=np.int64), np.zeros(shape))

    def at(self, times: np.ndarray) -> np.ndarray:
        """Values [F, P, 3] at times [F], in frames; need not be whole."""
        turns = 2 * np.pi * np.asarray(times, dtype=np.float64) / PERIOD_FRAMES
        waves: np.ndarray = self.amplitude * np.sin(self.cycles * turns[:, None, None, None] + self.phase)
        summed: np.ndarray = waves.sum(axis=1)
        return summed


@dataclass(frozen=True)
class Motion:
    """What every joint does.

    Attributes:
        turns: radians about x, y, z of the neutral frame, about the part's pivot.
        slides: object units before scaling, along x, y, z of the neutral frame; of the root: the whole thing's shift.
    """

    turns: Waves
    slides: Waves


@dataclass(frozen=True)
class Pose:
    """Posed solids of F frames and the rigid motions that posed them.

    Attributes:
        centers: [F, P, 3] float64, object frame; axes: [F, P, 3, 3] float64, columns are a solid's own x, y, z.
        half: [P, 3] float64; radii: [P] float64.
        rotations: [F, P, 3, 3] float64 and shifts: [F, P, 3] float64, so that a point x of the neutral pose that is
            fixed to part p lies at ``rotations[f, p] @ x + shifts[f, p]``.
    """

    centers: np.ndarray
    axes: np.ndarray
    half: np.ndarray
    radii: np.ndarray
    rotations: np.ndarray
    shifts: np.ndarray

    def __len__(self) -> int:
        return len(self.centers)

    def solids(self, frame: int) -> Solids:
        """The solids of one frame."""
        return Solids(self.centers[frame], self.axes[frame], self.half, self.radii)

    @property
    def starts(self) -> np.ndarray:
        """[F, P, 3] float64 first ends of the parts' longest axes."""
        return self._ends[0]

    @property
    def ends(self) -> np.ndarray:
        """[F, P, 3] float64 second ends of the parts' longest axes."""
        return self._ends[1]

    @cached_property
    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        return axis_ends(self.centers, self.axes, self.half)

    @cached_property
    def corners(self) -> np.ndarray:
        """[F, P, 8, 3] float64: balls of the part's radius about these points span the part."""
        return corner_points(self.centers, self.axes, self.half)


def rotation_matrices(angles: np.ndarray) -> np.ndarray:
    """Rotations [..., 3, 3] from angles [..., 3] about x, y, z: roll about x first, then z, then y."""
    cx, cy, cz = np.moveaxis(np.cos(angles), -1, 0)
    sx, sy, sz = np.moveaxis(np.sin(angles), -1, 0)
    rows = (
        (cy * cz, -cy * sz * cx + sy * sx, cy * sz * sx + sy * cx),
        (sz, cz * cx, -cz * sx),
        (-sy * cz, sy * sz * cx + cy * sx, -sy * sz * sx + cy * cx),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def pose_model(model: Model, motion: Motion, times: np.ndarray) -> Pose:
    """Forward kinematics of the tree.

    Args:
        model: neutral pose.
        motion: joint angles and slides over time.
        times: [F] frame numbers.
    Returns:
        the solids of every frame, in the neutral pose's frame and units.
    """
    times = np.asarray(times, dtype=np.float64)
    parts = len(model.parents)
    local, slides = rotation_matrices(motion.turns.at(times)), motion.slides.at(times)
    rotations = np.empty((len(times), parts, 3, 3))
    shifts = np.empty((len(times), parts, 3))
    for part, parent in enumerate(model.parents):
        pivot = model.pivots[part]
        offset = pivot - local[:, part] @ pivot + slides[:, part]
        if parent < 0:
            rotations[:, part], shifts[:, part] = local[:, part], offset
        else:
            rotations[:, part] = rotations[:, parent] @ local[:, part]
            shifts[:, part] = np.einsum("fij,fj->fi", rotations[:, parent], offset) + shifts[:, parent]
    solids = model.solids
    centers = np.einsum("fpij,pj->fpi", rotations, solids.centers) + shifts
    return Pose(centers, rotations @ solids.axes, solids.half, solids.radii, rotations, shifts)


def fit_unit_sphere(model: Model, motion: Motion) -> tuple[float, Pose]:
    """Scale and shift the thing so that frame 0 is centred at the origin and the whole motion is in the unit sphere.

    Returns:
        ``(scale, pose)``: the scale that was applied and the pose of all ``PERIOD_FRAMES`` frames, after which the
        motion repeats. One scale and one shift for all frames, however many are used, so that longer clips start
        with the shorter ones.
    """
    pose = pose_model(model, motion, np.arange(PERIOD_FRAMES))
    points, reach = pose.corners, pose.radii[:, None]
    first, grown = points[0], reach[..., None]
    centre = 0.5 * ((first - grown).min(axis=(0, 1)) + (first + grown).max(axis=(0, 1)))
    farthest = (np.linalg.norm(points - centre, axis=-1) + reach).max()
    scale = float(FIT_RADIUS / farthest)
    fitted = Pose(
        scale * (pose.centers - centre),
        pose.axes,
        scale * pose.half,
        scale * pose.radii,
        pose.rotations,
        scale * (pose.shifts - centre),
    )
    return scale, fitted


def take_frames(pose: Pose, frames: np.ndarray) -> Pose:
    """The pose of the given frames only; ``frames`` is [n] indices."""
    return Pose(
        pose.centers[frames], pose.axes[frames], pose.half, pose.radii, pose.rotations[frames], pose.shifts[frames]
    )


def ping_pong(count: int, length: int) -> np.ndarray:
    """[length] int64 frame numbers 0, 1, ..., count - 1, count - 2, ..., 1, 0, 1, ... (App. C).

    Raises:
        InputError: fewer than one frame.

    >>> ping_pong(4, 9).tolist()
    [0, 1, 2, 3, 2, 1, 0, 1, 2]
    """
    if count < 1 or length < 0:
        raise InputError(f"{count} frames cannot be played for {length} frames: give at least one")
    if count == 1:
        return np.zeros(length, np.int64)
    place = np.arange(length) % (2 * (count - 1))
    return np.where(place < count, place, 2 * (count - 1) - place)
