"""Which camera poses of a window cannot be: jumps, too few matches, an object that is not in front of the camera.

Not in the paper. PnP finds a pose for whatever matches it is given, and says how well these agree with it; that a
camera does not leap from one side of an object to the other in a fifteenth of a second, only a frame's neighbours say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from ..config import GateConfig
from ..shapes import check_shape

NOISE_ZOOM = 1.25
"""Factor by which the distance of a good pose may be off."""

MAJORITY = 0.6
"""If fewer than this share of a window's poses can belong to one motion, none of them is believed."""

KEPT = 3
"""Poses at a window's end that the next window is compared with."""

_NEIGHBOURS = 2
"""Frames before and after that say where a frame's pose should be."""

_SPREAD = 6.0
"""A pose this many robust standard deviations off its neighbours' path is an outlier."""

_MAD_SIGMA = 1.4826
"""Standard deviation of a Gaussian over its median absolute deviation."""


@dataclass(frozen=True)
class PoseSeen:
    """Where the object was seen in frames, in order of time.

    Attributes:
        turn: [n, 3, 3] rotations of ``camera_from_object``.
        place: [n, 3] the object's middle in the optical frame, object units.
        stamps_ns: [n] int64, not falling.
    """

    turn: np.ndarray
    place: np.ndarray
    stamps_ns: np.ndarray

    @classmethod
    def of(cls, camera_from_object: np.ndarray, middles: np.ndarray, stamps_ns: np.ndarray) -> PoseSeen:
        """From poses [n, 4, 4] and the object's middle [n, 3] in its own frame.

        Raises:
            ShapeError: sizes disagree.
        """
        axes = check_shape("camera_from_object", camera_from_object, "n 4 4")
        check_shape("middles", middles, "n 3", **axes)
        check_shape("stamps_ns", stamps_ns, "n", **axes)
        turn = np.asarray(camera_from_object, np.float64)[:, :3, :3]
        place = np.einsum("nij,nj->ni", turn, middles) + camera_from_object[:, :3, 3]
        return cls(turn, place, np.asarray(stamps_ns, np.int64))

    def rows(self, chosen: np.ndarray) -> PoseSeen:
        """Some of the frames."""
        return PoseSeen(self.turn[chosen], self.place[chosen], self.stamps_ns[chosen])

    def __len__(self) -> int:
        """Number of frames n."""
        return len(self.stamps_ns)


@dataclass(frozen=True)
class Gated:
    """What the gate says about a window's poses.

    Attributes:
        trusted: [F] bool; a subset of those that were asked about.
        reasons: by frame, why it is not trusted, with numbers.
        whole: why none is; empty where single frames are judged.
        recent: poses that the next window is compared with; None if there are none.
    """

    trusted: np.ndarray
    reasons: dict[int, str]
    whole: str
    recent: PoseSeen | None


