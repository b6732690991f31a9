"""The live lane without threads: images and windows in, a pose for every image out.

A window is late when it comes. Its points are then carried through the stored pictures up to the newest one, a piece at
a time, while the window before still answers; once they have caught up they take over.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from ..stream.config import StreamConfig
from ..stream.frame import break_cause
from .config import LiveConfig
from .pictures import LivePicture, PictureStore
from .start import LiveStart
from .tracker import LivePose, LiveTracker

CATCH_UP_STEPS = 24
"""A window catches up in about so many steps: with more pictures between, some are left out."""


class LiveLane:
    """Keeps pictures, follows the last window's points, lets a newer window catch up.

    Args:
        config: limits; may be replaced at any time (attribute ``config``).
    Attributes:
        lost: how often a window's points were lost, by cause; ``break``: images did not go on from one another.
        refused: windows that could not be followed, by cause: ``no_pose`` of their own in the last frame, or ``stale``,
            since images began anew after it.
    """

    def __init__(self, config: LiveConfig | None = None) -> None:
        self.config = LiveConfig() if config is None else config
        self.lost: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._store = PictureStore()
        self._since_s: float | None = None  # when the first image of this pass came in
        self._now: LiveTracker | None = None
        self._coming: LiveTracker | None = None
        self._stride = 1  # pictures that a step of catching up goes on by

    @property
    def stored(self) -> int:
        """Pictures that are kept."""
        return len(self._store)

    @property
    def state(self) -> str:
        """``tracking``, ``lost: CAUSE``, or ``waiting`` for the first window."""
        if self._now is None:
            return "waiting"
        return f"lost: {self._now.lost}" if self._now.lost else "tracking"

    def clear(self) -> None:
        """Forget pictures and windows; the counts stay."""
        self._store.clear()
        self._since_s = self._now = self._coming = None

    def see(self, picture: LivePicture, options: StreamConfig | None = None) -> LivePose | None:
        """Take in an image.

        Args:
            picture: of it. What the stream drops is left out here, too: a stamp that came before, an image that was
                overtaken by its neighbour, another camera where that is no reset.
            options: of the stream: which gap begins everything anew, and whether another frame_id does.
        Returns:
            where the object is in it, or that it is lost; None while there was no window to go on from.
        """
        options = StreamConfig() if options is None else options
        newest = self._store.newest
        if newest is not None:
            if self._store.overtaken(picture.stamp_ns):
                return None
            if picture.kind.frame_id != newest.kind.frame_id and not options.reset_on_frame_id_change:
                return None
            if break_cause(newest.kind, picture.kind, options.max_gap_s) or _recalibrated(newest, picture):
                if self._now is not None and not self._now.lost:
                    self.lost["break"] += 1
                self.clear()
        if self._since_s is None:
            self._since_s = picture.arrived_s
        self._store.add(picture, self.config.store_images, self.config.store_s)
        if self._now is None:
            return None
        before = self._now.lost
        found = self._now.step(picture)
        if found.lost and not before:
            self.lost[found.lost] += 1
        return found

    def begin(self, start: LiveStart | None) -> bool:
        """Go on from a new window as soon as it has caught up; False where it cannot be followed.

        Args:
            start: the window's last frame; None = it has no pose there.
        """
        if start is None:
            self.refused["no_pose"] += 1
            return False
        newest = self._store.newest
        if newest is None or self._since_s is None or start.arrived_s < self._since_s:
            self.refused["stale"] += 1
            return False
        if newest.grey.shape != start.grey.shape:
            self.refused["stale"] += 1
            return False
        self._coming = LiveTracker(start, self.config)
        self._stride = max(1, math.ceil(len(self._store.after(start.stamp_ns)) / CATCH_UP_STEPS))
        self._take_over()
        return True

    def catch_up(self) -> bool:
        """Carry a new window on by one picture; False where there is nothing to do."""
        coming = self._coming
        if coming is None:
            return False
        ahead = self._store.after(coming.stamp_ns)
        if ahead:
            coming.step(ahead[min(len(ahead), self._stride) - 1])
        self._take_over()
        return self._coming is not None

    def _take_over(self) -> None:
        """Let the new window answer once it has caught up; one that is lost then, only where there is no other."""
        coming, newest = self._coming, self._store.newest
        if coming is None or newest is None or (coming.stamp_ns < newest.stamp_ns and coming.lost != "too_old"):
            return
        self._coming = None
        if coming.lost:
            self.lost[coming.lost] += 1
            if self._now is not None and not self._now.lost:
                return
        self._now = coming


def _recalibrated(before: LivePicture, now: LivePicture) -> bool:
    """Whether the calibration changed from one picture to the next."""
    one, other = before.intrinsics, now.intrinsics
    if one is None or other is None:
        return one is not other
    return not np.array_equal(one, other)
