"""Frames that are tied to one another in time, and where one lies in another at some moment: what TF tells, kept.

Not in the paper. A frame has one parent, to which it is tied for ever (static) or as its newest samples say (dynamic);
between two samples places are interpolated along a line and turns along the shortest way (slerp). Nothing is guessed
beyond the samples. Twin: ``lab.reference.frames``; tests compare with tf2, too, where it is.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, insort
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation

from ..errors import InputError
from ..shapes import check_shape
from .poses import invert_pose, pose_from_quaternion

HISTORY_S = 30.0
"""So far back from the newest sample of a frame its samples are kept, unless something else is asked for."""

MOST_SAMPLES = 30_000
"""Samples of one frame that are kept at most (and a few more), unless a longer history is asked for."""

MOST_FRAMES = 4096
"""Frames that are kept at most; others are refused."""

BACK_NS = 10_000_000_000
"""A frame whose stamps go back by more begins anew: its clock did, or a bag is played once more."""

_DEEPEST = 256


class LookupFailure(InputError):
    """Where a frame lies is not known.

    Attributes:
        cause: "unknown" frame, "not_connected", "too_old" or "too_new" (extrapolation), by which failures are counted.
    """

    def __init__(self, cause: str, text: str) -> None:
        super().__init__(text)
        self.cause = cause

    @property
    def may_come(self) -> bool:
        """Whether what lacks may still arrive: nothing that is older than what is kept does."""
        return self.cause != "too_old"


@dataclass
class _Tie:
    """How a frame is tied to its parent."""

    parent: str
    static: bool
    history_s: float
    stamps: list[int] = field(default_factory=list)
    poses: dict[int, np.ndarray] = field(default_factory=dict)

    def add(self, stamp_ns: int, pose: np.ndarray) -> None:
        if self.static:
            self.stamps, self.poses = [0], {0: pose}
            return
        if self.stamps and stamp_ns < self.stamps[-1] - BACK_NS:
            self.stamps, self.poses = [], {}  # the clock began anew, as a bag that is played in a loop
        if stamp_ns not in self.poses:
            insort(self.stamps, stamp_ns)
        self.poses[stamp_ns] = pose
        oldest = self.stamps[-1] - self.history_s * 1e9
        gone = bisect_left(self.stamps, oldest)
        if self.history_s <= HISTORY_S:
            gone = max(gone, len(self.stamps) - MOST_SAMPLES)
        # In pieces: taking the first of a list away costs as much as its length.
        if gone > 64:
            for stamp in self.stamps[:gone]:
                del self.poses[stamp]
            del self.stamps[:gone]

    def at(self, stamp_ns: int, child: str) -> np.ndarray:
        """Parent_from_child [4, 4] at a moment."""
        if self.static:
            return self.poses[0]
        after = bisect_left(self.stamps, stamp_ns)
        if after < len(self.stamps) and self.stamps[after] == stamp_ns:
            return self.poses[stamp_ns]
        if after in (0, len(self.stamps)):
            edge = self.stamps[0 if after == 0 else -1]
            early = after == 0
            raise LookupFailure(
                "too_old" if early else "too_new",
                f"{child} in {self.parent} is known {'from' if early else 'up to'} {edge * 1e-9:.3f} s, wanted at "
                f"{stamp_ns * 1e-9:.3f} s ({abs(edge - stamp_ns) * 1e-9:.3f} s {'earlier' if early else 'later'})",
            )
        before_ns, after_ns = self.stamps[after - 1], self.stamps[after]
        share = (stamp_ns - before_ns) / (after_ns - before_ns)
        return interpolate(self.poses[before_ns], self.poses[after_ns], share)


def interpolate(before: np.ndarray, after: np.ndarray, share: float) -> np.ndarray:
    """The pose [4, 4] between two: 0 is the first, 1 the second; places on a line, turns by the shortest way."""
    turn = Rotation.from_matrix(before[:3, :3].T @ after[:3, :3]).as_rotvec()
    pose = np.eye(4)
    pose[:3, :3] = before[:3, :3] @ Rotation.from_rotvec(share * turn).as_matrix()
    pose[:3, 3] = (1 - share) * before[:3, 3] + share * after[:3, 3]
    return pose


class FrameBuffer:
    """Keeps what is known of frames, bounded in time and number; thread-safe.

    Args:
        history_s: so far back from the newest sample of a frame its samples are kept, seconds.
    Attributes:
        refused: samples that could not be used (no rigid transform, a frame tied to itself, too many frames).
    """

    def __init__(self, history_s: float = HISTORY_S) -> None:
        self._history_s = history_s
        self._lock = threading.Condition()
        self._ties: dict[str, _Tie] = {}
        self.refused = 0

    def add(self, parent: str, child: str, stamp_ns: int, pose: np.ndarray, *, static: bool = False) -> None:
        """Take a sample in; one that cannot be used is counted in ``refused``.

        Args:
            parent, child: names of frames; a leading slash is left out.
            stamp_ns: when, nanoseconds; of no meaning for a static one.
            pose: [4, 4] parent_from_child, metres.
            static: it holds for ever.
        Raises:
            ShapeError: ``pose`` is not [4, 4].
        """
        check_shape("pose", pose, "4 4")
        parent, child = plain(parent), plain(child)
        turn = pose[:3, :3]
        rigid = bool(np.isfinite(pose).all()) and bool(np.allclose(turn @ turn.T, np.eye(3), atol=1e-3))
        with self._lock:
            tie = self._ties.get(child)
            full = tie is None and len(self._ties) >= MOST_FRAMES
            if not rigid or not parent or not child or parent == child or full:
                self.refused += 1
                return
            if tie is None or tie.parent != parent or tie.static != static:
                tie = self._ties[child] = _Tie(parent, static, self._history_s)
            tie.add(stamp_ns, np.array(pose, np.float64))
            self._lock.notify_all()

    def clear(self) -> None:
        """Forget dynamic samples; what is static stays."""
        with self._lock:
            self._ties = {child: tie for child, tie in self._ties.items() if tie.static}

    def look_up(self, target: str, source: str, stamp_ns: int) -> np.ndarray:
        """Where a frame lies in another at a moment.

        Args:
            target, source: names of frames.   stamp_ns: nanoseconds.
        Returns:
            [4, 4] float64 target_from_source.
        Raises:
            LookupFailure: a frame is unknown, they are not connected, or the moment lies outside the samples.
        """
        target, source = plain(target), plain(source)
        with self._lock:
            return self._look_up(target, source, stamp_ns)

    def wait_for(self, target: str, source: str, stamp_ns: int, timeout_s: float) -> np.ndarray:
        """As ``look_up``, waiting for what may still arrive; not for callbacks, which have to return.

        Raises:
            LookupFailure: as ``look_up``, after ``timeout_s`` seconds, or at once where waiting cannot help.
        """
        target, source = plain(target), plain(source)
        until_s = time.monotonic() + timeout_s
        with self._lock:
            while True:
                try:
                    return self._look_up(target, source, stamp_ns)
                except LookupFailure as failure:
                    left_s = until_s - time.monotonic()
                    if left_s <= 0 or not failure.may_come:
                        raise
                self._lock.wait(left_s)

    def _look_up(self, target: str, source: str, stamp_ns: int) -> np.ndarray:
        known = set(self._ties) | {tie.parent for tie in self._ties.values()}
        for name in (target, source):
            if name not in known and target != source:
                listed = ", ".join(sorted(known)[:12]) or "none"
                raise LookupFailure("unknown", f"TF has no frame {name!r}; it has {listed}")
        up_target, up_source = self._way_up(target), self._way_up(source)
        common = next((name for name in up_source if name in up_target), None)
        if common is None:
            raise LookupFailure(
                "not_connected",
                f"frames {target!r} (below {up_target[-1]!r}) and {source!r} (below {up_source[-1]!r}) are not "
                "connected: no chain of transforms leads from one to the other",
            )
        pose = self._climbed(up_source[: up_source.index(common)], stamp_ns)
        return invert_pose(self._climbed(up_target[: up_target.index(common)], stamp_ns)) @ pose

    def _way_up(self, name: str) -> list[str]:
        """The frame, its parent, and so on to the root."""
        way = [name]
        while (tie := self._ties.get(way[-1])) is not None and tie.parent not in way and len(way) < _DEEPEST:
            way.append(tie.parent)
        return way

    def _climbed(self, way: list[str], stamp_ns: int) -> np.ndarray:
        """From the first frame of a way to the parent of its last one."""
        pose = np.eye(4)
        for name in way:
            pose = self._ties[name].at(stamp_ns, name) @ pose
        return pose


def plain(name: str) -> str:
    """A frame's name without the leading slash that old publishers write.

    >>> plain("/odom")
    'odom'
    """
    return name.removeprefix("/")


def rigid_pose(place: tuple[float, float, float], quaternion_xyzw: tuple[float, float, float, float]) -> np.ndarray:
    """[4, 4] of a message's numbers; NaN where the quaternion is none (length off 1 by more than a hundredth)."""
    length = float(np.linalg.norm(quaternion_xyzw))
    if not abs(length - 1.0) <= 0.01 or not np.isfinite(place).all():
        return np.full((4, 4), np.nan)
    return pose_from_quaternion(np.asarray(place), np.asarray(quaternion_xyzw))
