"""Six unknowns for every rigid part of a frame, from pixels, from what the chain says, and from what stands still.

The cost of a part with motion x = R (r - g) + p, r its landmarks at rest and g their mean:

    min(sum w, SAMPLES) * mean_w of GM(|pixel of x - track|)  +  CHAIN_SAMPLES * mean |x - x_chain|^2 / CHAIN_ERROR^2
    +  STILL_SAMPLES * GM of rms |x - r|   (only for parts that seem not to move)

with GM(e) = s^2 e^2 / (s^2 + e^2), Geman and McClure's cost of scale s. Means over landmarks are quadratic in the
motion, so they come from nine sums a part; only tracked pixels are looked at one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial.transform import Rotation

from .moments import motion_moments, rigid_motions

PIXEL_ERROR = 1.5
"""Standard deviation of a track, working pixels."""

PIXEL_SCALE, PIXEL_START = 4.0, 16.0
"""Geman-McClure scale of tracks, working pixels: last, and in the first round."""

SAMPLES = 20.0
"""So many independent tracks a part has at most: neighbours err together."""

CHAIN_ERROR, CHAIN_SAMPLES = 0.06, 4.0
"""What the chain's motion of a part may err, object units, and how many independent landmarks it is worth."""

STILL_ERROR, STILL_SCALE, STILL_SAMPLES = 0.02, 0.04, 4.0
"""How far a part that seems not to move may have moved, object units; beyond the scale it is let go."""

LEAST_TRACKS = 6
"""A part with fewer tracks follows the chain."""

LEAST_INLIERS = 0.5
"""Under this share of weight near the solution, the chain's motion stays."""

ROUNDS = 6


@dataclass(frozen=True)
class PartShapes:
    """The landmarks of rigid parts at rest, as sums.

    Attributes:
        centre: [P, 3] mean landmark; spread: [P, 3, 3] sum of a a^T, a = r - centre; size: [P] landmarks.
    """

    centre: np.ndarray
    spread: np.ndarray
    size: np.ndarray

    @classmethod
    def of(cls, rest: np.ndarray, part: np.ndarray) -> PartShapes:
        """From landmarks [K, 3] and their part [K], numbered from 0 without gaps."""
        count = int(part.max()) + 1
        size = np.bincount(part, minlength=count)
        centre = np.stack([np.bincount(part, rest[:, axis], count) for axis in range(3)], axis=1) / size[:, None]
        arm = rest - centre[part]
        spread = np.zeros((count, 3, 3))
        np.add.at(spread, part, arm[:, :, None] * arm[:, None, :])
        return cls(centre, spread, size)


@dataclass(frozen=True)
class PartMotions:
    """x = turn (r - centre) + place for every part: turn [P, 3, 3], place [P, 3]."""

    turn: np.ndarray
    place: np.ndarray

    def move(self, points: np.ndarray, part: np.ndarray, shapes: PartShapes) -> np.ndarray:
        """Points at rest [n, 3] of parts [n] under their motions, [n, 3]."""
        return np.einsum("nab,nb->na", self.turn[part], points - shapes.centre[part]) + self.place[part]


@dataclass(frozen=True)
class _Given:
    """What is known of P parts beside their tracks: landmarks, the chain's motion, and [P] bool whether it rests."""

    shapes: PartShapes
    chain: PartMotions
    still: np.ndarray


@dataclass(frozen=True)
class Sightings:
    """Tracked pixels of one frame.

    Attributes:
        arm: [T, 3] landmark at rest less its part's centre; part: [T] integer.
        pixel: [T, 2] where the track is, pixels of ``intrinsics``; weight: [T] positive.
        camera_from_object: [4, 4]; intrinsics: [3, 3].
    """

    arm: np.ndarray
    part: np.ndarray
    pixel: np.ndarray
    weight: np.ndarray
    camera_from_object: np.ndarray
    intrinsics: np.ndarray


