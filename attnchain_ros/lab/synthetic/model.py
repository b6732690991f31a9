"""An articulated thing in its neutral pose: solids in a tree of joints."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from ...errors import ConfigError
from .solids import Solids, axis_ends


@dataclass(frozen=True)
class Model:
    """One thing in its neutral pose, which is the middle of every joint's range.

    Neutral frame: y is up and the front faces +z, where the camera of yaw 0 stands.

    Attributes:
        solids: P parts, object units.
        parents: [P] index of the part each part hangs on; -1 is the root. A parent comes before its children.
        pivots: [P, 3] float64 point about which the part's joint turns.
        colors: [P, 3] uint8 RGB.
        soft: one skin over all parts, which bends at the joints; otherwise every part is a rigid piece of its own.
        eyes: part that has eyes; -1 is none.
    Raises:
        ConfigError: a solid is none of the three kinds (capsule, plate, plain box).
    """

    solids: Solids
    parents: tuple[int, ...]
    pivots: np.ndarray
    colors: np.ndarray
    soft: bool
    eyes: int = -1

    def __post_init__(self) -> None:
        for part, (half, radius) in enumerate(zip(self.solids.half, self.solids.radii, strict=True)):
            box = radius == 0 and (half > 0).all()
            plate = radius > 0 and half[0] > 0 and half[1] >= 0 and half[2] == 0
            if not (box or plate):
                raise ConfigError(
                    f"part {part} has half extents {half.tolist()} and radius {radius}: wanted a capsule (L/2, 0, 0), "
                    "a plate (a, b, 0) with a radius above 0, or a box with radius 0"
                )

    @property
    def starts(self) -> np.ndarray:
        """[P, 3] float64 first ends of the parts' longest axes."""
        return self._ends[0]

    @property
    def ends(self) -> np.ndarray:
        """[P, 3] float64 second ends of the parts' longest axes."""
        return self._ends[1]

    @cached_property
    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        return axis_ends(self.solids.centers, self.solids.axes, self.solids.half)

    def scaled(self, scale: float) -> Model:
        """The same thing, every length times ``scale``."""
        old = self.solids
        solids = Solids(old.centers * scale, old.axes, old.half * scale, old.radii * scale)
        return replace(self, solids=solids, pivots=self.pivots * scale)


def capsules(starts: np.ndarray, ends: np.ndarray, radii: np.ndarray) -> Solids:
    """Solids from segments: starts, ends [P, 3] and radii [P].

    A capsule's own x runs along the segment; its y is the direction nearest to +z across it (+x for a segment along z).
    """
    axis = ends - starts
    length = np.linalg.norm(axis, axis=1)
    axis = axis / length[:, None]
    towards = np.where(np.abs(axis[:, 2:]) > 0.999, [[1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]])
    side = towards - (towards * axis).sum(axis=1, keepdims=True) * axis
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    half = np.zeros((len(radii), 3))
    half[:, 0] = 0.5 * length
    return Solids(0.5 * (starts + ends), np.stack([axis, side, np.cross(axis, side)], axis=2), half, radii)


def boxes(low: ArrayLike, high: ArrayLike) -> Solids:
    """Plain boxes along the axes from their lowest and highest corners [P, 3]."""
    least, most = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    axes = np.tile(np.eye(3), (len(least), 1, 1))
    return Solids(0.5 * (least + most), axes, 0.5 * (most - least), np.zeros(len(least)))


def join_solids(*groups: Solids) -> Solids:
    """Several groups of solids as one, in order."""
    return Solids(*(np.concatenate([getattr(group, name) for group in groups]) for name in Solids.__match_args__))


def turn_solids(solids: Solids, rotation: np.ndarray, pivot: np.ndarray) -> Solids:
    """The solids turned by a rotation [3, 3] about a point [3]."""
    return replace(solids, centers=(solids.centers - pivot) @ rotation.T + pivot, axes=rotation @ solids.axes)


def mirror_solids(solids: Solids) -> Solids:
    """The solids' mirror image in the plane x = 0."""
    flip = np.array([-1.0, 1.0, 1.0])
    # A rounded box is its own mirror image, so that turning back one of its axes leaves a proper rotation.
    return replace(solids, centers=solids.centers * flip, axes=flip[:, None] * solids.axes * flip)


def tinted(base: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random variation of base colours [P, 3] RGB -> uint8: of every channel, and of the whole brightness."""
    tint = rng.uniform(0.85, 1.12, base.shape) * rng.uniform(0.92, 1.06)
    return np.clip(base * tint, 0, 255).astype(np.uint8)
