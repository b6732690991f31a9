"""The motion of all patches of a mesh in one frame where no network says anything: pixels, the outline, each other.

The cost of motions x_p = R_p (r - g_p) + c_p of patches p, r a landmark at rest and g_p their mean:

    sum_p  min(sum w, SAMPLES) * mean_w of GM(|pixel of x_p - track|) / PIXEL_ERROR^2
    +  sum of pairs (p, q)  LINK_SAMPLES * mean over their common places |x_p - x_q|^2 / LINK_ERROR^2
    +  sum_p  HOLD_SAMPLES * mean |x_p - x_p before|^2 / HOLD_ERROR^2
    +  STILL_SAMPLES * GM of rms |x_p - r|   (only for patches that seem not to move)
    +  RIM_SAMPLES * mean_w of (line of the outline - pixel of its place)^2 / RIM_ERROR^2

with GM(e) = s^2 e^2 / (s^2 + e^2). Patches that nothing is seen of are carried by their neighbours.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.transform import Rotation

from .contour import Pulls
from .links import Links
from .solving import (
    PIXEL_ERROR,
    PIXEL_SCALE,
    PIXEL_START,
    SAMPLES,
    STILL_ERROR,
    STILL_SAMPLES,
    STILL_SCALE,
    PartMotions,
    PartShapes,
    Sightings,
    mean_square,
    pixel_misses,
    pull_towards,
)

LINK_ERROR, LINK_SAMPLES = 0.02, 2.0
"""How far two patches may come apart where they touch, object units, and how many landmarks that is worth."""

HOLD_ERROR, HOLD_SAMPLES = 0.1, 1.0
"""How far a patch may move from frame to frame, object units."""

RIM_ERROR, RIM_SAMPLES = 1.5, 30.0
"""What the outline errs, working pixels, and how many independent places it has."""

ROUNDS, LOOK_EVERY = 12, 4
"""Gauss-Newton steps, and after how many of them the outline is compared anew."""

_MOST_TURN = 0.3
"""Radians that a patch may turn in one step."""


def solve_coupled(
    shapes: PartShapes,
    links: Links,
    before: PartMotions,
    still: np.ndarray,
    sightings: Sightings,
    outline: Callable[[PartMotions], Pulls] | None = None,
    *,
    rounds: int = ROUNDS,
) -> tuple[PartMotions, np.ndarray]:
    """The motions of all patches in one frame, together.

    Gauss-Newton from the frame before, whose tracks' scale falls from ``PIXEL_START``.

    Args:
        shapes: of P patches.   links: where they hold each other.
        before: motions in the frame before.
        still: [P] bool, patches whose tracks say that they rest.
        sightings: the frame's tracks.
        outline: what the mask asks under motions; None = nothing.
        rounds: of Gauss-Newton.
    Returns:
        motions, and the share of each patch's track weight that agrees with them [P], NaN without tracks.
    Twin: ``lab.reference.coupled.coupled_residuals``, to which a general least-squares solver is applied.
    """
    count = len(shapes.size)
    rest = PartMotions(np.broadcast_to(np.eye(3), before.turn.shape), shapes.centre)
    total = np.bincount(sightings.part, sightings.weight, count)
    effective = (np.minimum(total, SAMPLES) / np.maximum(total, 1e-12) / PIXEL_ERROR**2)[sightings.part]
    effective = effective * sightings.weight
    now, pulls, beyond = before, None, np.zeros(len(sightings.part))
    for number in range(rounds + 1):
        miss, jacobian = pixel_misses(now, sightings)
        beyond = (miss**2).sum(axis=1) / max(PIXEL_SCALE, PIXEL_START / 2**number) ** 2
        if number == rounds:
            break
        system = _System(count)
        weight = effective / (1 + beyond) ** 2
        system.add_rows(sightings.part, jacobian, miss, weight)
        system.add_pull(shapes, now, before, np.full(count, HOLD_SAMPLES / HOLD_ERROR**2))
        if still.any():
            away = mean_square(shapes, now, rest) / STILL_SCALE**2
            system.add_pull(shapes, now, rest, still * STILL_SAMPLES / STILL_ERROR**2 / (1 + away) ** 2)
        system.add_links(links, shapes, now)
        if outline is not None:
            if number % LOOK_EVERY == 0:
                looked, pulls = now, outline(now)
            assert pulls is not None
            system.add_outline(pulls, shapes, looked, now, sightings)
        now = system.step(now)
    agree = np.bincount(sightings.part, sightings.weight * (beyond < 1), count)
    return now, np.where(total > 0, agree / np.maximum(total, 1e-12), np.nan)


class _System:
    """Normal equations of the motions of P patches: a small turn about each patch's place, and a shift."""

    def __init__(self, count: int) -> None:
        self._matrix = np.zeros((count, count, 6, 6))
        self._right = np.zeros((count, 6))

    def add_rows(self, part: np.ndarray, jacobian: np.ndarray, miss: np.ndarray, weight: np.ndarray) -> None:
        """Measurements [n, m] of one patch each: jacobian [n, m, 6], miss [n, m], weight [n]."""
        weighted = jacobian * weight[:, None, None]
        np.add.at(self._matrix, (part, part), np.einsum("nab,nac->nbc", weighted, jacobian))
        np.add.at(self._right, part, np.einsum("nab,na->nb", weighted, miss))

    def add_pull(self, shapes: PartShapes, now: PartMotions, target: PartMotions, weight: np.ndarray) -> None:
        """Each patch's mean squared distance to another motion, times weight [P]."""
        matrix, right = np.zeros((len(weight), 6, 6)), np.zeros((len(weight), 6))
        pull_towards(matrix, right, shapes, now, target, weight / shapes.size)
        own = np.arange(len(weight))
        self._matrix[own, own] += matrix
        self._right += right

    def add_links(self, links: Links, shapes: PartShapes, now: PartMotions) -> None:
        """Patches that touch stay together."""
        ends = []
        for part in (links.one, links.other):
            arm = np.einsum("lab,lb->la", now.turn[part], links.place - shapes.centre[part])
            ends.append((part, arm, arm + now.place[part]))
        apart = ends[0][2] - ends[1][2]
        weight = links.share * LINK_SAMPLES / LINK_ERROR**2
        slopes = [sign * _motion_slope(arm) for (_, arm, _), sign in zip(ends, (1.0, -1.0), strict=True)]
        for (part, _, _), slope in zip(ends, slopes, strict=True):
            weighted = slope * weight[:, None, None]
            np.add.at(self._right, part, np.einsum("lab,la->lb", weighted, apart))
            for (partner, _, _), opposite in zip(ends, slopes, strict=True):
                np.add.at(self._matrix, (part, partner), np.einsum("lab,lac->lbc", weighted, opposite))

    def add_outline(
        self, pulls: Pulls, shapes: PartShapes, looked: PartMotions, now: PartMotions, sightings: Sightings
    ) -> None:
        """Places of the mesh go to their lines of the picture; ``looked``: the motions they were found under."""
        part = pulls.part
        held = np.einsum("nba,nb->na", looked.turn[part], pulls.place - looked.place[part])
        rows = Sightings(held, part, pulls.pixel, pulls.weight, sightings.camera_from_object, sightings.intrinsics)
        moved, slope = pixel_misses(now, rows)
        miss = pulls.miss + (moved * pulls.normal).sum(axis=1)
        across = np.einsum("na,nab->nb", pulls.normal, slope)
        self.add_rows(part, across[:, None], miss[:, None], pulls.weight * RIM_SAMPLES / RIM_ERROR**2)

    def step(self, now: PartMotions) -> PartMotions:
        """The motions after one step; turns are cut at ``_MOST_TURN``."""
        count = len(self._right)
        matrix = self._matrix.transpose(0, 2, 1, 3).reshape(6 * count, 6 * count) + 1e-6 * np.eye(6 * count)
        found = -cho_solve(cho_factor(matrix, lower=True), self._right.ravel()).reshape(count, 6)
        angle = np.linalg.norm(found[:, :3], axis=1, keepdims=True)
        turn = Rotation.from_rotvec(found[:, :3] * np.minimum(1.0, _MOST_TURN / np.maximum(angle, 1e-12)))
        return PartMotions(turn.as_matrix() @ now.turn, now.place + found[:, 3:])


def _motion_slope(arm: np.ndarray) -> np.ndarray:
    """[n, 3, 6] d(place) / d(turn, shift) of places at arms [n, 3] from their patch's place."""
    slope = np.zeros((len(arm), 3, 6))
    x, y, z = arm.T
    slope[:, 0, 1], slope[:, 0, 2] = z, -y
    slope[:, 1, 0], slope[:, 1, 2] = -z, x
    slope[:, 2, 0], slope[:, 2, 1] = y, -x
    slope[:, :, 3:] = np.eye(3)
    return slope
