"""Building blocks against plain formulas written here."""

from __future__ import annotations

import math

import pytest
import torch

from attnchain_ros.backbone.layers import (
    Attention,
    FeedForward,
    LayerNorm32,
    PointEmbedding,
    RmsNorm,
    TimeEmbedding,
    attention_rows,
    rotary_table,
    rotate_pairs,
    use_pieces,
)


def test_attention_rows_sum_to_one_and_match_the_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(3, 5, 8, generator=generator), torch.randn(3, 7, 8, generator=generator)
    rows = attention_rows(q, k)
    assert torch.allclose(rows.sum(-1), torch.ones(3, 5), atol=1e-6)
    logits = torch.einsum("hrd,hsd->hrs", q.double(), k.double()) / math.sqrt(8)
    expected = logits.exp() / logits.exp().sum(-1, keepdim=True)
    assert torch.allclose(rows.double(), expected, atol=1e-6)


def test_head_split_interleaves_the_projections_inside_each_head() -> None:
    """With identity projections q, k, v of head h are thirds of slice h of [x, x, x], not slices of x."""
    layer = Attention(6, 2)
    for linear in (layer.to_q, layer.to_k, layer.to_v):
        torch.nn.init.eye_(linear.weight)
    x = torch.arange(6.0).reshape(1, 1, 6)
    q, k, v = layer.self_projections(x)
    joined = torch.cat([x, x, x], dim=-1)[0, 0]
    assert q[0, :, 0].tolist() == [joined[0:3].tolist(), joined[9:12].tolist()]
    assert k[0, :, 0].tolist() == [joined[3:6].tolist(), joined[12:15].tolist()]
    assert v[0, :, 0].tolist() == [joined[6:9].tolist(), joined[15:18].tolist()]


def test_cross_attention_splits_queries_plainly() -> None:
    layer = Attention(6, 2, context_width=6)
    torch.nn.init.eye_(layer.to_q.weight)
    q = layer.queries(torch.arange(6.0).reshape(1, 1, 6))
    assert q[0, :, 0].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


def test_rotary_embedding_depends_on_the_difference_of_steps_alone() -> None:
    generator = torch.Generator().manual_seed(1)
    q, k = torch.randn(1, 1, 1, 8, generator=generator), torch.randn(1, 1, 1, 8, generator=generator)

    def score(first: float, second: float) -> float:
        a = rotate_pairs(q, rotary_table(torch.tensor([[first]]), 8))
        b = rotate_pairs(k, rotary_table(torch.tensor([[second]]), 8))
        return float((a * b).sum())

    assert score(2.0, 5.0) == pytest.approx(score(10.0, 13.0), abs=1e-5)
    assert score(2.0, 5.0) != pytest.approx(score(2.0, 6.0), abs=1e-3)
    assert rotate_pairs(q, rotary_table(torch.zeros(1, 1), 8)).equal(q)


def test_rotary_embedding_turns_adjacent_pairs() -> None:
    turned = rotate_pairs(torch.tensor([1.0, 0, 1, 0]).reshape(1, 1, 1, 4), rotary_table(torch.tensor([[1.0]]), 4))
    expected = [math.cos(1.0), math.sin(1.0), math.cos(0.01), math.sin(0.01)]
    assert turned.flatten().tolist() == pytest.approx(expected, abs=1e-6)


def test_point_embedding_order() -> None:
    embedded = PointEmbedding(3)(torch.tensor([0.3, -0.2, 0.7]))
    angles = [x * 2.0**k for x in (0.3, -0.2, 0.7) for k in range(3)]
    expected = [0.3, -0.2, 0.7, *(math.sin(a) for a in angles), *(math.cos(a) for a in angles)]
    assert embedded.tolist() == pytest.approx(expected, abs=1e-6)


def test_time_embedding_puts_the_sine_half_first() -> None:
    layer = TimeEmbedding(4)
    seen: list[torch.Tensor] = []
    layer.linear_1.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    layer(torch.tensor([10.0]))
    expected = [math.sin(10.0), math.sin(0.1), math.cos(10.0), math.cos(0.1)]
    assert seen[0][0].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_norms_compute_in_float32(dtype: torch.dtype) -> None:
    """Values whose squares overflow float16 still come out right."""
    x = (torch.arange(1.0, 9.0) * 500).to(dtype)
    expected = x.double() / x.double().square().mean().sqrt()
    assert torch.allclose(RmsNorm(8).to(dtype)(x).double(), expected, rtol=1e-2)
    centred = x.double() - x.double().mean()
    expected = centred / centred.square().mean().sqrt()
    assert torch.allclose(LayerNorm32(8).to(dtype)(x).double(), expected, atol=2e-2)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 8e-3), (torch.float16, 1e-3)])
def test_norms_and_rotary_embedding_match_the_formulas(dtype: torch.dtype, tolerance: float) -> None:
    """Against float64 from the same rounded inputs: only the result may be rounded to the dtype."""
    generator = torch.Generator().manual_seed(2)
    x = (3.0 * torch.randn(2, 3, 7, 16, generator=generator)).to(dtype)
    rms, layer = RmsNorm(16).to(dtype), LayerNorm32(16).to(dtype)
    for parameter in (rms.weight, layer.weight, layer.bias):
        parameter.data = torch.randn(16, generator=generator).to(dtype)
    wide = x.double()
    expected = wide / (wide.square().mean(-1, keepdim=True) + 1e-6).sqrt() * rms.weight.double()
    assert torch.allclose(rms(x).double(), expected, rtol=tolerance, atol=tolerance)
    centred = wide - wide.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    expected = scaled * layer.weight.double() + layer.bias.double()
    assert torch.allclose(layer(x).double(), expected, rtol=tolerance, atol=tolerance)
    steps = torch.arange(7)[None].expand(2, -1)
    angle = steps.double()[..., None] * 10000.0 ** (-torch.arange(0, 16, 2).double() / 16)
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    even, odd = wide[..., 0::2], wide[..., 1::2]
    expected = torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)
    kept = x.clone()
    turned = rotate_pairs(x, rotary_table(steps, 16))
    assert turned.dtype == dtype and torch.allclose(turned.double(), expected, rtol=tolerance, atol=4 * tolerance)
    assert x.equal(kept), "the input is left alone"


def test_feed_forward_in_pieces() -> None:
    layer = FeedForward(8)
    x = torch.randn(2, 11, 8, generator=torch.Generator().manual_seed(3))
    whole = layer(x)
    use_pieces(layer, 5 * 32 * 4)
    assert torch.allclose(layer(x), whole, atol=1e-6) and layer(x).shape == x.shape