def solve_parts(
    shapes: PartShapes, chain: PartMotions, still: np.ndarray, sightings: Sightings, rounds: int = ROUNDS
) -> tuple[PartMotions, np.ndarray]:
    """The motion of every part in one frame.

    Gauss-Newton from the chain's motion, whose tracks' scale falls from ``PIXEL_START``; for parts that seem still also
    from rest; the cheaper of the two.

    Args:
        shapes, chain: of P parts.
        still: [P] bool, parts whose tracks say that they have not moved.
        sightings: the frame's tracks.
        rounds: of Gauss-Newton.
    Returns:
        motions, and the share of each part's track weight that agrees with them [P] (NaN: too few tracks, the tracks
        had no say).
    Twin: ``lab.reference.parts.part_cost``, to which a general least-squares solver is applied.
    """
    count = len(shapes.size)
    known = np.bincount(sightings.part, minlength=count) >= LEAST_TRACKS
    used = known[sightings.part]
    tracks = Sightings(
        sightings.arm[used], sightings.part[used], sightings.pixel[used], sightings.weight[used],
        sightings.camera_from_object, sightings.intrinsics,
    )  # fmt: skip
    given = _Given(shapes, chain, still)
    best, cost, share = _descend(given, chain, tracks, PIXEL_START, rounds)
    if still.any():
        rest = PartMotions(
            np.where(still[:, None, None], np.eye(3), chain.turn),
            np.where(still[:, None], shapes.centre, chain.place),
        )
        other, other_cost, other_share = _descend(given, rest, tracks, PIXEL_SCALE, rounds)
        cheaper = still & (other_cost < cost)
        best = PartMotions(
            np.where(cheaper[:, None, None], other.turn, best.turn), np.where(cheaper[:, None], other.place, best.place)
        )
        share = np.where(cheaper, other_share, share)
    refused = known & (share < LEAST_INLIERS)
    motions = PartMotions(
        np.where(refused[:, None, None], chain.turn, best.turn), np.where(refused[:, None], chain.place, best.place)
    )
    return motions, np.where(known, share, np.nan)


def _descend(
    given: _Given, start: PartMotions, tracks: Sightings, scale: float, rounds: int
) -> tuple[PartMotions, np.ndarray, np.ndarray]:
    """Gauss-Newton on all parts at once; motions, cost [P] and inlier share [P] of the last round."""
    shapes, still = given.shapes, given.still
    count = len(shapes.size)
    members = csr_array((np.ones(len(tracks.part)), (tracks.part, np.arange(len(tracks.part)))),
                        shape=(count, len(tracks.part)))  # fmt: skip
    total = np.maximum(members @ tracks.weight, 1e-12)
    effective = (np.minimum(total, SAMPLES) / total / PIXEL_ERROR**2)[tracks.part] * tracks.weight
    turn, place = start.turn, start.place
    rest = PartMotions(np.broadcast_to(np.eye(3), turn.shape), shapes.centre)
    for number in range(rounds + 1):
        matrix, right = np.zeros((count, 6, 6)), np.zeros((count, 6))
        now = PartMotions(turn, place)
        cost = pull_towards(matrix, right, shapes, now, given.chain, CHAIN_SAMPLES / shapes.size / CHAIN_ERROR**2)
        if still.any():
            apart = mean_square(shapes, now, rest)
            beyond = apart / STILL_SCALE**2
            weight = still * STILL_SAMPLES / STILL_ERROR**2
            pull_towards(matrix, right, shapes, now, rest, weight / shapes.size / (1 + beyond) ** 2)
            cost = cost + weight * apart / (1 + beyond)
        wide = max(PIXEL_SCALE, scale / 2**number)
        miss, jacobian = pixel_misses(now, tracks)
        beyond = (miss**2).sum(axis=1) / wide**2
        weight = effective / (1 + beyond) ** 2
        wrong = ~np.isfinite(weight)
        weight = np.where(wrong, 0.0, weight)
        weighted = jacobian * weight[:, None, None]
        matrix += (members @ np.einsum("nab,nac->nbc", weighted, jacobian).reshape(-1, 36)).reshape(-1, 6, 6)
        right += members @ np.einsum("nab,na->nb", weighted, miss)
        cost = cost + members @ np.where(wrong, effective, effective * beyond / (1 + beyond)) * wide**2
        if number == rounds:
            break
        step = -np.linalg.solve(matrix + 1e-6 * np.eye(6), right[..., None])[..., 0]
        turn = Rotation.from_rotvec(step[:, :3]).as_matrix() @ turn
        place = place + step[:, 3:]
    share = (members @ (tracks.weight * (beyond < 1))) / total
    return PartMotions(turn, place), cost, share


