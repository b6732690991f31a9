"""chain.tracks2d: tracks known by construction, sub-patch places, and the fast code against its twin."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attnchain_ros.camera.crop import Crop
from attnchain_ros.chain.tracks2d import (
    first_hop,
    grid_side,
    hard_argmax,
    patch_scores,
    soft_argmax,
    track_patches,
)
from attnchain_ros.errors import ShapeError
from attnchain_ros.lab.reference import tracks2d as twin

CROP = Crop(x0=-10.25, y0=33.5, side=320.0, size=224)


def attention(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=shape) * 3).softmax(dim=-1).float()


def patch_centres(grid: int) -> np.ndarray:
    """[grid * grid, 2] full-frame pixels, row-major."""
    column, row = np.meshgrid(np.arange(grid), np.arange(grid))
    return CROP.patch_to_full(np.stack([column, row], axis=-1).reshape(-1, 2), grid)


def test_shifted_patches_are_followed_exactly() -> None:
    """One token per patch; in frame 1 every token has moved two patches right and one down."""
    grid = 8
    row, column = np.divmod(np.arange(grid * grid), grid)
    target = torch.from_numpy(np.roll(np.arange(grid * grid).reshape(grid, grid), (-1, -2), (0, 1)).ravel())
    token_tokens = torch.stack([torch.eye(grid * grid), torch.eye(grid * grid)[target]])
    token_patches = torch.eye(grid * grid).expand(2, -1, -1)
    step = CROP.side / grid
    inside = (row < grid - 1) & (column < grid - 2)
    queries = patch_centres(grid)[inside] + [0.3 * step, -0.45 * step]
    tracks = track_patches(queries, token_tokens, token_patches, CROP)
    np.testing.assert_allclose(tracks.points_px[0], queries, atol=1e-4)
    # The offset inside the patch is carried along; float32 pixels around 300.
    np.testing.assert_allclose(tracks.points_px[1], queries + np.array([2, 1]) * step, atol=1e-4)
    assert (tracks.score == 1).all()


def test_tracks_against_twin() -> None:
    rng = np.random.default_rng(0)
    token_tokens, token_patches = attention(rng, 3, 5, 5), attention(rng, 3, 5, 16)
    queries = rng.uniform([-40, 0], [340, 380], (12, 2))
    fast = track_patches(queries, token_tokens, token_patches, CROP)
    slow = twin.track_patches(queries, token_tokens.numpy(), token_patches.numpy(), CROP)
    outside = np.isnan(slow[..., 0])
    assert 0 < outside[0].sum() < 12
    assert np.array_equal(np.isnan(fast.points_px[..., 0]), outside)
    assert (fast.score[outside] == 0).all() and (fast.score[~outside] > 0).all()
    np.testing.assert_allclose(fast.points_px, slow, atol=2e-3)  # worst seen 1e-4 px: float32 scores, 80 px patches


@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 4, 9)])
def test_scores_against_twin(sizes: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(1)
    queries, tokens, patches = sizes
    first, middle = attention(rng, queries, tokens), attention(rng, tokens, tokens)
    last = attention(rng, tokens, patches)
    scores = patch_scores(first, middle, last)
    np.testing.assert_allclose(scores, twin.patch_scores(*(m.numpy() for m in (first, middle, last))), atol=1e-6)
    several = patch_scores(first, torch.stack([middle, middle]), torch.stack([last, last]))
    torch.testing.assert_close(several[1], scores, atol=1e-7, rtol=0)
    np.testing.assert_allclose(scores.sum(dim=1), np.ones(queries), atol=1e-6)


@pytest.mark.parametrize("grid", [1, 2, 5])
def test_soft_argmax_against_twin(grid: int) -> None:
    scores = torch.from_numpy(np.random.default_rng(grid).uniform(size=(40, grid * grid)) ** 3).float()
    found = soft_argmax(scores, grid)
    np.testing.assert_allclose(found, twin.soft_argmax(scores.numpy(), grid), atol=1e-5)
    assert (found >= 0).all() and (found <= grid - 1).all()


def test_soft_argmax_of_known_peaks() -> None:
    scores = torch.zeros(4, 5, 5)
    scores[0, 2, 3] = 1.0
    scores[1, 2, 2:4] = torch.tensor([0.5, 1.0])
    scores[2, 4, 0] = 2.0
    scores[0, 0, 0] = 0.9  # outside the 3 x 3 surroundings of the best patch: must not pull
    found = soft_argmax(scores.flatten(1), 5)
    np.testing.assert_allclose(found, [[3, 2], [2 + 2 / 3, 2], [0, 4], [0, 0]], atol=1e-6)


def test_first_hop_rows_sum_to_one_or_zero() -> None:
    token_patches = attention(np.random.default_rng(2), 6, 9)
    token_patches[:, 4] = 0
    rows = first_hop(token_patches)
    assert rows.shape == (9, 6)
    np.testing.assert_allclose(rows.sum(dim=1), [1, 1, 1, 1, 0, 1, 1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(rows[2], token_patches[:, 2] / token_patches[:, 2].sum(), atol=1e-7)


def test_permuted_tokens_give_the_same_tracks() -> None:
    rng = np.random.default_rng(3)
    token_tokens, token_patches = attention(rng, 2, 6, 6), attention(rng, 2, 6, 16)
    queries = rng.uniform([0, 40], [300, 340], (5, 2))
    a, b = torch.from_numpy(rng.permutation(6)), torch.from_numpy(rng.permutation(6))
    plain = track_patches(queries, token_tokens, token_patches, CROP)
    moved = torch.stack([token_tokens[0], token_tokens[1][a][:, b]])
    shuffled = track_patches(queries, moved, torch.stack([token_patches[0][a], token_patches[1][b]]), CROP)
    np.testing.assert_allclose(plain.points_px, shuffled.points_px, atol=2e-3)


def test_bad_input_is_named() -> None:
    assert grid_side(256) == 16
    with pytest.raises(ShapeError, match="257 patches, wanted a square number: drop the class token"):
        grid_side(257)


def test_hard_argmax_against_twin_and_as_a_way_to_locate() -> None:
    rng = np.random.default_rng(3)
    scores = torch.from_numpy(rng.integers(0, 6, (20, 16)).astype(np.float32))  # many are equal: the first one counts
    assert np.array_equal(hard_argmax(scores, 4).numpy(), twin.hard_argmax(scores.numpy(), 4))
    token_tokens, token_patches = attention(rng, 2, 5, 5), attention(rng, 2, 5, 16)
    queries = patch_centres(4)
    tracks = track_patches(queries, token_tokens, token_patches, CROP, hard_argmax)
    step = CROP.side / 4
    places = (tracks.points_px[1] - [CROP.x0, CROP.y0]) / step - 0.5
    np.testing.assert_allclose(places, np.rint(places), atol=1e-4)  # float32 pixels; centres stay centres
