"""Pinhole intrinsics: the assumed ones, those of a CameraInfo, and the removal of lens distortion."""

from __future__ import annotations

import cv2
import numpy as np

from ..conventions import NDC_FOCAL
from ..errors import InputError, ShapeError
from ..shapes import check_shape

# A common driver calls its 8 coefficients plumb_bob; OpenCV tells the pinhole models apart by their number alone.
_PINHOLE = (4, 5, 8, 12, 14)
_DISTORTION_COUNTS = {"plumb_bob": _PINHOLE, "rational_polynomial": _PINHOLE, "equidistant": (4,)}


def check_intrinsics(intrinsics: np.ndarray) -> np.ndarray:
    """K [3, 3] as float64 if it is that of a pinhole camera.

    Raises:
        ShapeError: not [3, 3].   InputError: not finite, a focal length is not positive, or the rest is not K's form.
    """
    check_shape("intrinsics", intrinsics, "3 3")
    matrix = np.asarray(intrinsics, dtype=np.float64)
    if not np.isfinite(matrix).all():
        raise InputError(f"intrinsics {matrix.tolist()} are not finite: check the camera's calibration")
    if matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        raise InputError(
            f"focal lengths are {matrix[0, 0]:g} and {matrix[1, 1]:g} px, wanted positive ones: an uncalibrated camera"
            " publishes zeros, so calibrate it or leave the intrinsics out"
        )
    if matrix[1, 0] != 0 or matrix[2, 0] != 0 or matrix[2, 1] != 0 or matrix[2, 2] != 1:
        raise InputError(f"intrinsics {matrix.tolist()} are not [[fx, s, cx], [0, fy, cy], [0, 0, 1]]")
    return matrix


def default_intrinsics(height: int, width: int) -> np.ndarray:
    """K [3, 3] float64 assumed without calibration (App. C): f = 2.1875 * shorter side / 2, centre of the frame.

    Raises:
        InputError: the frame is empty.

    >>> default_intrinsics(480, 640).tolist()
    [[525.0, 0.0, 319.5], [0.0, 525.0, 239.5], [0.0, 0.0, 1.0]]
    """
    if height < 1 or width < 1:
        raise InputError(f"the frame is {width}x{height}, wanted at least 1x1")
    focal = NDC_FOCAL * min(height, width) / 2
    return np.array([[focal, 0.0, (width - 1) / 2], [0.0, focal, (height - 1) / 2], [0.0, 0.0, 1.0]])


def camera_info_matrix(
    k: np.ndarray,
    p: np.ndarray | None = None,
    roi: tuple[int, int] = (0, 0),
    binning: tuple[int, int] = (1, 1),
) -> np.ndarray | None:
    """K of the image as published, from the numbers of its sensor_msgs/CameraInfo.

    CameraInfo describes the full sensor; the image is its region of interest, then binned. With pixel centres at
    integers the centre of a superpixel of b pixels is b * u + (b - 1) / 2, which is taken into account here.

    Args:
        k: [9] or [3, 3] row-major, the raw image's; used where ``p`` is None.
        p: [12] or [3, 4] row-major, for rectified images; its left 3 x 3 is used (a stereo baseline is left out).
        roi: (x_offset, y_offset), full-sensor pixels.
        binning: (binning_x, binning_y); 0 means 1, as in CameraInfo.
    Returns:
        [3, 3] float64, or None for an uncalibrated camera (fx = 0, as CameraInfo defines it).
    Raises:
        ShapeError: wrong number of values.   InputError: negative binning, or K is not that of a pinhole camera.

    >>> camera_info_matrix([500, 0, 320, 0, 500, 240, 0, 0, 1], roi=(100, 40), binning=(2, 2)).tolist()
    [[250.0, 0.0, 109.75], [0.0, 250.0, 99.75], [0.0, 0.0, 1.0]]
    """
    name, values, count = ("K", k, 9) if p is None else ("P", p, 12)
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.size != count:
        raise ShapeError(f"{name} of CameraInfo has {numbers.size} values, wanted {count}")
    matrix = numbers.reshape(3, -1)[:, :3].copy()
    if matrix[0, 0] == 0:
        return None
    if min(binning) < 0:
        raise InputError(f"binning is {tuple(binning)}, wanted 0 (none) or more")
    for axis in range(2):
        step = max(int(binning[axis]), 1)
        matrix[axis, 2] = (matrix[axis, 2] - roi[axis] + 0.5) / step - 0.5
        matrix[axis, :2] /= step
    return check_intrinsics(matrix)


