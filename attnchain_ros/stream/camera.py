"""From CameraInfo's numbers to the intrinsics of the images that really come."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..camera.intrinsics import Undistorter, camera_info_matrix
from ..errors import InputError
from ..notes import Note, Notes
from .stamps import StampBook

_MOST_CHANGES = 64
_ZOOM = 0.02
"""A focal length that changes by more than this share is a zoom, which no chain follows."""


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

    @property
    def relative_focal(self) -> float:
        """Focal length in widths of the sensor's image, 0 = not known; the same in every mode of one lens."""
        return self.k[0] / self.width if self.width > 0 and self.k and self.k[0] > 0 else 0.0


def camera_numbers(message: Any) -> CameraNumbers:
    """The fields of a CameraInfo that matter, be the message rclpy's or read from a bag."""
    roi = message.roi
    return CameraNumbers(
        width=int(message.width),
        height=int(message.height),
        k=tuple(float(value) for value in message.k),
        p=tuple(float(value) for value in message.p),
        d=tuple(float(value) for value in message.d),
        model=message.distortion_model,
        roi=(int(roi.x_offset), int(roi.y_offset), int(roi.width), int(roi.height)),
        binning=(int(message.binning_x), int(message.binning_y)),
        frame_id=message.header.frame_id,
    )


def looks_rectified(topic: str) -> bool:
    """Whether a topic's name says that its images are rectified (image_rect, image_rect_color)."""
    return "image_rect" in topic


def rectified_text(topic: str, option: str) -> str:
    """What to say then."""
    return (
        f"{topic} looks as if its images were rectified, but its camera_info's distortion is removed from them all the "
        f"same: set {option} if they are"
    )


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
    try:
        undistorter = Undistorter(intrinsics, np.asarray(numbers.d), numbers.model, (height, width))
    except InputError as error:  # K itself was checked above
        notes.tell("distortion_unusable", f"{error}: images are taken as if the lens had no distortion")
        return CameraModel(intrinsics, notes=tuple(notes))
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
        self._changes: StampBook[CameraNumbers] = StampBook(0, _MOST_CHANGES)
        self._last: CameraNumbers | None = None
        self._cached: tuple[CameraNumbers | None, int, int, CameraModel] | None = None

    def update(self, numbers: CameraNumbers, stamp_ns: int = 0) -> bool:
        """Take in a CameraInfo that holds from ``stamp_ns`` on; True where its focal length is another than before."""
        with self._lock:
            before, self._last = self._last, numbers
            if numbers != before:
                self._changes.add(stamp_ns, numbers)
        if before is None or not before.relative_focal or not numbers.relative_focal:
            return False
        return abs(numbers.relative_focal / before.relative_focal - 1) > _ZOOM

    @property
    def known(self) -> bool:
        """Whether a CameraInfo came."""
        with self._lock:
            return self._last is not None

    def jump_back(self, stamp_ns: int) -> None:
        """Images began anew at ``stamp_ns``: what came for the pass before holds no longer (``StampBook``)."""
        with self._lock:
            self._changes.jump_back(stamp_ns)
            if self._last is not None and self._changes.holding(stamp_ns) is None:
                self._changes.add(stamp_ns, self._last)

    def model(self, height: int, width: int, stamp_ns: int) -> CameraModel:
        """The model for images of this size taken at a stamp; computed when CameraInfo or size change."""
        with self._lock:
            numbers, cached = self._changes.holding(stamp_ns), self._cached
        if cached is not None and cached[:3] == (numbers, height, width):
            return cached[3]
        try:
            found = camera_model(numbers, height, width, rectified=self._rectified)
        except InputError as error:
            found = CameraModel(notes=(Note("camera_info_unusable", f"{error}; the focal length is assumed"),))
        with self._lock:
            self._cached = (numbers, height, width, found)
        return found
