"""From CameraInfo's numbers to the intrinsics of the images that really come. ROS-free."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from ..camera.intrinsics import Undistorter, camera_info_matrix
from ..errors import InputError
from ..notes import Note, Notes

_MOST_CHANGES = 64


@dataclass(frozen=True)
class CameraNumbers:
    """The fields of a sensor_msgs/CameraInfo that matter here, as plain values.

    Attributes:
        width, height: pixels of the full sensor.
        k: [9] row-major.   p: [12] row-major.   d: distortion.   model: distortion_model.
        roi: x_offset, y_offset, width, height in full-sensor pixels; width 0 = everything.
        binning: binning_x, binning_y; 0 = 1.
        frame_id: the camera's optical frame.
    """

    width: int
    height: int
    k: tuple[float, ...]
    p: tuple[float, ...]
    d: tuple[float, ...]
    model: str
    roi: tuple[int, int, int, int] = (0, 0, 0, 0)
    binning: tuple[int, int] = (1, 1)
    frame_id: str = ""


@dataclass(frozen=True)
class CameraModel:
    """How images of one size are to be read.

    Attributes:
        intrinsics: [3, 3] float64 K of the undistorted image, None = not known.
        undistorter: removes the lens's distortion, None = nothing to remove.
        notes: what was assumed, for the log.
    """

    intrinsics: np.ndarray | None = None
    undistorter: Undistorter | None = None
    notes: tuple[Note, ...] = field(default=())

    def distort_points(self, points_px: np.ndarray) -> np.ndarray:
        """Pixels of the undistorted image as pixels of the image as published: [..., 2], NaN stays NaN."""
        return points_px if self.undistorter is None else self.undistorter.distort(points_px)


def camera_model(numbers: CameraNumbers | None, height: int, width: int, *, rectified: bool = False) -> CameraModel:
    """The model for images of [height, width] pixels.

    A size that differs from CameraInfo's only by a factor is taken as a resized image and K is scaled along.

    Args:
        numbers: the latest CameraInfo, None = none came.
        height, width: pixels of the images that come.
        rectified: the image is rectified already: P is used and D ignored.
    Raises:
        InputError: the numbers cannot be used or belong to an image of another shape.
    """
    if numbers is None:
        return CameraModel(notes=(Note("camera_info_missing", "no camera_info came: the focal length is assumed"),))
    intrinsics = camera_info_matrix(
        np.asarray(numbers.k), np.asarray(numbers.p) if rectified else None, numbers.roi[:2], numbers.binning
    )
    if intrinsics is None:
        text = "camera_info says that the camera is not calibrated (K[0] = 0): the focal length is assumed"
        return CameraModel(notes=(Note("camera_uncalibrated", text),))
    notes = Notes()
    across, down = (max(1, step) for step in numbers.binning)
    info_width = (numbers.roi[2] or numbers.width) // across
    info_height = (numbers.roi[3] or numbers.height) // down
    if info_width > 0 and info_height > 0 and (info_width, info_height) != (width, height):
        factor_x, factor_y = width / info_width, height / info_height
        if abs(factor_x / factor_y - 1) > 0.02:
            raise InputError(
                f"camera_info is for {info_width}x{info_height} pixels, the image is {width}x{height}: "
                "publish the camera_info that belongs to the image"
            )
        intrinsics = intrinsics.copy()
        for axis, factor in enumerate((factor_x, factor_y)):
            intrinsics[axis, 2] = (intrinsics[axis, 2] + 0.5) * factor - 0.5
            intrinsics[axis, :2] *= factor
        notes.tell(
            "camera_scaled",
            f"camera_info is for {info_width}x{info_height} pixels, the image is {width}x{height}: K was scaled",
        )
    if rectified:
        return CameraModel(intrinsics, notes=tuple(notes))
    undistorter = Undistorter(intrinsics, np.asarray(numbers.d), numbers.model, (height, width))
    if not undistorter.active:
        return CameraModel(intrinsics, notes=tuple(notes))
    return CameraModel(undistorter.K, undistorter, tuple(notes))


class CameraBook:
    """The CameraInfos that came and the model that belongs to an image, thread-safe.

    Numbers that change (zoom, another camera mode) are kept with the stamp from which on they hold, so that images that
    wait are read with the calibration they were taken with. A faulty CameraInfo counts as none, and is told of.
    """

    def __init__(self, *, rectified: bool = False) -> None:
        self._rectified = rectified
        self._lock = threading.Lock()
        self._changes: deque[tuple[int, CameraNumbers]] = deque(maxlen=_MOST_CHANGES)
        self._cached: tuple[CameraNumbers | None, int, int, CameraModel] | None = None

    def update(self, numbers: CameraNumbers, stamp_ns: int = 0) -> None:
        """Take in a CameraInfo that holds from ``stamp_ns`` on."""
        with self._lock:
            if not self._changes or self._changes[-1][1] != numbers:
                self._changes.append((stamp_ns, numbers))

    @property
    def known(self) -> bool:
        """Whether a CameraInfo came."""
        with self._lock:
            return bool(self._changes)

    def model(self, height: int, width: int, stamp_ns: int | None = None) -> CameraModel:
        """The model for images of this size taken at a stamp (None = now); computed when CameraInfo or size change."""
        with self._lock:
            numbers, cached = self._numbers_at(stamp_ns), self._cached
        if cached is not None and cached[:3] == (numbers, height, width):
            return cached[3]
        try:
            found = camera_model(numbers, height, width, rectified=self._rectified)
        except InputError as error:
            found = CameraModel(notes=(Note("camera_info_unusable", f"{error}; the focal length is assumed"),))
        with self._lock:
            self._cached = (numbers, height, width, found)
        return found

    def _numbers_at(self, stamp_ns: int | None) -> CameraNumbers | None:
        """The last ones to come of those that hold at a stamp (also after a jump back); else the first ones of all."""
        if not self._changes:
            return None
        if stamp_ns is None:
            return self._changes[-1][1]
        held = [numbers for since_ns, numbers in self._changes if since_ns <= stamp_ns]
        return held[-1] if held else self._changes[0][1]
