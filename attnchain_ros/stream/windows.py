"""A clip's windows, one after another: the stream driven from a recording instead of from topics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..errors import ConfigError, InputError, MaskError
from ..notes import Notes
from ..rollout.window import Window
from .buffer import Batch
from .camera import CameraModel, looks_rectified, rectified_text
from .config import StreamConfig
from .frame import Event, Frame, Refused
from .source import FrameSource, WrappedSource
from .standing import FixedFrame
from .stream import Stream


def split_frames(count: int, size: int) -> list[range]:
    """Frame numbers of each window when ``count`` frames are cut into windows of ``size`` that share one frame.

    The last window may be shorter (at least two frames, unless there is only one frame at all).

    Raises:
        ConfigError: ``size`` is below 2, so that windows could not share a frame and go on.

    >>> split_frames(7, 4)
    [range(0, 4), range(3, 7)]
    >>> split_frames(8, 4)
    [range(0, 4), range(3, 7), range(6, 8)]
    """
    _check_size(size)
    windows = [range(start, min(start + size, count)) for start in range(0, count - 1, size - 1)]
    return windows if windows or count < 1 else [range(1)]


@dataclass(frozen=True)
class ClipWindow:
    """One window of a clip.

    Attributes:
        window: for the rollout.
        chain: counts up where the windows before cannot be followed on.
        new_frames: how many of its frames were not in the window before: its last ones.
        camera: how its images were read, for the way back to recorded pixels.
        frame_id: the camera's optical frame, "" = not known.
    """

    window: Window
    chain: int
    new_frames: int
    camera: CameraModel
    frame_id: str


class ClipWindows:
    """The windows of a clip; iterating starts at its first frame, every time.

    A frame that cannot be used is left out and counted, as in the node; holds one window's frames in memory.

    Args:
        source: the clip.
        config: how frames become windows; nothing is ever dropped for lack of time.
        frames: of a window; a chain's last window may be shorter (the rollout pads and trims it).
        intrinsics: [3, 3] K in pixels that is used whatever the clip says; None = the clip's own.
        fixed: tells where the camera stood; None = nobody asks.
    Attributes:
        notes: what was assumed, ignored or left out; grows while windows are made.
    Raises:
        ConfigError: ``frames`` is below 2, or the options do not go together.
    """

    def __init__(
        self,
        source: FrameSource,
        config: StreamConfig,
        frames: int,
        intrinsics: np.ndarray | None = None,
        *,
        fixed: FixedFrame | None = None,
    ) -> None:
        _check_size(frames)
        # Masks made from colours are for clips that have none.
        self._config = replace(
            config,
            overflow_policy="block",
            queue_size=max(config.queue_size, frames),
            foreground="none" if source.masked else config.foreground,
        )
        self._source = source
        self._fixed = fixed
        self._frames = frames
        self._intrinsics = source.intrinsics if intrinsics is None else intrinsics
        self.notes = Notes()
        if looks_rectified(source.topic) and not config.image_rectified:
            self.notes.tell("looks_rectified", rectified_text(source.topic, "--image-rectified"))

    @property
    def source(self) -> FrameSource:
        """The clip."""
        return self._source

    @property
    def count(self) -> int | None:
        """Number of windows, were all frames usable and of one chain; None if the clip's length is unknown."""
        if self._source.count is None:
            return None
        return max(1, len(split_frames(-(-self._source.count // self._config.stride), self._frames)))

    def __iter__(self) -> Iterator[ClipWindow]:
        """Make one window after another.

        Raises:
            MaskError: the clip has no masks and none are to be made, or not one of its frames can be used.
            InputError: something in the clip cannot be read.
        """
        stream = Stream(
            self._config, self._frames, on_problem=self.notes.tell, waits=False, clock=self._source.recorded,
            intrinsics=self._intrinsics,
        )  # fmt: skip
        chain = -1
        for batch in self._batches(stream):
            first = batch.frames[0]
            if batch.reset is not None:
                chain += 1
                if chain:
                    text = f"a new chain starts at stamp {first.stamp_ns * 1e-9:.3f} s ({batch.reset})"
                    self.notes.tell("new_chain", text)
            try:
                window = stream.assemble(batch)
            except InputError as error:
                raise type(error)(f"{self._source.name}: {error}") from error
            for note in stream.assembler.notes:
                if self._source.recorded or note.code != "camera_info_missing":
                    self.notes.tell(note.code, note.text)
            if self._fixed is not None:
                window, missing = self._fixed.place(window, first.frame_id)
                for note in missing:
                    self.notes.tell(note.code, note.text)
            yield ClipWindow(window, chain, batch.new_frames, stream.assembler.camera, first.frame_id)
            stream.buffer.finish(batch)
        accounts = stream.buffer.accounts()
        for note in accounts.notes():
            self.notes.tell(note.code, note.text)
        if accounts.received and not accounts.used:
            why = "".join(f"; {note.text}" for note in self.notes[:3])
            raise MaskError(f"{self._source.name}: not one frame can be used; {accounts.describe()}{why}")

    def _batches(self, stream: Stream) -> Iterator[Batch]:
        """Push what the clip holds, and take what is ready in between."""
        for event in self._source.events():
            if isinstance(event, Refused):
                self.notes.tell("refused", event.text)
            elif isinstance(event, Frame) and not self._source.masked and self._config.foreground == "none":
                raise MaskError(f"{self._source.name} has no masks: give masks, or ask for a foreground method by name")
            stream.take_in(event)
            yield from iter(stream.buffer.take, None)
        stream.buffer.end()
        yield from iter(stream.buffer.take, None)


def clip_frames(source: FrameSource, config: StreamConfig) -> Iterator[tuple[Frame, np.ndarray | None]]:
    """A clip's frames one by one as the rollout would see them, each with its K [3, 3] (None = not known).

    Frames of a clip without masks come without masks, unless ``config`` says how to make them.

    Raises:
        As for ``ClipWindows``.
    """
    bare = not source.masked and config.foreground == "none"
    for part in ClipWindows(_Whole(source) if bare else source, config, 2):
        window = part.window
        for row in range(window.frames - part.new_frames, window.frames):
            depth = None if window.depth_m is None else window.depth_m[row]
            mask = None if bare else window.masks[row]
            frame = Frame(window.images[row], mask, int(window.stamps_ns[row]), depth, part.frame_id)
            yield frame, window.intrinsics


class _Whole(WrappedSource):
    """A clip without masks whose object is the whole picture."""

    def __init__(self, source: FrameSource) -> None:
        super().__init__(source)
        self.masked = True

    def events(self) -> Iterator[Event]:
        """Those of the clip."""
        for event in self.wrapped.events():
            if isinstance(event, Frame):
                event.mask = np.ones(event.image.shape[:2], bool)
            yield event


def _check_size(size: int) -> None:
    if size < 2:
        raise ConfigError(f"a window of {size} frames cannot share one with the next: at least 2 are needed")
