"""camera.crop: the affine map is exact and invertible, resampling keeps sub-pixel places, fast against twin."""

from __future__ import annotations

import numpy as np
import pytest

from attnchain_ros.camera.crop import Crop, prepare_images, union_crop
from attnchain_ros.errors import InputError, MaskError, ShapeError
from attnchain_ros.lab.reference import crop as twin

CROPS = [
    Crop(x0=-0.5, y0=-0.5, side=64.0, size=64),
    Crop(x0=-31.7, y0=12.3, side=517.3, size=224),
    Crop(x0=200.1, y0=99.9, side=57.7, size=224),
]


@pytest.mark.parametrize("crop", CROPS)
def test_round_trips(crop: Crop) -> None:
    points = np.random.default_rng(0).uniform(-500, 1500, (50, 2))
    np.testing.assert_allclose(crop.crop_to_full(crop.full_to_crop(points)), points, atol=1e-9)
    np.testing.assert_allclose(crop.patch_to_full(crop.patch_coordinates(points, 16), 16), points, atol=1e-9)


@pytest.mark.parametrize("crop", CROPS)
def test_projecting_with_the_crops_intrinsics_is_mapping_the_projection(crop: Crop) -> None:
    rng = np.random.default_rng(1)
    k = np.array([[600.0, 1.5, 320.0], [0, 610.0, 250.0], [0, 0, 1]])
    points = rng.uniform([-1, -1, 2], [1, 1, 5], (20, 3))

    def pixels(matrix: np.ndarray) -> np.ndarray:
        flat = points @ matrix.T
        return flat[:, :2] / flat[:, 2:]

    np.testing.assert_allclose(pixels(crop.intrinsics(k)), crop.full_to_crop(pixels(k)), atol=1e-9)


def test_whole_frame_is_the_identity_and_corners_map_to_corners() -> None:
    points = np.array([[0.0, 0.0], [17.25, 3.5]])
    np.testing.assert_array_equal(CROPS[0].full_to_crop(points), points)
    crop = Crop(x0=10.5, y0=20.5, side=100.0, size=50)
    corners = np.array([[10.5, 20.5], [110.5, 120.5]])
    np.testing.assert_allclose(crop.full_to_crop(corners), [[-0.5, -0.5], [49.5, 49.5]])


def test_patches_are_row_major_and_bounded() -> None:
    crop = Crop(x0=10.0, y0=20.0, side=80.0, size=224)
    column, row = np.meshgrid(np.arange(4), np.arange(4))
    centres = crop.patch_to_full(np.stack([column, row], axis=-1).reshape(16, 2), 4)
    np.testing.assert_allclose(centres[[0, 1, 4]], [[20, 30], [40, 30], [20, 50]])
    assert np.array_equal(crop.patch_of(centres, 4), np.arange(16))
    edges = np.array([[10.0, 20.0], [89.999, 99.999], [90.0, 60.0], [9.999, 60.0], [50.0, np.nan]])
    assert crop.patch_of(edges, 4).tolist() == [0, 15, -1, -1, -1]
    assert crop.patch_side_full(4) == 20.0


def test_union_box_by_hand() -> None:
    masks = np.zeros((2, 60, 80), dtype=bool)
    masks[0, 10:20, 30:40] = True
    masks[1, 15:25, 30:60] = True
    crop = union_crop(masks, 0.1, 224)
    # x from 29.5 to 59.5 (30 wide), y from 9.5 to 24.5; side 30 * 1.2 about (44.5, 17)
    assert (crop.side, crop.size) == (pytest.approx(36.0), 224)
    assert (crop.x0, crop.y0) == (pytest.approx(26.5), pytest.approx(-1.0))
    np.testing.assert_allclose([crop.x0, crop.y0, crop.side], twin.union_crop(masks, 0.1), atol=1e-12)


def test_single_pixel_mask() -> None:
    masks = np.zeros((1, 5, 7), dtype=bool)
    masks[0, 4, 6] = True
    crop = union_crop(masks, 0.0, 8)
    assert (crop.x0, crop.y0, crop.side) == (5.5, 3.5, 1.0)


