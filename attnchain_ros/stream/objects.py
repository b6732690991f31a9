"""From what a segmenter gives to the one object: ids, soft edges, specks and holes. The same for every driver."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from ..errors import MaskError, ShapeError

ALL_OBJECTS = -1
"""In place of one object's id: every value that is not 0 is an object."""
SPECK_SHARE = 0.005
"""A piece of the mask below this share of the largest piece is a speck, not a part of the object."""
HOLE_SHARE = 0.001
"""A hole below this share of the largest piece is dust."""
DUST_PX = 4
"""Pieces and holes of fewer pixels are dust, however small the object is."""
_ID_SHARE = 0.01
"""A value that covers less of what is not 0 is an edge's, not an object's."""
_MOST_IDS = 32


def instance_mask(raw: np.ndarray, instance: int = 0) -> np.ndarray:
    """The object in a mask image.

    Args:
        raw: [H, W] mask or instance ids.
        instance: id of the object; 0 = everything that is not 0.
    Returns:
        [H, W] bool.
    Raises:
        ShapeError: not one channel.
    """
    check_ids(raw)
    return np.asarray(raw == instance if instance else raw != 0)


def check_ids(raw: np.ndarray) -> np.ndarray:
    """The same mask image, if it is one.

    Raises:
        ShapeError: not one channel of whole numbers.
    """
    if raw.ndim != 2 or not np.issubdtype(raw.dtype, np.integer):
        raise ShapeError(
            f"mask has shape {list(raw.shape)} and {raw.dtype} values, wanted one channel of mono8 or 16UC1"
        )
    return raw


def id_areas(ids: np.ndarray) -> dict[int, int]:
    """Pixels by id in an image of ids [H, W], the largest object first; 0 is none.

    >>> id_areas(np.array([[0, 7, 7], [3, 7, 0]], np.uint8))
    {7: 3, 3: 1}
    """
    # Counting is many times faster than sorting, which np.unique does.
    counts = np.bincount(ids.ravel())
    found = np.flatnonzero(counts[1:]) + 1
    return {int(value): int(counts[value]) for value in sorted(found, key=lambda value: (-counts[value], value))}


def is_solid(mask: np.ndarray) -> bool:
    """Whether a mask [H, W] bool holds a square of three pixels: what lies along a soft edge does not."""
    return bool(cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0).any())


def instance_ids(raw: np.ndarray) -> list[int]:
    """The objects' ids in a mask image [H, W]; one value, or one with soft edges about it, counts as one object.

    >>> ids = np.zeros((8, 8), np.uint8)
    >>> ids[:4], ids[4:] = 20, 90
    >>> instance_ids(ids), instance_ids(np.where(ids == 90, 255, 0))
    ([20, 90], [255])
    """
    values, counts = np.unique(raw[raw != 0], return_counts=True)
    if len(values) > _MOST_IDS:  # a picture with soft edges, or a blurred one
        return [int(values[-1])]
    large = [int(value) for value in values[counts >= _ID_SHARE * counts.sum()]]
    # Values of a soft edge lie along it, a pixel or two wide; an object holds squares of three.
    solid = [value for value in large if is_solid(raw == value)]
    # Binary masks of two writers: 254 beside 255 is one object.
    return [value for value in solid if value == solid[-1] or value < 0.9 * solid[-1]] or large[-1:]


def one_object(raw: np.ndarray, instance: int, what: str) -> np.ndarray:
    """The object in a recording's mask: with ``instance`` that one, else everything, if that is one object.

    Args:
        raw: [H, W] mask or instance ids.
        instance: id of the object; 0 = there is only one.
        what: of the mask, for the error.
    Raises:
        ShapeError: not one channel.   MaskError: several objects and no id.
    """
    found = instance_mask(raw, instance)
    ids = instance_ids(raw) if not instance else []
    if len(ids) > 1:
        raise MaskError(f"{what} holds several objects, ids {', '.join(map(str, ids))}: choose one with --instance")
    return found


class Cleaned(NamedTuple):
    """A mask without what a segmenter leaves behind.

    Attributes:
        mask: [H, W] bool.
        specks, holes: how many pieces were left out and filled.
        pixels: how many pixels changed.
    """

    mask: np.ndarray
    specks: int
    holes: int
    pixels: int


def clean_mask(mask: np.ndarray) -> Cleaned:
    """Leave out specks far below the size of the largest piece, and fill holes of dust.

    Args:
        mask: [H, W] bool.

    >>> mask = np.zeros((50, 50), bool)
    >>> mask[5:35, 5:35], mask[20, 20], mask[48, 48] = True, False, True
    >>> clean_mask(mask)[1:]
    (1, 1, 2)
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return Cleaned(mask, 0, 0, 0)
    areas = stats[1:, cv2.CC_STAT_AREA]
    largest = int(areas.max())
    specks = 1 + np.flatnonzero(areas < max(SPECK_SHARE * largest, min(DUST_PX, largest)))
    behind, about, sizes, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    border = np.unique(np.concatenate([about[0], about[-1], about[:, 0], about[:, -1]]))
    small = np.flatnonzero(sizes[:, cv2.CC_STAT_AREA] < max(HOLE_SHARE * largest, DUST_PX))
    holes = np.setdiff1d(small[(small > 0) & (small < behind)], border)
    if not len(specks) and not len(holes):
        return Cleaned(mask, 0, 0, 0)
    clean = (mask & ~np.isin(labels, specks)) | np.isin(about, holes)
    return Cleaned(clean, len(specks), len(holes), int(np.count_nonzero(clean != mask)))
