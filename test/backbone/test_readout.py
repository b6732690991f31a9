"""Attention read beside the fused kernel against the full softmax matrix."""

from __future__ import annotations

import pytest
import torch

from attnchain_ros.backbone.layers import PIECE_BYTES, attend, attend_with_lse
from attnchain_ros.backbone.readout import MapReader
from attnchain_ros.backbone.transformer import TransformerSizes
from attnchain_ros.config import ReadoutConfig
from attnchain_ros.errors import ConfigError
from attnchain_ros.lab.reference.readout import token_maps

FRAMES, TOKENS, HEADS, WIDTH, PATCHES = 3, 5, 2, 6, 4
SIZES = TransformerSizes(HEADS * WIDTH, HEADS, 5, 4, 8, inflated_layers=(1, 3, 4), frames=FRAMES, tokens=TOKENS)


def random_layers(count: int, dtype: torch.dtype = torch.float32) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """q and k [1, H, F (N + 1), D] of some layers."""
    generator = torch.Generator().manual_seed(3)
    shape = (2, 1, HEADS, FRAMES * (TOKENS + 1), WIDTH)
    return [tuple(2.0 * torch.randn(shape, generator=generator).to(dtype)) for _ in range(count)]


def read(
    config: ReadoutConfig, layers: list[tuple[torch.Tensor, torch.Tensor]], piece_bytes: int = PIECE_BYTES
) -> MapReader:
    """Feed a reader the layers 1, 3, 4 and one cross-attention."""
    reader = MapReader(SIZES, FRAMES, TOKENS, config, piece_bytes)
    for layer, (q, k) in zip(SIZES.inflated_layers, layers, strict=True):
        attended = attend_with_lse(q, k, k)
        assert reader.self_attention(layer, attended) is attended.out
    generator = torch.Generator().manual_seed(4)
    q = torch.randn(FRAMES, HEADS, TOKENS + 1, WIDTH, generator=generator)
    k = torch.randn(FRAMES, HEADS, PATCHES + 1, WIDTH, generator=generator)
    reader.cross_attention(0, q, k)
    return reader


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
@pytest.mark.parametrize("renormalise", [True, False])
@pytest.mark.parametrize("row_tile", [1, 2, 100])
def test_maps_match_the_full_matrix(direction: str, renormalise: bool, row_tile: int) -> None:
    layers = random_layers(3)
    config = ReadoutConfig(direction=direction, renormalise=renormalise, row_tile=row_tile)
    maps = read(config, layers).maps()
    queries, keys = [q[0] for q, _ in layers], [k[0] for _, k in layers]
    expected, mass = token_maps(queries, keys, FRAMES, TOKENS, direction, renormalise)
    # Worst seen 2e-7 on x86 with one thread; float32 softmax.
    assert torch.allclose(maps.token_tokens.double(), expected, atol=2e-6)
    assert torch.allclose(maps.frame_mass.double(), mass, atol=2e-6)
    if renormalise:
        assert torch.allclose(maps.token_tokens.sum(-1), torch.ones(FRAMES, TOKENS), atol=1e-5)
    assert maps.token_tokens[0].equal(torch.eye(TOKENS))


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_small_pieces_and_half_precision(direction: str) -> None:
    config = ReadoutConfig(direction=direction)
    layers = random_layers(3, torch.bfloat16)
    whole = read(config, layers).maps()
    pieces = read(config, layers, piece_bytes=4 * HEADS * TOKENS * 2).maps()
    assert torch.allclose(whole.token_tokens, pieces.token_tokens, rtol=1e-5, atol=1e-7)
    assert torch.allclose(whole.token_patches, pieces.token_patches, rtol=1e-5, atol=1e-7)
    expected, _ = token_maps([q[0] for q, _ in layers], [k[0] for _, k in layers], FRAMES, TOKENS, direction, True)
    # The twin takes the same bfloat16 q and k: only the fused kernel's log-sum-exp is coarser. Worst seen 2e-5.
    assert torch.allclose(whole.token_tokens.double(), expected, atol=2e-4)


def test_attention_with_its_log_sum_exp() -> None:
    generator = torch.Generator().manual_seed(9)
    q, k, v = torch.randn(3, 2, 3, 40, 8, generator=generator)
    logits = q.double() @ k.double().transpose(-1, -2) / 8**0.5
    for queries in (q, q.transpose(-1, -2).contiguous().transpose(-1, -2)):  # the second one no kernel takes
        found = attend_with_lse(queries, k, v)
        assert torch.allclose(found.lse.double(), logits.logsumexp(-1), atol=2e-6)
        assert torch.allclose(found.out.double(), logits.softmax(-1) @ v.double(), atol=2e-6)
        assert torch.allclose(found.out, attend(q, k, v), atol=2e-6)


def test_a_subset_of_layers_and_heads() -> None:
    layers = random_layers(3)
    maps = read(ReadoutConfig(layers="3", heads="1"), layers).maps()
    queries, keys = [layers[1][0][0][1:]], [layers[1][1][0][1:]]
    expected, _ = token_maps(queries, keys, FRAMES, TOKENS, "forward", True)
    assert torch.allclose(maps.token_tokens.double(), expected, atol=2e-6)


def test_token_patches_drop_the_class_token_and_keep_its_mass_out() -> None:
    maps = read(ReadoutConfig(), random_layers(3)).maps()
    assert maps.token_patches.shape == (FRAMES, TOKENS, PATCHES)
    assert float(maps.token_patches.sum(-1).max()) < 1.0
    assert float(maps.token_patches.min()) > 0.0


def test_a_reader_that_saw_nothing_says_so() -> None:
    reader = MapReader(SIZES, FRAMES, TOKENS, ReadoutConfig(layers="3"))
    q, k = random_layers(1)[0]
    attended = attend_with_lse(q, k, k)
    assert not reader.reads(1) and reader.self_attention(1, attended) is attended.out  # not one of its layers
    with pytest.raises(RuntimeError, match="no attention was read"):
        reader.maps()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": "0,3"}, r"readout\.layers names \[0\], this network has \[1, 3, 4\]"),
        ({"heads": "2"}, r"readout\.heads names \[2\]"),
        ({"layers": "some"}, "wanted 'all', 'last' or numbers"),
    ],
)
def test_unknown_layers_and_heads_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MapReader(SIZES, FRAMES, TOKENS, ReadoutConfig(**options))
