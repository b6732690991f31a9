"""From what a segmenter gives to one object: values that are right, not only accepted."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from attnchain_ros.errors import MaskError, ShapeError
from attnchain_ros.stream.objects import clean_mask, instance_ids, instance_mask, one_object


def disc(radius: int, size: int = 80) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return np.asarray((x - 30) ** 2 + (y - 30) ** 2 < radius**2)


def test_specks_and_dust_go_and_parts_stay() -> None:
    whole = disc(20)
    spoilt = whole.copy()
    spoilt[75, 75] = spoilt[70:72, 3] = True
    spoilt[30, 30] = False
    found = clean_mask(spoilt)
    np.testing.assert_array_equal(found.mask, whole)
    assert (found.specks, found.holes, found.pixels) == (2, 1, 4)
    # A part of its own and a hole through the object are no dust.
    parts = whole.copy()
    parts[60:70, 60:70] = True
    parts[28:33, 28:33] = False
    assert clean_mask(parts).pixels == 0
    assert clean_mask(np.zeros((5, 5), bool)).pixels == 0 and not clean_mask(np.ones((5, 5), bool)).pixels


def test_the_largest_piece_is_never_a_speck() -> None:
    for seed in range(20):
        noise = np.random.default_rng(seed).random((40, 40)) < 0.02
        assert clean_mask(noise).mask.any()


def test_ids_soft_edges_and_two_writers_are_told_apart() -> None:
    ids = np.zeros((80, 80), np.uint16)
    ids[disc(20)] = 20
    ids[60:75, 60:75] = 90
    assert instance_ids(ids) == [20, 90]
    with pytest.raises(MaskError, match=r"mask a.png holds several objects, ids 20, 90: choose one with --instance"):
        one_object(ids, 0, "mask a.png")
    np.testing.assert_array_equal(one_object(ids, 20, "mask"), disc(20))
    assert not instance_mask(ids, 5).any()
    soft = (disc(20) * 255.0 * 0.5 + disc(22) * 255.0 * 0.5).astype(np.uint8)
    soft[disc(22) & ~disc(20)] = np.arange((disc(22) & ~disc(20)).sum()) % 250
    assert len(instance_ids(soft)) == 1
    small = cv2.resize(disc(10, 40).astype(np.uint8) * 255, (80, 80), interpolation=cv2.INTER_LINEAR)
    assert len(np.unique(small)) > 4 and instance_ids(small) == [255], "a mask that was made larger"
    two = disc(20).astype(np.uint8) * 255
    two[30, 20:40] = 254
    assert instance_ids(two) == [255]
    with pytest.raises(ShapeError, match="wanted one channel"):
        one_object(np.zeros((3, 3, 3), np.uint8), 0, "mask")
