"""Eq. 5 inside fused attention against the dense matrix."""

from __future__ import annotations

import pytest
import torch

from attnchain_ros.backbone.layers import attend
from attnchain_ros.backbone.reinforcement import TokenPairs, reinforce_output
from attnchain_ros.reference import reinforcement as literal

FRAMES, TOKENS, HEADS, WIDTH = 4, 6, 3, 8
LENGTH = FRAMES * (TOKENS + 1)
PAIRS = [(1, 0, 2, 1.7), (1, 0, 3, 2.0), (2, 0, 5, 1.2), (3, 4, 4, 1.9), (2, 5, 0, 1.0), (1, 4, 4, 30.0)]


def random_heads(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    q, k, v = torch.randn(3, 1, HEADS, LENGTH, WIDTH, generator=generator).to(dtype)
    return 2.0 * q, k, v


def as_pairs(rows: list[tuple[int, int, int, float]]) -> TokenPairs:
    frame, token, other, gain = zip(*rows, strict=True)
    return TokenPairs(torch.tensor(frame), torch.tensor(token), torch.tensor(other), torch.tensor(gain))


@pytest.mark.parametrize("mode", ["gain", "gain_row", "literal"])
@pytest.mark.parametrize("row_tile", [1, 2, 64])
def test_sparse_correction_is_exact(mode: str, row_tile: int) -> None:
    q, k, v = random_heads(torch.float32)
    out = attend(q, k, v)
    found = reinforce_output((q, k, v), out, as_pairs(PAIRS), FRAMES, mode, row_tile)
    expected = literal.reinforce_output(q[0], k[0], v[0], PAIRS, FRAMES, mode)
    # Worst seen 4e-7 on x86: float32 attention.
    assert torch.allclose(found[0].double(), expected, atol=5e-6)
    assert not torch.allclose(found, out, atol=1e-3)


@pytest.mark.parametrize("mode", ["gain", "gain_row"])
def test_unit_gain_is_plain_attention_and_other_rows_are_untouched(mode: str) -> None:
    q, k, v = random_heads(torch.float32)
    out = attend(q, k, v)
    same = reinforce_output((q, k, v), out, as_pairs([(f, t, o, 1.0) for f, t, o, _ in PAIRS]), FRAMES, mode)
    assert torch.allclose(same, out, atol=1e-6)
    changed = reinforce_output((q, k, v), out, as_pairs(PAIRS), FRAMES, mode)
    touched = sorted({1 + token for _, token, _, _ in PAIRS})
    others = [row for row in range(LENGTH) if row not in touched]
    assert changed[:, :, others].equal(out[:, :, others])


def test_no_pairs_changes_nothing() -> None:
    q, k, v = random_heads(torch.float32)
    out = attend(q, k, v)
    none = torch.zeros(0, dtype=torch.int64)
    assert reinforce_output((q, k, v), out, TokenPairs(none, none, none, none.float()), FRAMES, "gain") is out


def test_half_precision_stays_near() -> None:
    q, k, v = random_heads(torch.bfloat16)
    found = reinforce_output((q, k, v), attend(q, k, v), as_pairs(PAIRS), FRAMES, "gain")
    expected = literal.reinforce_output(q[0], k[0], v[0], PAIRS, FRAMES, "gain")
    assert found.dtype == torch.bfloat16
    # bfloat16 holds 8 bits: outputs of size about 1 are good to about 1e-2.
    assert torch.allclose(found[0].double(), expected, atol=3e-2)
