"""chain.correspondence: known correspondences built by hand, properties of the chain, fast code against twin."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attnchain_ros.chain.correspondence import match_surface, transport
from attnchain_ros.config import MatchConfig
from attnchain_ros.errors import InputError, ShapeError, SurfaceError
from attnchain_ros.lab.reference import correspondence as twin


def attention(rng: np.random.Generator, rows: int, columns: int, sharpness: float = 3.0) -> torch.Tensor:
    """Softmax rows of random logits, float32."""
    return torch.from_numpy(rng.normal(size=(rows, columns)) * sharpness).softmax(dim=1).float()


def scene(rng: np.random.Generator, landmarks: int, tokens: int, surface: int) -> tuple[torch.Tensor, ...]:
    rows = transport(attention(rng, landmarks, tokens), attention(rng, tokens, tokens))
    return rows, attention(rng, surface, tokens), torch.from_numpy(rng.uniform(-1, 1, (surface, 3))).float()


def test_known_permutation() -> None:
    """Vertex v looks at token v, token t goes to token perm[t], surface point u looks at token u: v meets perm[v]."""
    rng = np.random.default_rng(0)
    tokens = 16
    perm = torch.from_numpy(rng.permutation(tokens))
    moved = torch.eye(tokens)[perm]
    points = torch.from_numpy(rng.uniform(-1, 1, (tokens, 3))).float()
    matches = match_surface(transport(torch.eye(tokens), moved), torch.eye(tokens), points, MatchConfig(), 2.0)
    assert torch.equal(matches.best, perm)
    assert torch.equal(matches.confidence, torch.ones(tokens))
    # The other points score 0, so their weight is exp(-1 / 0.05) = 2e-9 at most.
    assert torch.allclose(matches.points, points[perm], atol=1e-7)


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (0, 3)])
def test_transport_against_twin_and_keeps_rows(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    first, second = attention(rng, *shape), attention(rng, shape[1], shape[1] + 2)
    carried = transport(first, second)
    # Worst seen 6e-8: float32 sums of at most 7 products below 1.
    np.testing.assert_allclose(carried, twin.transport(first.numpy(), second.numpy()), atol=5e-7)
    np.testing.assert_allclose(carried.sum(dim=1), np.ones(shape[0]), atol=1e-6)


def test_transport_of_several_frames_is_that_of_each() -> None:
    rng = np.random.default_rng(2)
    first = attention(rng, 4, 6)
    frames = torch.stack([attention(rng, 6, 6) for _ in range(3)])
    together = transport(first, frames)
    for frame in range(3):
        torch.testing.assert_close(together[frame], transport(first, frames[frame]), atol=1e-7, rtol=0)


def test_transport_of_half_precision_is_computed_in_float32() -> None:
    rng = np.random.default_rng(3)
    first, second = attention(rng, 4, 64).bfloat16(), attention(rng, 64, 64).bfloat16()
    carried = transport(first, second)
    assert carried.dtype == torch.float32
    np.testing.assert_allclose(carried, first.double() @ second.double(), atol=1e-6)


@pytest.mark.parametrize("surface", [1, 5, 40])
@pytest.mark.parametrize("temperature", [0.05, 10.0])
def test_match_against_twin(surface: int, temperature: float) -> None:
    rng = np.random.default_rng(surface)
    rows, tokens, points = scene(rng, 9, 12, surface)
    config = MatchConfig(top=8, radius=0.4, temperature=temperature, tile=16)
    fast = match_surface(rows, tokens, points, config, 2.0)
    slow = twin.match_surface(rows.numpy(), tokens.numpy(), points.numpy(), config, 2.0)
    assert np.array_equal(fast.best, slow.best)
    np.testing.assert_allclose(fast.confidence, slow.confidence, rtol=1e-5)
    np.testing.assert_allclose(fast.score_top, slow.score_top, rtol=1e-5, atol=1e-9)
    # Worst seen 4e-7 of a box of 2; the exponent multiplies the score's rounding by 1 / temperature = 20.
    np.testing.assert_allclose(fast.points, slow.points, atol=1e-5)


def test_tile_does_not_change_the_result_even_with_equal_scores() -> None:
    rng = np.random.default_rng(4)
    rows, tokens, points = scene(rng, 6, 8, 50)
    # Scores of one-hot rows with powers of two are exact, so that equal ones are exactly equal whatever the tile.
    tokens = torch.eye(8)[torch.from_numpy(rng.integers(0, 8, 50))]
    order = rng.permuted(np.tile(np.arange(8), (6, 1)), axis=1)
    rows = torch.tensor([0.5, 0.25, 0.25, 0, 0, 0, 0, 0])[torch.from_numpy(order)]
    whole = match_surface(rows, tokens, points, MatchConfig(top=7, tile=1000), 2.0)
    for tile in (1, 3, 7, 49, 50):
        part = match_surface(rows, tokens, points, MatchConfig(top=7, tile=tile), 2.0)
        for name in ("points", "confidence", "best", "score_top"):
            assert torch.equal(getattr(whole, name), getattr(part, name)), (tile, name)
    first = [int(np.flatnonzero(line == line.max())[0]) for line in (rows @ tokens.T).numpy()]
    assert whole.best.tolist() == first


def test_permuted_tokens_and_surface_points_give_the_same_match() -> None:
    rng = np.random.default_rng(5)
    rows, tokens, points = scene(rng, 7, 10, 30)
    plain = match_surface(rows, tokens, points, MatchConfig(), 2.0)
    order = torch.from_numpy(rng.permutation(10))
    relabelled = match_surface(rows[:, order], tokens[:, order], points, MatchConfig(), 2.0)
    torch.testing.assert_close(plain.points, relabelled.points, atol=1e-5, rtol=0)
    shuffle = torch.from_numpy(rng.permutation(30))
    shuffled = match_surface(rows, tokens[shuffle], points[shuffle], MatchConfig(), 2.0)
    assert torch.equal(shuffle[shuffled.best], plain.best)
    torch.testing.assert_close(plain.points, shuffled.points, atol=1e-5, rtol=0)


def test_match_stays_near_its_best_point() -> None:
    """Two equally good clusters far apart must not be averaged into the empty space between them."""
    tokens = torch.tensor([[1.0, 0.0], [0.99, 0.01], [0.98, 0.02]])
    points = torch.tensor([[1.0, 0, 0], [-1.0, 0, 0], [1.0, 0.01, 0]])
    matches = match_surface(torch.tensor([[1.0, 0.0]]), tokens, points, MatchConfig(), 2.0)
    weight = np.exp(-0.02 / 0.05)
    np.testing.assert_allclose(matches.points[0], [1.0, 0.01 * weight / (1 + weight), 0.0], atol=1e-7)


def test_no_common_token() -> None:
    points = torch.tensor([[0.3, 0.1, 0.2], [0.31, 0.1, 0.2]])
    tokens = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    matches = match_surface(torch.tensor([[1.0, 0.0]]), tokens, points, MatchConfig(), 2.0)
    assert matches.confidence.item() == 0 and matches.best.item() == 0
    assert torch.equal(matches.points[0], points[0])


def test_faint_attention_is_matched_by_the_same_rule() -> None:
    rng = np.random.default_rng(6)
    rows, tokens, points = scene(rng, 5, 8, 20)
    plain = match_surface(rows, tokens, points, MatchConfig(), 2.0)
    faint = match_surface(rows * 2.0**-60, tokens * 2.0**-40, points, MatchConfig(), 2.0)
    torch.testing.assert_close(plain.points, faint.points, atol=1e-5, rtol=0)


def test_bad_input_is_named() -> None:
    points = torch.zeros(3, 3)
    with pytest.raises(ShapeError, match=r"surface_tokens has shape \[3, 5\], wanted \[U, N=4\]"):
        match_surface(torch.zeros(2, 4), torch.zeros(3, 5), points, MatchConfig(), 1.0)
    with pytest.raises(SurfaceError, match="0 surface points"):
        match_surface(torch.zeros(2, 4), torch.zeros(0, 4), points[:0], MatchConfig(), 1.0)
    with pytest.raises(InputError, match="diagonal is 0"):
        match_surface(torch.zeros(2, 4), torch.zeros(3, 4), points, MatchConfig(), 0.0)