def pixel_misses(motions: PartMotions, tracks: Sightings) -> tuple[np.ndarray, np.ndarray]:
    """How far projected landmarks lie from their tracks, and how that changes with their part's motion.

    Returns:
        [T, 2] pixels (projected less tracked; of points at or behind the camera zero, with a zero Jacobian), and
        [T, 2, 6]: d / d(turn vector [rad] about the part's own place, shift), turn -> exp(vector) turn.
    """
    pose = tracks.camera_from_object
    turned = np.einsum("nab,nb->na", motions.turn[tracks.part], tracks.arm)
    seen = (turned + motions.place[tracks.part]) @ pose[:3, :3].T + pose[:3, 3]
    flat = seen @ tracks.intrinsics.T
    ahead = flat[:, 2] > 1e-6
    depth = np.where(ahead, flat[:, 2], 1.0)[:, None]
    pixel = flat[:, :2] / depth
    slope = (tracks.intrinsics[None, :2] - pixel[:, :, None] * tracks.intrinsics[None, 2:]) / depth[:, None]
    slope = slope @ pose[:3, :3]
    jacobian = np.concatenate([np.cross(turned[:, None], slope), slope], axis=2)
    return np.where(ahead[:, None], pixel - tracks.pixel, 0.0), np.where(ahead[:, None, None], jacobian, 0.0)


def mean_square(shapes: PartShapes, one: PartMotions, other: PartMotions) -> np.ndarray:
    """[P] mean squared distance of the landmarks between two motions of their parts."""
    crossed = np.einsum("pab,pbc,pdc->pad", one.turn, shapes.spread, other.turn)
    turned = 2 * (np.trace(shapes.spread, axis1=1, axis2=2) - np.trace(crossed, axis1=1, axis2=2))
    found: np.ndarray = np.maximum(turned, 0.0) / shapes.size + ((one.place - other.place) ** 2).sum(axis=1)
    return found


def pull_towards(
    matrix: np.ndarray, right: np.ndarray, shapes: PartShapes, now: PartMotions, target: PartMotions, weight: np.ndarray
) -> np.ndarray:
    """Add ``weight`` [P] times the summed squared distance to a target motion to the normal equations; its cost [P]."""
    crossed = np.einsum("pab,pbc,pdc->pad", now.turn, shapes.spread, target.turn)
    spread = np.einsum("pab,pbc,pdc->pad", now.turn, shapes.spread, now.turn)
    size = shapes.size
    turning = np.trace(spread, axis1=1, axis2=2)[:, None, None] * np.eye(3) - spread
    axial = np.stack(
        [crossed[:, 1, 2] - crossed[:, 2, 1], crossed[:, 2, 0] - crossed[:, 0, 2], crossed[:, 0, 1] - crossed[:, 1, 0]],
        axis=1,
    )
    matrix[:, :3, :3] += weight[:, None, None] * turning
    matrix[:, 3:, 3:] += (weight * size)[:, None, None] * np.eye(3)
    right[:, :3] -= weight[:, None] * axial
    right[:, 3:] += (weight * size)[:, None] * (now.place - target.place)
    found: np.ndarray = weight * size * mean_square(shapes, now, target)
    return found


def motions_of(places: np.ndarray, part: np.ndarray, shapes: PartShapes, rest: np.ndarray) -> PartMotions:
    """The rigid motions that best carry landmarks [K, 3] at rest onto places [K, 3], part by part."""
    sums = motion_moments(rest, places[None], np.ones((1, len(part))), part, len(shapes.size))
    turn, shift = rigid_motions(sums[:, 0])
    return PartMotions(turn, np.einsum("pab,pb->pa", turn, shapes.centre) + shift)
