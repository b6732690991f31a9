"""Clips from video files, decoded by FFmpeg (PyAV): pictures, the container's own times, rotation, and alpha as masks.

OpenCV, which reads our single images, drops a video's alpha; both decode the same pixels otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FileFormatError, MaskError
from ..notes import Notes
from ..stream.decode import DecodedImage, from_opencv
from ..stream.frame import Event, Frame, NoMoreMasks
from ..stream.source import FrameSource

if TYPE_CHECKING:
    import av

_LOG = logging.getLogger(__name__)
DEFAULT_FPS = 30.0
"""Frames per second assumed where nothing says it: for a folder of images, and videos without a rate."""
VIDEO_ENDINGS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".gif", ".ogv")
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""FFmpeg's own decoders of these leave out the alpha, which lies in a second picture beside the first."""
_MOST_PIXELS = 1 << 27
"""Of a picture (16384 x 8192); a damaged header must not fill the memory."""
_LATEST_NS = 1 << 62
"""Stamps beyond (146 years) come from damaged files and would not fit 64 bits."""
_SHORT_S = 1.0
"""A video that ends so long before its container's duration was cut short; sound may last a little longer."""


class VideoFile(FrameSource):
    """A video file. Its alpha channel, if it has one that is not all opaque, gives the masks."""

    def __init__(self, path: Path, fps: float | None = None) -> None:
        """Decode the first frame to see that it can be decoded, and whether it has a mask.

        Args:
            path: of the file.
            fps: frames per second; None = the container's own times.
        Raises:
            FileFormatError: it cannot be opened, holds no video, or its first frame cannot be decoded.
        """
        self.name = str(path)
        self.notes = Notes()
        self._path = path
        with self._open() as container:
            stream = self._stream(container)
            own = float(stream.average_rate or stream.guessed_rate or 0)
            self._promised = int(stream.frames) if stream.frames > 0 else None
            self._count = None if container.format.name == "avi" else self._promised
            first = next(self._pictures(container, stream), None)
        if first is None:
            raise FileFormatError(
                f"{path} opens, but its first frame cannot be decoded: convert it, for example to H.264 MP4"
            )
        self.masked = first[0].mask is not None
        if fps is None and not 0 < own < 1000:
            self.notes.tell(
                "rate_assumed", f"{path.name} does not say its frame rate: {DEFAULT_FPS:g} frames per second assumed"
            )
            own = DEFAULT_FPS
        self._own_times = fps is None
        self.fps = own if fps is None else fps

    @property
    def count(self) -> int | None:
        """Number of frames that the container promises, else of those that lie in it; decoding may give fewer.

        What AVI promises counts empty frames, too.
        """
        if self._count is None:
            with self._open() as container:
                stream = self._stream(container)
                shown = _shown_vp8 if stream.codec_context.name == "vp8" else _has_data
                self._count = sum(map(shown, _packets(container, stream)))
        return self._count

    def events(self) -> Iterator[Event]:
        """Decode one frame after another, stamped by the container, or by number and the frame rate that was given.

        Raises:
            MaskError: a frame lacks the mask in its alpha channel that the first one has, or the other way round.
        """
        if self.masked:
            yield NoMoreMasks()
        number, last = 0, -1
        losses = _Losses()
        with self._open() as container:
            stream = self._stream(container)
            promised_s = 0.0 if container.duration is None else container.duration * 1e-6
            for decoded, time_ns in self._pictures(container, stream, losses):
                stamp = round(number * 1e9 / self.fps)
                if self._own_times:
                    # Where a container has no times, or wrong ones, they do not rise.
                    stamp = time_ns if time_ns is not None and last < time_ns < _LATEST_NS else max(stamp, last + 1)
                last = stamp
                if (decoded.mask is not None) != self.masked:
                    has, others = ("no mask", "have") if self.masked else ("a mask", "lack")
                    raise MaskError(
                        f"frame {number} of {self._path} has {has} in its alpha channel, but the frames before it "
                        f"{others} one: give masks for all"
                    )
                assert decoded.rgb is not None
                yield Frame(decoded.rgb, decoded.mask, stamp)
                number += 1
        self._tell_losses(number, losses, promised_s - last * 1e-9 if self._own_times else 0.0)

    def _tell_losses(self, number: int, losses: _Losses, missing_s: float) -> None:
        texts = []
        name, promised = self._path.name, self._promised
        if losses.packets:
            texts.append(("video_damaged", f"{name} is damaged: {losses.packets} of its packets could not be decoded"))
        if losses.empty:
            text = f"{name}: {losses.empty} frames are empty (the picture before stands): they are left out"
            texts.append(("video_empty_frames", text))
        if promised is not None and number + losses.empty < promised:
            text = f"{name}: {number} of the {promised} frames that the file promises could be decoded"
            texts.append(("video_short", text))
        elif promised is None and missing_s > _SHORT_S:
            texts.append(("video_short", f"{name} ends {missing_s:.1f} s before the duration that the file promises"))
        for code, text in texts:
            if self.notes.tell(code, text):
                _LOG.info(text)

    @contextmanager
    def _open(self) -> Iterator[av.container.InputContainer]:
        """An open container.

        Raises:
            FileFormatError: it cannot be opened.
        """
        # Half a second to import, which nothing but videos needs.
        import av

        # By its bytes, not by its name: FFmpeg takes some names for patterns and protocols. Nor may a playlist that is
        # called a video open other files.
        with self._path.open("rb") as file:
            try:
                container = av.open(file, "r", options={"protocol_whitelist": "none"})
            except (av.error.FFmpegError, OSError, ValueError, MemoryError) as error:
                raise self._no_video(str(error)) from error
            with container:
                yield container

    def _stream(self, container: av.container.InputContainer) -> av.VideoStream:
        stream: Any = container.streams.best("video")
        if stream is None:
            raise self._no_video("it holds no pictures")
        if stream.codec_context is None:
            raise self._no_video("no decoder is known for its pictures")
        if stream.width * stream.height > _MOST_PIXELS:
            raise self._no_video(f"{stream.width}x{stream.height} pixels, the most are {_MOST_PIXELS}")
        video: av.VideoStream = stream
        return video

    def _no_video(self, reason: str) -> FileFormatError:
        kind = "" if self._path.suffix.lower() in VIDEO_ENDINGS else " (its ending is none of a known video format)"
        return FileFormatError(
            f"{self._path} cannot be opened as a video{kind}: convert it, for example to H.264 MP4, or extract its "
            f"frames into a folder ({reason})"
        )

    def _pictures(
        self, container: av.container.InputContainer, stream: av.VideoStream, losses: _Losses | None = None
    ) -> Iterator[tuple[DecodedImage, int | None]]:
        """Every picture that can be decoded, upright, and its time in nanoseconds since the stream's start."""
        import av

        decode = self._decoder(stream)
        start = stream.start_time or 0

        def pictures(packet: av.Packet | None) -> Iterator[tuple[DecodedImage, int | None]]:
            try:
                for frame in decode(packet):
                    time_ns = None
                    if frame.pts is not None and frame.time_base:
                        time_ns = round((frame.pts - start) * frame.time_base * 10**9)
                    yield _decoded(frame), time_ns
            except (av.error.FFmpegError, OSError, ValueError, MemoryError):
                if losses is not None:
                    losses.packets += 1

        for packet in _packets(container, stream, losses):
            if losses is not None and container.format.name == "avi":
                losses.see(packet)
            yield from pictures(packet)
        yield from pictures(None)

    def _decoder(self, stream: av.VideoStream) -> Callable[[av.Packet | None], list[av.VideoFrame]]:
        """What turns packets into frames, with their alpha; None asks for what is left."""
        import av

        context: Any = stream.codec_context
        says = {key.lower(): value for key, value in stream.metadata.items()}
        if says.get("alpha_mode") == "1" and context.name in _ALPHA_DECODERS:
            wanted = _ALPHA_DECODERS[context.name]
            try:
                context = av.CodecContext.create(wanted, "r")
            except (av.error.FFmpegError, ValueError):
                text = f"{self._path.name} has alpha that this build of FFmpeg cannot read: it lacks {wanted}"
                self.notes.tell("alpha_unread", text)
        decode: Callable[[av.Packet | None], list[av.VideoFrame]] = context.decode
        return decode


