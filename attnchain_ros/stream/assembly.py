"""From a batch of frames to the rollout's window: masks carried on, distortion removed, depth added."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..notes import Note, Notes
from ..rollout.window import Window
from .camera import CameraBook, CameraModel
from .foreground import GrabCut
from .frame import DepthImage, Frame
from .objects import clean_mask
from .stamps import StampBook

_DEPTHS = 64


class WindowAssembler:
    """Makes windows out of batches; belongs to the thread that computes.

    Args:
        box: where GrabCut starts in a chain's first frame, x, y, width, height in pixels; None = the middle of it.
        tolerance_ns: largest difference between the stamps of an image and its depth.
        rectified: images are rectified already.
        intrinsics: [3, 3] K of the undistorted image that is used whatever a CameraInfo says; None = the CameraInfo's.
    Attributes:
        cameras, depths: the calibrations and depth images that came; any thread may add to them.
        camera: model of the last window's camera, for the way back to published pixels.
        notes: what was assumed or ignored in the last window, for the log.
    """

    def __init__(
        self,
        box: tuple[int, int, int, int] | None = None,
        tolerance_ns: int = 0,
        *,
        rectified: bool = False,
        intrinsics: np.ndarray | None = None,
    ) -> None:
        self.cameras = CameraBook(rectified=rectified)
        self.depths: StampBook[DepthImage] = StampBook(tolerance_ns, _DEPTHS)
        self._box = box
        self._intrinsics = intrinsics
        self.camera = CameraModel()
        self.notes: tuple[Note, ...] = ()

    def jump_back(self, stamp_ns: int) -> None:
        """Images began anew at ``stamp_ns``: forget calibrations and depth images of the pass before."""
        self.cameras.jump_back(stamp_ns)
        self.depths.jump_back(stamp_ns)

    def assemble(self, frames: Sequence[Frame]) -> Window:
        """Build the window of a batch's frames.

        Frames without a mask get one with GrabCut: carried on from the frame before (mask mode ``first``), or, where no
        frame has one (foreground ``grabcut``), started from the box. It stays with the frame, so that the next batch
        goes on from it.

        Raises:
            InputError: masks, sizes or stamps cannot be used.
        """
        notes = Notes()
        if any(frame.mask is None for frame in frames):
            cut = GrabCut(self._box)
            cut.fill(frames)
            notes += cut.notes
        for frame in frames:
            frame.mask = self._clean(frame, notes)
        height, width = frames[0].image.shape[:2]
        self.camera = self._camera(height, width, frames[0].stamp_ns)
        notes += self.camera.notes
        lens = self.camera.undistorter
        depths = [self._depth(frame, notes) for frame in frames]
        blank = np.zeros((height, width), np.float32)
        found = [blank if depth is None else depth if lens is None else lens.depth(depth) for depth in depths]
        masks = [np.asarray(frame.mask, bool) for frame in frames]
        self.notes = tuple(notes)
        return Window(
            images=np.stack([frame.image if lens is None else lens.image(frame.image) for frame in frames]),
            masks=np.stack(masks if lens is None else [lens.mask(mask) for mask in masks]),
            stamps_ns=np.array([frame.stamp_ns for frame in frames], np.int64),
            intrinsics=self.camera.intrinsics,
            depth_m=None if all(depth is None for depth in depths) else np.stack(found),
        )

    def _clean(self, frame: Frame, notes: Notes) -> np.ndarray:
        """A frame's mask without specks and dust; told once a window, with the first one's numbers."""
        found = clean_mask(np.asarray(frame.mask, bool))
        if found.pixels and not any(note.code == "mask_specks" for note in notes):
            notes.tell(
                "mask_specks",
                f"the mask at {frame.stamp_ns * 1e-9:.3f} s has {found.specks} specks and {found.holes} holes of dust, "
                f"{found.pixels} pixels in all, which were left out and filled",
            )
        return found.mask

    def _camera(self, height: int, width: int, stamp_ns: int) -> CameraModel:
        """The calibration of a window's own time, under the intrinsics that were given."""
        if self._intrinsics is None:
            return self.cameras.model(height, width, stamp_ns)
        if not self.cameras.known:
            return CameraModel(self._intrinsics)
        camera = self.cameras.model(height, width, stamp_ns)
        return CameraModel(self._intrinsics, camera.undistorter)

    def _depth(self, frame: Frame, notes: Notes) -> np.ndarray | None:
        """The depth image that belongs to a frame, if it is of its size."""
        found = self.depths.nearest(frame.stamp_ns)
        depth = frame.depth_m
        if depth is None and found is not None:
            if frame.frame_id and found.frame_id and found.frame_id != frame.frame_id:
                notes.tell(
                    "depth_frame",
                    f"depth is seen from {found.frame_id}, the image from {frame.frame_id}: it is ignored; give depth "
                    "registered to the image (often called aligned_depth_to_color or depth_registered)",
                )
                return None
            depth = found.depth_m
        height, width = frame.image.shape[:2]
        if depth is not None and depth.shape != (height, width):
            notes.tell(
                "depth_size",
                f"depth is {depth.shape[1]}x{depth.shape[0]}, the image is {width}x{height}: "
                "publish depth registered to the image; it is ignored",
            )
            return None
        return depth