def gate_poses(
    seen: PoseSeen, asked: np.ndarray, shares: np.ndarray, config: GateConfig, before: PoseSeen | None = None
) -> Gated:
    """Decide which poses of a window can be.

    Frame by frame: the object is in front of the camera, enough matches agree; then the largest set of frames whose
    poses can follow one another (``consistent_frames``), without those that lie off their neighbours' path
    (``path_deviations``). As a whole: most frames belong to that set, no two of them are farther apart than the limits
    allow, and the first of them follows from the window before. A window that jumps away from the one before is doubted
    once; if the next one goes on from there, that is where the object is.

    Args:
        seen: poses of the window's F frames.
        asked: [F] bool, which of them were estimated.
        shares: [F] share of each frame's matches that agree with its pose; NaN = not known.
        config: limits.
        before: the last poses of the window before, as ``Gated.recent``.
    Raises:
        ShapeError: sizes disagree.
    """
    check_shape("asked", asked, "F", F=len(seen))
    check_shape("shares", shares, "F", F=len(seen))
    reasons: dict[int, str] = {}
    depth = seen.place[:, 2]
    for frame in np.flatnonzero(asked):
        if not (np.isfinite(seen.place[frame]).all() and depth[frame] > 0):
            reasons[int(frame)] = "the object is not in front of the camera"
        elif shares[frame] < config.least_share:
            reasons[int(frame)] = (
                f"{shares[frame]:.0%} of the matches agree, trusted from {config.least_share:.0%} "
                "(camera.gate.least_share)"
            )
    good = np.array([row for row in np.flatnonzero(asked) if int(row) not in reasons], np.int64)
    if not len(good):
        return Gated(np.zeros(len(seen), bool), reasons, "", before)
    kept = good[consistent_frames(seen.rows(good), config)]
    for frame in np.setdiff1d(good, kept):
        nearest = kept[np.abs(kept - frame).argmin()]
        reasons[int(frame)] = _apart(seen, int(nearest), int(frame), "the nearest trusted frame")
    share = len(kept) / len(good)
    if share < MAJORITY:
        whole = f"only {len(kept)} of {len(good)} poses can belong to one motion"
        return Gated(np.zeros(len(seen), bool), {}, whole, before)
    away, allowed = path_deviations(seen.rows(kept), config)
    for row in np.flatnonzero(away > allowed):
        reasons[int(kept[row])] = f"{away[row]:.0f} degrees off its neighbours' path, trusted up to {allowed[row]:.0f}"
    kept = kept[away <= allowed]
    chain = seen.rows(kept)
    whole = _too_far(chain, config) or _seam(before, chain, config)
    trusted = np.zeros(len(seen), bool)
    trusted[kept] = not whole
    return Gated(trusted, {} if whole else reasons, whole, chain.rows(np.arange(len(chain))[-KEPT:]))


def consistent_frames(seen: PoseSeen, config: GateConfig) -> np.ndarray:
    """Rows [k] of the longest sequence of poses in which each can follow the one before, ascending.

    Two poses can follow one another if the object turns by at most ``noise_deg + turn_deg_s * dt`` and its distance
    changes by at most the factor ``NOISE_ZOOM * zoom_s ** dt`` between them. Of equally long sequences the one whose
    steps add up to the least turn is taken, then the one that ends first.

    Twin: ``lab.reference.gate.consistent_frames``.
    """
    count = len(seen)
    turns, fits = _pairs(seen, config)
    length, cost, parent = np.ones(count, np.int64), np.zeros(count), np.full(count, -1)
    for row in range(1, count):
        options = np.flatnonzero(fits[:row, row])
        if len(options):
            total = cost[options] + turns[options, row]
            best = options[np.lexsort((options, total, -length[options]))[0]]
            length[row], cost[row], parent[row] = length[best] + 1, cost[best] + turns[best, row], best
    if not count:
        return np.zeros(0, np.int64)
    row = int(np.lexsort((np.arange(count), cost, -length))[0])
    chosen = [row]
    while parent[row] >= 0:
        row = int(parent[row])
        chosen.append(row)
    return np.array(chosen[::-1], np.int64)


def path_deviations(seen: PoseSeen, config: GateConfig) -> tuple[np.ndarray, np.ndarray]:
    """How far each pose is turned away from where its neighbours say it should be, and how far it may be.

    Each pair of the nearest neighbours (two before, two after) says where the frame between, or beyond, them would be
    at a steady turn; the median of the angles to these places counts.

    Returns:
        ``(away, allowed)``, each [n] degrees. With fewer than three poses nothing can be said: zeros.
    """
    count = len(seen)
    times = seen.stamps_ns.astype(np.float64) * 1e-9
    away = np.zeros(count)
    if count >= 3:
        for row in range(count):
            first, last = max(0, row - _NEIGHBOURS), min(count, row + _NEIGHBOURS + 1)
            others = [other for other in range(first, last) if other != row]
            before, after = (np.array(part) for part in zip(*_across(others, row), strict=True))
            step = Rotation.from_matrix(np.swapaxes(seen.turn[before], 1, 2) @ seen.turn[after]).as_rotvec()
            span = times[after] - times[before]
            part = np.divide(times[row] - times[before], span, out=np.zeros_like(span), where=span > 0)
            places = seen.turn[before] @ Rotation.from_rotvec(part[:, None] * step).as_matrix()
            away[row] = np.median(_angles_deg(places, np.broadcast_to(seen.turn[row], places.shape)))
    # What a steady turn leaves over when the turn changes: half of what may pass between two frames.
    gap = float(np.median(np.diff(times))) if count > 1 else 0.0
    floor = config.noise_deg + 0.5 * config.turn_deg_s * gap
    spread = _SPREAD * _MAD_SIGMA * float(np.median(np.abs(away - np.median(away)))) if count else 0.0
    return away, np.full(count, max(floor, float(np.median(away)) + spread if count else 0.0))


