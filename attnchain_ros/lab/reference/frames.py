"""Where one frame lies in another at a moment, from a plain list of all transforms (``camera.frames``)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation


@dataclass(frozen=True)
class Told:
    """One transform: where ``child`` lies in ``parent``; static ones hold at any time.

    Attributes:
        place: [3] metres.   turn: [4] unit quaternion x, y, z, w.
    """

    parent: str
    child: str
    stamp_ns: int
    place: np.ndarray
    turn: np.ndarray
    static: bool = False


def look_up(told: Sequence[Told], target: str, source: str, stamp_ns: int) -> np.ndarray | None:
    """target_from_source [4, 4], by walking every way between the two; None = not known at that moment."""
    ways: list[tuple[str, frozenset[str], np.ndarray]] = [(source, frozenset({source}), np.eye(4))]
    links = {(one.parent, one.child) for one in told}
    while ways:
        here, been, here_from_source = ways.pop()
        if here == target:
            return here_from_source
        for parent, child in links:
            there = {child: parent, parent: child}.get(here)
            if there is None or there in been:
                continue
            link = _link(told, parent, child, stamp_ns)
            if link is not None:
                step = link if here == child else np.linalg.inv(link)
                ways.append((there, been | {there}, step @ here_from_source))
    return None


def _link(told: Sequence[Told], parent: str, child: str, stamp_ns: int) -> np.ndarray | None:
    """parent_from_child [4, 4] at a moment: as told, or between the two samples around it."""
    mine = [one for one in told if (one.parent, one.child) == (parent, child)]
    if mine[-1].static:
        return _pose(mine[-1].place, mine[-1].turn)
    before = max((one for one in mine if one.stamp_ns <= stamp_ns), key=lambda one: one.stamp_ns, default=None)
    after = min((one for one in mine if one.stamp_ns >= stamp_ns), key=lambda one: one.stamp_ns, default=None)
    if before is None or after is None:
        return None
    share = (stamp_ns - before.stamp_ns) / (after.stamp_ns - before.stamp_ns) if after is not before else 0.0
    place = before.place + share * (after.place - before.place)
    return _pose(place, _slerp(before.turn, after.turn, share))


def _slerp(one: np.ndarray, two: np.ndarray, share: float) -> np.ndarray:
    """Between two unit quaternions along the shorter arc, by sines (Shoemake 1985)."""
    cosine = float(one @ two)
    two, cosine = (-two, -cosine) if cosine < 0 else (two, cosine)
    angle = math.acos(min(1.0, cosine))
    if math.sin(angle) < 1e-9:
        return one
    found: np.ndarray = (math.sin((1 - share) * angle) * one + math.sin(share * angle) * two) / math.sin(angle)
    return found


def _pose(place: np.ndarray, turn: np.ndarray) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = Rotation.from_quat(turn).as_matrix(), place
    return pose
