"""From a batch of frames to the rollout's window: masks carried on, distortion removed, depth added. ROS-free."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np

from ..files.foreground import GrabCutSource
from ..files.frames import ArraySource
from ..files.frames import Frame as ClipFrame
from ..notes import Note, Notes
from ..rollout.window import Window
from .camera import CameraBook, CameraModel
from .frame_buffer import Batch


class DepthBook:
    """The last depth images, looked up by stamp; thread-safe."""

    def __init__(self, tolerance_ns: int, capacity: int = 64) -> None:
        self.tolerance_ns = tolerance_ns
        self._lock = threading.Lock()
        self._entries: deque[tuple[int, np.ndarray]] = deque(maxlen=capacity)

    def add(self, stamp_ns: int, depth_m: np.ndarray) -> None:
        """Remember one depth image, [H, W] float32 metres."""
        with self._lock:
            self._entries.append((stamp_ns, depth_m))

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._entries.clear()

    def find(self, stamp_ns: int) -> np.ndarray | None:
        """The depth image nearest to a stamp, None if none is within the tolerance."""
        with self._lock:
            entries = list(self._entries)
        near = [(abs(stamp - stamp_ns), number) for number, (stamp, _) in enumerate(entries)]
        if not near or min(near)[0] > self.tolerance_ns:
            return None
        return entries[min(near)[1]][1]


class WindowAssembler:
    """Makes windows out of batches; belongs to the worker's thread.

    Attributes:
        camera: model of the last window's camera, for the way back to published pixels.
        notes: what was assumed or ignored in the last window, for the log.
    """

    def __init__(self, cameras: CameraBook, depths: DepthBook, box: tuple[int, int, int, int] | None = None) -> None:
        self._cameras = cameras
        self._depths = depths
        self._box = box
        self.camera = CameraModel()
        self.notes: tuple[Note, ...] = ()

    def assemble(self, batch: Batch) -> Window:
        """Build the window of a batch.

        Frames without a mask get one with GrabCut: carried on from the frame before (mask mode ``first``), or, where no
        frame has one (foreground ``grabcut``), started from the box. It stays with the frame, so that the next batch
        goes on from it.

        Raises:
            InputError: masks, sizes or stamps cannot be used.
        """
        frames = batch.frames
        notes = Notes()
        if any(frame.mask is None for frame in frames):
            source = GrabCutSource(
                ArraySource([ClipFrame(frame.image, frame.mask, frame.stamp_ns) for frame in frames], "camera"),
                self._box,
            )
            for frame, cut in zip(frames, source, strict=True):
                frame.mask = cut.mask
            notes += source.notes
        height, width = frames[0].image.shape[:2]
        self.camera = self._cameras.model(height, width, frames[0].stamp_ns)
        notes += self.camera.notes
        lens = self.camera.undistorter
        images = [frame.image if lens is None else lens.image(frame.image) for frame in frames]
        masks = [
            np.asarray(frame.mask, bool) if lens is None else lens.mask(np.asarray(frame.mask)) for frame in frames
        ]
        depths: list[np.ndarray] = []
        any_depth = False
        for frame in frames:
            depth = self._depths.find(frame.stamp_ns)
            if depth is not None and depth.shape != (height, width):
                notes.tell(
                    "depth_size",
                    f"depth is {depth.shape[1]}x{depth.shape[0]}, the image is {width}x{height}: "
                    "publish depth registered to the image; it is ignored",
                )
                depth = None
            any_depth = any_depth or depth is not None
            if depth is None:
                depth = np.zeros((height, width), np.float32)
            depths.append(depth if lens is None else lens.depth(depth))
        self.notes = tuple(notes)
        return Window(
            images=np.stack(images),
            masks=np.stack(masks),
            stamps_ns=np.array([frame.stamp_ns for frame in frames], np.int64),
            intrinsics=self.camera.intrinsics,
            depth_m=np.stack(depths) if any_depth else None,
        )