class Undistorter:
    """Removes a lens's distortion from images of one camera; the pixel maps are computed once.

    Args:
        intrinsics: [3, 3] K of the image as published, pixels.
        distortion: CameraInfo's D: 4, 5, 8, 12 or 14 values for plumb_bob and rational_polynomial, 4 for
            equidistant; empty or all zero = nothing to remove.
        model: CameraInfo's distortion_model.
        size: (height, width), pixels.
    Attributes:
        K: [3, 3] float64, intrinsics of the undistorted image: the same as the given ones.
        active: False if there is nothing to remove; images are then returned as they are.
    Raises:
        InputError: unknown model, values that are not finite, or K unusable.   ShapeError: wrong number of values.
    """

    def __init__(self, intrinsics: np.ndarray, distortion: np.ndarray, model: str, size: tuple[int, int]) -> None:
        self.K = check_intrinsics(intrinsics)
        self.size = (int(size[0]), int(size[1]))
        numbers = np.asarray(distortion, dtype=np.float64).ravel()
        self.active = bool(numbers.size) and bool((numbers != 0).any())
        if not self.active:
            return
        if model not in _DISTORTION_COUNTS:
            raise InputError(f"distortion model is {model!r}, wanted one of {', '.join(_DISTORTION_COUNTS)}")
        if numbers.size not in _DISTORTION_COUNTS[model]:
            counts = " or ".join(str(count) for count in _DISTORTION_COUNTS[model])
            raise ShapeError(f"distortion has {numbers.size} values, {model} wants {counts}")
        if not np.isfinite(numbers).all():
            raise InputError(f"distortion {numbers.tolist()} is not finite: check the camera's calibration")
        self._distortion, self._model = numbers, model
        height, width = self.size
        make = cv2.fisheye.initUndistortRectifyMap if model == "equidistant" else cv2.initUndistortRectifyMap
        self._map_x, self._map_y = make(self.K, numbers, np.eye(3), self.K, (width, height), cv2.CV_32FC1)

    def image(self, image: np.ndarray) -> np.ndarray:
        """Undistort an image [H, W] or [H, W, C], bilinear; black where the lens saw nothing.

        Raises:
            ShapeError: another size than the camera's.
        """
        return self._remap(image, cv2.INTER_LINEAR)

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """Undistort a mask [H, W] bool, nearest pixel; False where the lens saw nothing.

        Raises:
            ShapeError: another size than the camera's.
        """
        return self._remap(np.asarray(mask).astype(np.uint8), cv2.INTER_NEAREST).astype(bool)

    def depth(self, depth: np.ndarray) -> np.ndarray:
        """Undistort a depth image [H, W] registered to this camera, nearest pixel; 0 where the lens saw nothing.

        Raises:
            ShapeError: another size than the camera's.
        """
        return self._remap(depth, cv2.INTER_NEAREST)

    def distort(self, points_px: np.ndarray) -> np.ndarray:
        """Pixels [..., 2] of the undistorted image as pixels of the image as published, same dtype; NaN stays NaN."""
        if not self.active:
            return points_px
        flat = np.asarray(points_px, np.float64).reshape(-1, 2)
        known = np.isfinite(flat).all(axis=1)
        moved = np.full_like(flat, np.nan)
        if known.any():
            rays = np.column_stack([flat[known], np.ones(int(known.sum()))]) @ np.linalg.inv(self.K).T
            project = cv2.fisheye.projectPoints if self._model == "equidistant" else cv2.projectPoints
            still = np.zeros(3)
            pixels, _ = project(rays[:, None], still, still, self.K, self._distortion)
            moved[known] = pixels.reshape(-1, 2)
        return moved.reshape(np.shape(points_px)).astype(np.asarray(points_px).dtype)

    def _remap(self, image: np.ndarray, interpolation: int) -> np.ndarray:
        height, width = self.size
        pattern = "H W" if image.ndim == 2 else "H W C"
        check_shape("image", image, pattern, "build a new Undistorter for it", H=height, W=width)
        if not self.active:
            return image
        return cv2.remap(image, self._map_x, self._map_y, interpolation, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