class _Losses:
    """How many packets could not be read or decoded, and how many frames of an AVI file are empty.

    An AVI file has no times: the n-th frame is shown at n / rate, and a frame without bytes repeats the one before.
    FFmpeg passes over these, so that only the numbers of the others tell of them.
    """

    packets, empty, _next = 0, 0, 0

    def see(self, packet: av.Packet) -> None:
        """Count the empty frames before a packet of an AVI file."""
        if packet.dts is not None:
            self.empty += max(0, packet.dts - self._next)
            self._next = packet.dts + (packet.duration or 1)


def _packets(
    container: av.container.InputContainer, stream: av.VideoStream, losses: _Losses | None = None
) -> Iterator[av.Packet]:
    """The packets of a stream up to the file's end, or to where it is damaged beyond reading."""
    import av

    try:
        for packet in container.demux(stream):
            if packet.dts is not None or packet.size:
                yield packet
    except (av.error.FFmpegError, OSError, ValueError, MemoryError):
        if losses is not None:
            losses.packets += 1


def _has_data(packet: av.Packet) -> bool:
    return packet.size > 0


def _shown_vp8(packet: av.Packet) -> bool:
    """Whether a packet of VP8 holds a picture that is shown (its fifth bit), and not only referred to by others."""
    return _has_data(packet) and bool(bytes(packet)[0] & 0x10)


def _decoded(frame: av.VideoFrame) -> DecodedImage:
    """A frame as 8 bit RGB, turned as its display matrix asks for, with the mask of its alpha channel."""
    if frame.width * frame.height > _MOST_PIXELS:
        raise ValueError(f"a frame of {frame.width}x{frame.height} pixels")
    kind = frame.format
    alpha = kind.has_palette or any(component.is_alpha for component in kind.components)
    picture = frame.to_ndarray(format="bgra" if alpha else "bgr24")
    return from_opencv(np.rot90(picture, round(frame.rotation / 90)) if frame.rotation else picture)
