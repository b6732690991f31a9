"""Where the camera stood in a frame that stands still, for each image of a window; what is not known is counted."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np

from ..camera.frames import LookupFailure
from ..notes import Note
from ..rollout.window import Window

_REMEDIES = {
    "unknown": "see that fixed_frame and the images' frame_id name frames of TF, and that /tf and /tf_static come in",
    "not_connected": "see which transform is missing, for example the camera's mounting (a static transform publisher)",
    "too_old": "windows come too late for what is kept of TF, or TF began after the images: see that clocks agree",
    "too_new": "TF is late: raise tf_timeout_s, and see that the clocks of camera and robot agree",
    "no_frame_id": "the images' frame_id is empty: set it in the camera's driver",
}


class KnownFrames(Protocol):
    """What TF told: ``camera.frames.FrameBuffer``, or in the node tf2's."""

    refused: int

    def look_up(self, target: str, source: str, stamp_ns: int) -> np.ndarray:
        """See ``FrameBuffer.look_up``."""

    def wait_for(self, target: str, source: str, stamp_ns: int, timeout_s: float) -> np.ndarray:
        """See ``FrameBuffer.wait_for``."""


class FixedFrame:
    """Looks up where the camera stood; any thread.

    Args:
        name: of the frame that stands still.
        buffer: what TF told.
        timeout_s: how long a window may wait for transforms that have not come yet, all its images together.
    """

    def __init__(self, name: str, buffer: KnownFrames, timeout_s: Callable[[], float] = lambda: 0.0) -> None:
        self.name = name
        self.buffer = buffer
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._failures: Counter[str] = Counter()

    @property
    def failures(self) -> dict[str, int]:
        """Images for which the camera's place was not known, by cause."""
        with self._lock:
            return dict(self._failures)

    def place(self, window: Window, camera_frame: str) -> tuple[Window, tuple[Note, ...]]:
        """The window with ``fixed_from_camera``, and notes: why it is not known of an image, what was left out of TF.

        Args:
            window: of the camera.   camera_frame: frame_id of its images.
        """
        until_s = time.monotonic() + self._timeout_s()
        poses = np.full((window.frames, 4, 4), np.nan)
        causes: Counter[str] = Counter()
        texts: dict[str, str] = {}
        for row, stamp in enumerate(window.stamps_ns):
            try:
                if not camera_frame:
                    raise LookupFailure("no_frame_id", "images name no frame")
                left_s = max(0.0, until_s - time.monotonic())
                poses[row] = self.buffer.wait_for(self.name, camera_frame, int(stamp), left_s)
            except LookupFailure as failure:
                causes[failure.cause] += 1
                texts.setdefault(failure.cause, str(failure))
        with self._lock:
            self._failures += causes
        notes = [
            Note(
                f"fixed_frame_{cause}",
                f"nothing is published in {self.name} for {count} of a window's {window.frames} images: "
                f"{texts[cause]}; {_REMEDIES[cause]}",
            )
            for cause, count in causes.items()
        ]
        if self.buffer.refused:
            text = f"{self.buffer.refused} transforms of TF are not rigid, not finite or lead to themselves: left out"
            notes.append(Note("fixed_frame_refused", f"{text}; see who sends them"))
        return replace(window, fixed_from_camera=poses), tuple(notes)
