"""Small grey pictures of the camera's images, and the store that a late window catches up from."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from ..shapes import check_shape
from ..stream.camera import CameraModel
from ..stream.frame import ImageKind


@dataclass(frozen=True, eq=False)
class LivePicture:
    """One camera image as the live lane keeps it.

    Attributes:
        grey: [h, w] uint8, undistorted, shrunk by ``shrink_factor``.
        kind: stamp, size and frame of the image it was made of.
        arrived_s: when the image came in, seconds of a steady clock.
        intrinsics: [3, 3] K of the undistorted full image as it was calibrated then, None = not known.
    """

    grey: np.ndarray
    kind: ImageKind
    arrived_s: float
    intrinsics: np.ndarray | None

    @property
    def stamp_ns(self) -> int:
        """The image's own stamp."""
        return self.kind.stamp_ns


def shrink_factor(height: int, width: int, size_px: int) -> float:
    """Small pixels per full pixel: the longer side becomes ``size_px``; images are never enlarged."""
    return min(1.0, size_px / max(height, width))


def small_picture(image: np.ndarray, size_px: int, camera: CameraModel | None = None) -> np.ndarray:
    """An image as small, undistorted and grey.

    Args:
        image: [H, W, 3] uint8 RGB.
        size_px: longer side of what comes out.
        camera: removes the lens's distortion; None = it is removed already.
    Returns:
        [h, w] uint8.
    Raises:
        ShapeError: the image is not [H, W, 3], or not of the camera's size.
    """
    axes = check_shape("image", image, "H W 3")
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if camera is not None and camera.undistorter is not None:
        grey = camera.undistorter.image(grey)
    factor = shrink_factor(axes["H"], axes["W"], size_px)
    if factor == 1.0:
        return grey
    size = max(1, round(axes["W"] * factor)), max(1, round(axes["H"] * factor))
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA)


def small_intrinsics(intrinsics: np.ndarray, full: tuple[int, ...], small: tuple[int, ...]) -> np.ndarray:
    """K [3, 3] of the full image as that of the small picture, float64; pixel centres stay at whole numbers.

    Args:
        intrinsics: [3, 3] K of the full image.
        full, small: their (height, width, ...).

    >>> small_intrinsics(np.array([[8.0, 0, 3.5], [0, 8.0, 1.5], [0, 0, 1]]), (4, 8), (2, 4)).tolist()
    [[4.0, 0.0, 1.5], [0.0, 4.0, 0.5], [0.0, 0.0, 1.0]]
    """
    check_shape("intrinsics", intrinsics, "3 3")
    across, down = small[1] / full[1], small[0] / full[0]
    affine = np.array([[across, 0.0, 0.5 * across - 0.5], [0.0, down, 0.5 * down - 0.5], [0.0, 0.0, 1.0]])
    found: np.ndarray = affine @ np.asarray(intrinsics, np.float64)
    return found


def full_pixels(points_px: np.ndarray, full: tuple[int, ...], small: tuple[int, ...]) -> np.ndarray:
    """Pixels [..., 2] of the small picture as those of the full image; sizes as (height, width, ...).

    >>> full_pixels(np.array([1.5, 0.5]), (4, 8), (2, 4)).tolist()
    [3.5, 1.5]
    """
    factor = np.array([full[1] / small[1], full[0] / small[0]])
    found: np.ndarray = (np.asarray(points_px, np.float64) + 0.5) * factor - 0.5
    return found


class PictureStore:
    """The newest pictures in the order of their stamps, bounded by time and number."""

    def __init__(self) -> None:
        self._pictures: deque[LivePicture] = deque()

    def __len__(self) -> int:
        return len(self._pictures)

    def __iter__(self) -> Iterator[LivePicture]:
        return iter(self._pictures)

    @property
    def newest(self) -> LivePicture | None:
        """The last one, None = empty."""
        return self._pictures[-1] if self._pictures else None

    def add(self, picture: LivePicture, most: int, longest_s: float) -> None:
        """Append a picture; the oldest ones beyond ``most`` pictures or ``longest_s`` of image time go."""
        self._pictures.append(picture)
        oldest_ns = picture.stamp_ns - round(longest_s * 1e9)
        while len(self._pictures) > most or self._pictures[0].stamp_ns < oldest_ns:
            self._pictures.popleft()

    def overtaken(self, stamp_ns: int) -> bool:
        """Whether a stamp is the newest one's, or lies between the last two."""
        if not self._pictures or stamp_ns > self._pictures[-1].stamp_ns:
            return False
        return stamp_ns == self._pictures[-1].stamp_ns or (
            len(self._pictures) > 1 and stamp_ns > self._pictures[-2].stamp_ns
        )

    def after(self, stamp_ns: int) -> list[LivePicture]:
        """Those that are newer than a stamp, oldest first."""
        return [picture for picture in self._pictures if picture.stamp_ns > stamp_ns]

    def clear(self) -> None:
        """Forget all."""
        self._pictures.clear()
