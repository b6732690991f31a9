from __future__ import annotations

import numpy as np
import pytest

from attnchain_ros.errors import ConfigError
from attnchain_ros.lab.synthetic import Clip, ClipConfig, split_clip
from attnchain_ros.lab.synthetic.dirt import DIRTS, Dirt, blur_motion, dirty_mask, pass_before, pixel_motion, soil


@pytest.fixture(scope="module")
def clip() -> Clip:
    return split_clip("validation", 2, ClipConfig(frames=30, image_size=96))


def test_motion_of_pixels_is_that_of_the_tracked_points(clip: Clip) -> None:
    """Visible surface points carry their pixel to where they are seen in the next frame."""
    motion = pixel_motion(clip)
    camera = clip.camera_from_object
    seen = np.einsum("fij,fpj->fpi", camera[:, :3, :3], clip.surface_points) + camera[:, None, :3, 3]
    pixels = (seen @ clip.intrinsics.T)[..., :2] / seen[..., 2:]
    for frame, other, sign in ((3, 4, 1), (29, 28, -1)):
        rows = np.flatnonzero(clip.surface_visible[frame])
        cell = np.rint(pixels[frame, rows]).astype(int)
        expected = sign * (pixels[other, rows] - pixels[frame, rows])
        off = np.linalg.norm(motion[frame][cell[:, 1], cell[:, 0]] - expected, axis=1)
        assert np.median(off) < 0.05 and np.quantile(off, 0.9) < 0.6
        assert np.linalg.norm(expected, axis=1).max() > 0.5
    alone = split_clip("validation", 2, ClipConfig(frames=1, image_size=32))
    assert not pixel_motion(alone).any()


def test_a_bar_that_moves_is_blurred_along_its_way_alone() -> None:
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[:, 10:20, 16] = 200
    across = np.zeros((1, 32, 32, 2), np.float32)
    across[..., 0] = 8.0
    blurred = blur_motion(image, across, 1.0)
    assert blurred[0, 15, 16].max() < 60 and (blurred[0, 15, 12:21] > 0).all()
    assert blurred[0, 15].sum() == pytest.approx(image[0, 15].sum(), rel=0.05)
    along = across[..., ::-1].copy()
    assert blur_motion(image, along, 1.0)[0, 15, 16].max() == 200
    assert np.array_equal(blur_motion(image, np.zeros_like(across), 1.0), image)


def test_noise_and_light_are_as_strong_as_asked_for(clip: Clip) -> None:
    noisy, masks, _ = soil(clip, Dirt(noise=12.0))
    middle = np.abs(clip.images.astype(int) - 128) < 20
    spread = (noisy.astype(int) - clip.images)[middle].std()
    assert spread == pytest.approx(12.0, rel=0.1) and np.array_equal(masks, clip.masks)
    lit = soil(clip, Dirt(light=0.4)).images
    gain = lit[:, clip.masks.all(axis=0)].mean(axis=(1, 2)) / clip.images[:, clip.masks.all(axis=0)].mean(axis=(1, 2))
    assert gain.max() - gain.min() > 0.25 and gain.min() > 0.5 and gain.max() < 1.1


def test_the_occluder_hides_what_the_mask_no_longer_has_and_starts_beside_the_object(clip: Clip) -> None:
    images, masks, hidden = soil(clip, Dirt(occluder=0.25))
    assert np.array_equal(masks[0], clip.masks[0])
    assert np.array_equal(images[0][masks[0]], clip.images[0][masks[0]])
    assert np.array_equal(hidden, clip.masks & ~masks)
    assert hidden[12].any() and not (masks & ~clip.masks).any()
    assert (images[12][hidden[12]] != clip.images[12][hidden[12]]).any(axis=1).mean() > 0.9
    assert np.array_equal(images[12][masks[12]], clip.images[12][masks[12]])
    shares = hidden.sum(axis=(1, 2)) / clip.masks.sum(axis=(1, 2))
    assert 0.1 < shares.max() < 0.7
    # Nothing to pass before.
    empty = np.zeros_like(clip.masks)
    assert pass_before(clip.images, empty, 0.3, np.random.default_rng(0))[0] is clip.images


def test_dirty_masks_have_ragged_edges_holes_specks_and_a_lag() -> None:
    mask = np.zeros((256, 256), bool)
    mask[80:180, 80:180] = True
    rng = np.random.default_rng(1)
    ragged = dirty_mask(mask, Dirt(ragged=3.0), rng)
    changed = ragged != mask
    rows, columns = np.nonzero(changed)
    inner = np.minimum.reduce(
        [np.abs(rows - 79.5), np.abs(rows - 179.5), np.abs(columns - 79.5), np.abs(columns - 179.5)]
    )
    assert 100 < changed.sum() < 4000 and inner.max() < 15
    assert (mask & ~dirty_mask(mask, Dirt(holes=3), rng)).sum() > 20
    assert (~mask & dirty_mask(mask, Dirt(specks=8), rng)).sum() > 10
    assert dirty_mask(mask, Dirt(), rng) is mask
    assert not dirty_mask(np.zeros_like(mask), Dirt(specks=3), rng).any()


def test_late_masks_are_those_of_the_frame_before(clip: Clip) -> None:
    masks = soil(clip, Dirt(lag=2)).masks
    assert np.array_equal(masks[2:], clip.masks[:-2]) and np.array_equal(masks[1], clip.masks[0])


def test_the_same_seed_gives_the_same_dirt(clip: Clip) -> None:
    for name, dirt in DIRTS.items():
        first, second = soil(clip, dirt), soil(clip, dirt)
        assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True)), name
        changed = not (np.array_equal(first[0], clip.images) and np.array_equal(first[1], clip.masks))
        assert changed == (name != "clean")
    other = soil(clip, DIRTS["noise"], seed=1)
    assert not np.array_equal(other[0], soil(clip, DIRTS["noise"])[0])


def test_dirt_outside_its_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"blur is 1.5, must be in \[0, 1.0\]"):
        Dirt(blur=1.5)
