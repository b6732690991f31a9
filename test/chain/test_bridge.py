"""chain.bridge: known patch-vertex pairs, and the tiled code against its twin."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attnchain_ros.chain.bridge import patch_to_vertex, vertex_to_patch
from attnchain_ros.errors import ShapeError
from attnchain_ros.lab.reference import bridge as twin


def attention(rng: np.random.Generator, rows: int, columns: int) -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=(rows, columns)) * 3).softmax(dim=1).float()


def test_shared_tokens_pair_patches_with_vertices() -> None:
    patch_tokens = torch.eye(9)
    order = torch.tensor([4, 0, 8, 2, 6, 1, 3, 5, 7])
    vertex_tokens = torch.eye(9)[order]
    patch, score, place = vertex_to_patch(patch_tokens, vertex_tokens)
    assert torch.equal(patch, order) and torch.equal(score, torch.ones(9))
    assert place.tolist() == [[p % 3, p // 3] for p in order.tolist()]
    assert torch.equal(patch_to_vertex(patch_tokens, vertex_tokens), torch.argsort(order))


def test_place_between_two_patches() -> None:
    patch_tokens = torch.zeros(9, 2)
    patch_tokens[4, 0], patch_tokens[5, 0] = 0.6, 0.2
    _, _, place = vertex_to_patch(patch_tokens, torch.tensor([[1.0, 0.0]]))
    np.testing.assert_allclose(place, [[1.25, 1.0]], atol=1e-6)


@pytest.mark.parametrize("tile", [1, 4, 1000])
@pytest.mark.parametrize("grid, vertices", [(1, 1), (3, 10), (4, 23)])
def test_against_twin(grid: int, vertices: int, tile: int) -> None:
    rng = np.random.default_rng(grid)
    patches, tokens = attention(rng, grid * grid, 6), attention(rng, vertices, 6)
    patch, score, place = vertex_to_patch(patches, tokens, tile)
    slow = twin.vertex_to_patch(patches.numpy(), tokens.numpy())
    assert np.array_equal(patch, slow[0])
    np.testing.assert_allclose(score, slow[1], rtol=1e-5)
    np.testing.assert_allclose(place, slow[2], atol=1e-5)
    assert np.array_equal(patch_to_vertex(patches, tokens, tile), twin.patch_to_vertex(patches.numpy(), tokens.numpy()))


def test_equal_scores_take_the_first_vertex_whatever_the_tile() -> None:
    tokens = torch.tensor([[0.5, 0.5], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    for tile in (1, 2, 3, 4):
        assert patch_to_vertex(torch.tensor([[1.0, 0.0]]), tokens, tile).tolist() == [1]


def test_bad_input_is_named() -> None:
    with pytest.raises(ShapeError, match=r"vertex_tokens has shape \[3, 4\], wanted \[V, N=5\]"):
        patch_to_vertex(torch.zeros(4, 5), torch.zeros(3, 4))
    with pytest.raises(ShapeError, match="10 patches"):
        vertex_to_patch(torch.zeros(10, 5), torch.zeros(3, 5))