def _across(others: list[int], row: int) -> list[tuple[int, int]]:
    """Pairs of neighbours on both sides of a row; on one side where the other has none."""
    low, high = [one for one in others if one < row], [one for one in others if one > row]
    if low and high:
        return [(one, two) for one in low for two in high]
    return [(one, two) for number, one in enumerate(others) for two in others[number + 1 :]]


def _pairs(seen: PoseSeen, config: GateConfig) -> tuple[np.ndarray, np.ndarray]:
    """Turns [n, n] in degrees between all poses, and [n, n] bool: whether they are within the limits."""
    turns = _angles_deg(seen.turn[:, None], seen.turn[None])
    seconds = np.abs(seen.stamps_ns[:, None] - seen.stamps_ns[None]) * 1e-9
    distance = np.log(np.linalg.norm(seen.place, axis=1))
    zooms = np.abs(distance[:, None] - distance[None])
    fits = (turns <= config.noise_deg + config.turn_deg_s * seconds) & (
        zooms <= math.log(NOISE_ZOOM) + math.log(config.zoom_s) * seconds
    )
    return turns, fits


def _too_far(chain: PoseSeen, config: GateConfig) -> str:
    """Why the poses of a chain cannot be one motion although each follows the one before; "" if they can."""
    _, fits = _pairs(chain, config)
    if fits.all():
        return ""
    first, last = np.argwhere(~fits)[0]
    return _apart(chain, int(first), int(last), "an earlier frame of the window")


def _seam(before: PoseSeen | None, chain: PoseSeen, config: GateConfig) -> str:
    """Why a window cannot follow the one before; "" if it can, or there is none."""
    if before is None or not len(before) or not len(chain):
        return ""
    joined = PoseSeen(*(np.concatenate([getattr(before, name), getattr(chain, name)[:1]]) for name in _FIELDS))
    last = len(before)
    _, fits = _pairs(joined, config)
    # One of the last poses may itself be a little off.
    return "" if fits[:last, last].any() else _apart(joined, last - 1, last, "the window before")


_FIELDS = ("turn", "place", "stamps_ns")


def _apart(seen: PoseSeen, first: int, second: int, other: str) -> str:
    """How far a pose is from another one, for the user."""
    turn = float(_angles_deg(seen.turn[first], seen.turn[second]))
    near, far = (float(np.linalg.norm(seen.place[row])) for row in (first, second))
    seconds = abs(int(seen.stamps_ns[second]) - int(seen.stamps_ns[first])) * 1e-9
    return f"turned by {turn:.0f} degrees, distance {near:.2f} to {far:.2f}, in {seconds:.2f} s from {other}"


def _angles_deg(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Angles [...] in degrees between rotations [..., 3, 3]."""
    # From the chord, which is exact for small angles, too: |A - B|_F = 2 sqrt(2) sin(angle / 2).
    chord = np.linalg.norm(one - two, axis=(-2, -1)) / math.sqrt(8.0)
    angles: np.ndarray = np.degrees(2.0 * np.arcsin(np.clip(chord, 0.0, 1.0)))
    return angles
