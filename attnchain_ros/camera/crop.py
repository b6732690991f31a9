"""The square crop that the image encoder sees, and its exact affine map to and from the full frame.

Pixel centres sit at integers (conventions.py), so a full frame covers [-0.5, W - 0.5] x [-0.5, H - 0.5]. A crop
covers [x0, x0 + side] x [y0, y0 + side] of the same axes, may reach beyond the frame (white there), and maps by

    u = (x - x0) * size / side - 0.5        v = (y - y0) * size / side - 0.5
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ..errors import InputError, MaskError
from ..shapes import check_shape


@dataclass(frozen=True)
class Crop:
    """A square of the full frame resampled to ``size`` x ``size`` pixels.

    Attributes:
        x0: left edge of the square, full-frame pixels (an edge, not a centre: an uncropped frame has -0.5).
        y0: upper edge, likewise.
        side: side of the square, full-frame pixels.
        size: side of the resampled image, crop pixels.
    Raises:
        InputError: ``side`` or ``size`` is not positive or a number is not finite.
    """

    x0: float
    y0: float
    side: float
    size: int

    def __post_init__(self) -> None:
        if not (np.isfinite([self.x0, self.y0, self.side]).all() and self.side > 0 and self.size > 0):
            raise InputError(f"crop is {self}, wanted finite edges, a positive side and a positive size")

    def at_size(self, size: int) -> Crop:
        """The same square resampled to ``size`` x ``size`` pixels."""
        return Crop(self.x0, self.y0, self.side, size)

    @property
    def scale(self) -> float:
        """Crop pixels per full-frame pixel."""
        return self.size / self.side

    def full_to_crop(self, points_px: np.ndarray) -> np.ndarray:
        """Full-frame pixels [..., 2] to crop pixels [..., 2], float64.

        >>> Crop(x0=99.5, y0=49.5, side=448.0, size=224).full_to_crop(np.array([100.5, 50.5])).tolist()
        [0.0, 0.0]
        """
        return (_points(points_px) - (self.x0, self.y0)) * self.scale - 0.5

    def crop_to_full(self, points_px: np.ndarray) -> np.ndarray:
        """Crop pixels [..., 2] to full-frame pixels [..., 2], float64; inverse of ``full_to_crop``."""
        return (_points(points_px) + 0.5) / self.scale + (self.x0, self.y0)

    def intrinsics(self, intrinsics: np.ndarray) -> np.ndarray:
        """K [3, 3] of the full frame to that of the crop, float64: projecting with it is mapping the projection."""
        check_shape("intrinsics", intrinsics, "3 3")
        return self._affine() @ np.asarray(intrinsics, dtype=np.float64)

    def patch_side_full(self, grid: int) -> float:
        """Side of one patch of a ``grid`` x ``grid`` partition, full-frame pixels."""
        return self.side / grid

    def patch_coordinates(self, points_px: np.ndarray, grid: int) -> np.ndarray:
        """Full-frame pixels [..., 2] in patch units [..., 2] (column, row), patch centres at integers, float64."""
        return (_points(points_px) - (self.x0, self.y0)) * (grid / self.side) - 0.5

    def patch_to_full(self, coordinates: np.ndarray, grid: int) -> np.ndarray:
        """Patch units [..., 2] (column, row) to full-frame pixels [..., 2]; inverse of ``patch_coordinates``."""
        return (_points(coordinates) + 0.5) * (self.side / grid) + (self.x0, self.y0)

    def patch_of(self, points_px: np.ndarray, grid: int) -> np.ndarray:
        """Row-major patch [...] int64 that holds each full-frame pixel [..., 2]; -1 outside the crop or NaN."""
        place = self.patch_coordinates(points_px, grid)
        inside: np.ndarray = np.asarray(np.all((place >= -0.5) & (place < grid - 0.5), axis=-1))
        cell = np.floor(np.where(inside[..., None], place, 0.0) + 0.5).astype(np.int64)
        return np.where(inside, cell[..., 1] * grid + cell[..., 0], -1)

    def _affine(self) -> np.ndarray:
        scale = self.scale
        return np.array([[scale, 0.0, -self.x0 * scale - 0.5], [0.0, scale, -self.y0 * scale - 0.5], [0.0, 0.0, 1.0]])


def union_crop(masks: np.ndarray, padding: float, size: int) -> Crop:
    """The square around everything that the masks of a window cover.

    The box runs along the outer edges of the outermost mask pixels, is padded on every side by ``padding`` of its
    longer side, and its shorter side grows to a square about the box's centre.

    Args:
        masks: [F, H, W] bool.
        padding: share of the longer side, >= 0 (published: 0.1).
        size: side of the resampled image, pixels.
    Raises:
        MaskError: every mask is empty.   ShapeError: not three axes.   InputError: negative padding.
    Twin: ``lab.reference.crop.union_crop``.
    """
    check_shape("masks", masks, "F H W")
    if not padding >= 0:
        raise InputError(f"padding is {padding}, wanted a share of the longer side, 0 or more")
    union = np.any(masks, axis=0)
    rows, columns = np.flatnonzero(union.any(axis=1)), np.flatnonzero(union.any(axis=0))
    if len(rows) == 0:
        raise MaskError(f"all {len(masks)} masks are empty, wanted the object in at least one: check the segmentation")
    x_low, x_high = columns[0] - 0.5, columns[-1] + 0.5
    y_low, y_high = rows[0] - 0.5, rows[-1] + 0.5
    side = max(x_high - x_low, y_high - y_low) * (1.0 + 2.0 * padding)
    return Crop(
        x0=float((x_low + x_high - side) / 2), y0=float((y_low + y_high - side) / 2), side=float(side), size=int(size)
    )


def prepare_images(images: np.ndarray, masks: np.ndarray, crop: Crop) -> np.ndarray:
    """Cut the object out, put it on white and resample it into the crop.

    Compositing comes first, at full resolution, so that the mask's edge is resampled with the colours. Shrinking
    averages over the exact area of every output pixel (no aliasing); enlarging interpolates with a Catmull-Rom cubic.

    Args:
        images: [F, H, W, 3] uint8 RGB, full frames.
        masks: [F, H, W] bool, the object.
        crop: where to cut; may reach beyond the frame, which is white there.
    Returns:
        [F, size, size, 3] uint8 RGB.
    Raises:
        ShapeError: sizes disagree.   InputError: images are not uint8.
    Twin: ``lab.reference.crop.prepare_images``.
    """
    axes = check_shape("images", images, "F H W 3")
    check_shape("masks", masks, "F H W", "one mask per frame, of the image's size", **axes)
    if images.dtype != np.uint8:
        raise InputError(f"images are {images.dtype}, wanted uint8 RGB")
    left, across = _resampling(crop.x0, crop, axes["W"])
    upper, down = _resampling(crop.y0, crop, axes["H"])
    columns, rows = slice(left, left + across.shape[1]), slice(upper, upper + down.shape[1])
    prepared = np.empty((axes["F"], crop.size, crop.size, 3), dtype=np.uint8)
    for frame in range(axes["F"]):
        # Resampling the distance from white makes everything outside the mask and the frame zero: no special case.
        inside = np.asarray(masks[frame, rows, columns]).astype(bool, copy=False)
        ink = (np.uint8(255) - images[frame, rows, columns]) * inside[..., None]
        height, width = ink.shape[:2]
        narrow = down @ ink.reshape(height, width * 3).astype(np.float32)
        turned = np.ascontiguousarray(narrow.reshape(crop.size, width, 3).swapaxes(0, 1))
        small = (across @ turned.reshape(width, crop.size * 3)).reshape(crop.size, crop.size, 3)
        prepared[frame] = np.rint(np.clip(255.0 - small, 0.0, 255.0)).astype(np.uint8).swapaxes(0, 1)
    return prepared


def _resampling(edge: float, crop: Crop, length: int) -> tuple[int, sparse.csr_array]:
    """First full-frame pixel used along one axis, and the [size, used] weights of the crop's pixels over the used ones.

    Rows sum to 1 less what falls outside the frame.
    """
    step = crop.side / crop.size
    if step >= 1.0:
        low = edge + step * np.arange(crop.size)
        first = np.floor(low + 0.5).astype(np.int64)
        pixel = first[:, None] + np.arange(int(np.ceil(step)) + 1)
        weight = np.minimum(low[:, None] + step, pixel + 0.5) - np.maximum(low[:, None], pixel - 0.5)
        weight = np.maximum(weight, 0.0) / step
    else:
        center = edge + step * (np.arange(crop.size) + 0.5)
        pixel = np.floor(center).astype(np.int64)[:, None] + np.arange(-1, 3)
        weight = _cubic(np.abs(center[:, None] - pixel))
    row = np.broadcast_to(np.arange(crop.size)[:, None], pixel.shape)
    kept = (pixel >= 0) & (pixel < length) & (weight != 0.0)
    if not kept.any():
        return 0, sparse.csr_array((crop.size, 0), dtype=np.float32)
    first_used, last_used = int(pixel[kept].min()), int(pixel[kept].max())
    shape = (crop.size, last_used - first_used + 1)
    entries = weight[kept].astype(np.float32)
    return first_used, sparse.csr_array((entries, (row[kept], pixel[kept] - first_used)), shape=shape)


def _cubic(distance: np.ndarray) -> np.ndarray:
    """Catmull-Rom kernel (cubic convolution with a = -1/2); reproduces straight lines exactly."""
    near = (1.5 * distance - 2.5) * distance**2 + 1.0
    far = ((-0.5 * distance + 2.5) * distance - 4.0) * distance + 2.0
    return np.where(distance <= 1.0, near, np.where(distance < 2.0, far, 0.0))


def _points(points: np.ndarray) -> np.ndarray:
    check_shape("points", points, "... 2")
    return np.asarray(points, dtype=np.float64)