@pytest.mark.parametrize(
    "crop",
    [
        Crop(x0=-0.5, y0=-0.5, side=12.0, size=12),
        Crop(x0=1.3, y0=2.2, side=9.7, size=4),
        Crop(x0=-4.1, y0=-2.6, side=21.3, size=9),
        Crop(x0=3.4, y0=4.1, side=5.3, size=11),
        Crop(x0=-3.2, y0=8.9, side=6.0, size=9),
        Crop(x0=40.0, y0=40.0, side=8.0, size=4),
    ],
)
def test_images_against_twin(crop: Crop) -> None:
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, (2, 12, 15, 3), dtype=np.uint8)
    masks = rng.uniform(size=(2, 12, 15)) > 0.3
    fast = prepare_images(images, masks, crop)
    assert fast.dtype == np.uint8
    # Rounding is half a step; float32 sums add less than 1e-4.
    assert np.abs(fast - twin.prepare_images(images, masks, crop)).max() <= 0.501


def test_uncropped_frame_is_unchanged_and_white_outside() -> None:
    images = np.random.default_rng(3).integers(0, 256, (1, 8, 8, 3), dtype=np.uint8)
    full = np.ones((1, 8, 8), dtype=bool)
    assert np.array_equal(prepare_images(images, full, Crop(-0.5, -0.5, 8.0, 8)), images)
    assert (prepare_images(images, ~full, Crop(-0.5, -0.5, 8.0, 8)) == 255).all()
    wide = prepare_images(images, full, Crop(-8.5, -8.5, 24.0, 24))
    assert np.array_equal(wide[:, 8:16, 8:16], images)
    wide[:, 8:16, 8:16] = 255
    assert (wide == 255).all()


@pytest.mark.parametrize("side, size", [(517.3, 224), (300.0, 224), (101.7, 224), (640.2, 80)])
def test_subpixel_places_survive(side: float, size: int) -> None:
    """A smooth gradient image read at crop pixel u must show the full-frame place that the map gives for u."""
    y, x = np.mgrid[:700, :700]
    # Both channels mix x and y, so that rounding to whole grey levels differs from pixel to pixel and averages out.
    mixing = np.array([[0.21, 0.0777], [0.0777, 0.21], [0.21, -0.03]])
    levels = 22 + np.stack([x, y], axis=-1) @ mixing.T
    image = np.floor(levels + np.random.default_rng(4).uniform(size=levels.shape)).astype(np.uint8)[None]
    crop = Crop(x0=31.37, y0=20.81, side=side, size=size)
    seen = prepare_images(image, np.ones((1, 700, 700), dtype=bool), crop)[0].astype(np.float64)
    wanted = crop.crop_to_full(np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1))
    shift = (seen - 22) @ np.linalg.pinv(mixing).T - wanted
    half = size // 2
    # Worst seen 0.02 px. Every half by itself, because a wrong scale would tilt the residual about the middle.
    for part in (shift[4:half, 4:-4], shift[half:-4, 4:-4], shift[4:-4, 4:half], shift[4:-4, half:-4]):
        assert np.abs(part.mean(axis=(0, 1))).max() < 0.05


def test_shrinking_does_not_alias() -> None:
    """One-pixel stripes vanish into grey instead of turning into coarse ones."""
    image = np.zeros((1, 400, 400, 3), dtype=np.uint8)
    image[:, :, ::2] = 255
    small = prepare_images(image, np.ones((1, 400, 400), dtype=bool), Crop(0.3, 0.3, 390.0, 50))
    assert np.abs(small.astype(int) - 127.5).max() < 10  # area averaging leaves at most half a pixel of 7.8: 8.2


def test_bad_input_is_named() -> None:
    with pytest.raises(MaskError, match="all 2 masks are empty"):
        union_crop(np.zeros((2, 4, 4), dtype=bool), 0.1, 224)
    with pytest.raises(InputError, match="padding is -1"):
        union_crop(np.ones((1, 4, 4), dtype=bool), -1, 224)
    with pytest.raises(InputError, match="positive side"):
        Crop(0.0, 0.0, 0.0, 224)
    with pytest.raises(ShapeError, match="masks has shape"):
        prepare_images(np.zeros((1, 4, 4, 3), np.uint8), np.zeros((1, 4, 5), bool), CROPS[0])
    with pytest.raises(InputError, match="float64, wanted uint8"):
        prepare_images(np.zeros((1, 4, 4, 3)), np.zeros((1, 4, 4), bool), CROPS[0])
