"""What a clip is to the rest of the package, whatever it is stored in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np

from ..notes import Notes
from .frame import Event, Frame


class FrameSource(ABC):
    """A clip, as a stream of events.

    Attributes:
        name: what the clip is called in messages.
        intrinsics: [3, 3] float64 pinhole K in pixels where the clip knows it without a CameraInfo, else None.
        recorded: by a camera driver: stamps are those of a clock, so that a gap between them says that frames are
            missing, and a camera_info belongs to the images.
        masked: masks come with the frames or beside them; without, they have to be made.
        topic: where its images were published, "" = nowhere.
        notes: what was assumed, for the user; may grow while the clip is read.
    """

    name: str
    intrinsics: np.ndarray | None = None
    recorded: bool = False
    masked: bool = False
    topic: str = ""
    notes: Notes

    @abstractmethod
    def events(self) -> Iterator[Event]:
        """Everything that the clip holds, in order, read lazily; every call starts again at the first frame."""

    @property
    @abstractmethod
    def count(self) -> int | None:
        """Number of frames, None if it is only known at the end."""


class WrappedSource(FrameSource):
    """Another clip whose events are changed on their way."""

    def __init__(self, source: FrameSource) -> None:
        self.wrapped = source
        self.name, self.notes, self.topic = source.name, source.notes, source.topic
        self.intrinsics, self.recorded, self.masked = source.intrinsics, source.recorded, source.masked

    @property
    def count(self) -> int | None:
        """The wrapped clip's."""
        return self.wrapped.count


class ArraySource(FrameSource):
    """Frames that are already in memory (synthetic scenes, tests)."""

    def __init__(self, frames: Sequence[Frame], name: str, intrinsics: np.ndarray | None = None) -> None:
        """Keep ``frames`` as they are."""
        self.frames = frames
        self.name = name
        self.intrinsics = intrinsics
        self.masked = any(frame.mask is not None for frame in frames)
        self.notes = Notes()

    def events(self) -> Iterator[Frame]:
        """The frames; copies, since a stream writes into them."""
        return (Frame(frame.image, frame.mask, frame.stamp_ns, frame.depth_m, frame.frame_id) for frame in self.frames)

    @property
    def count(self) -> int | None:
        """Number of frames."""
        return len(self.frames)
