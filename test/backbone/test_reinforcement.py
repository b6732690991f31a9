"""Eq. 5 inside fused attention against the dense matrix."""

from __future__ import annotations

import pytest
import torch

from attnchain_ros.backbone.layers import Attended, attend_with_lse
from attnchain_ros.backbone.reinforcement import TokenPairs, reinforce_output
from attnchain_ros.lab.reference import reinforcement as literal

FRAMES, TOKENS, HEADS, WIDTH = 4, 6, 3, 8
LENGTH = FRAMES * (TOKENS + 1)
PAIRS = [(1, 0, 2, 1.7), (1, 0, 3, 2.0), (2, 0, 5, 1.2), (3, 4, 4, 1.9), (2, 5, 0, 1.0), (1, 4, 4, 30.0)]


def random_heads(dtype: torch.dtype) -> Attended:
    generator = torch.Generator().manual_seed(5)
    q, k, v = torch.randn(3, 1, HEADS, LENGTH, WIDTH, generator=generator).to(dtype)
    return attend_with_lse(2.0 * q, k, v)


def expected_output(plain: Attended, mode: str) -> torch.Tensor:
    return literal.reinforce_output(plain.q[0], plain.k[0], plain.v[0], PAIRS, FRAMES, mode)


def as_pairs(rows: list[tuple[int, int, int, float]]) -> TokenPairs:
    frame, token, other, gain = zip(*rows, strict=True)
    return TokenPairs(torch.tensor(frame), torch.tensor(token), torch.tensor(other), torch.tensor(gain))


@pytest.mark.parametrize("mode", ["gain", "gain_row", "literal"])
@pytest.mark.parametrize("piece_bytes", [1, 4 * HEADS * WIDTH * 2, 1 << 20])
def test_sparse_correction_is_exact(mode: str, piece_bytes: int) -> None:
    plain = random_heads(torch.float32)
    found = reinforce_output(plain, as_pairs(PAIRS), FRAMES, mode, piece_bytes)
    # Worst seen 5e-7 on x86: float32 attention.
    assert torch.allclose(found[0].double(), expected_output(plain, mode), atol=5e-6)
    assert not torch.allclose(found, plain.out, atol=1e-3)


@pytest.mark.parametrize("mode", ["gain", "gain_row"])
def test_unit_gain_is_plain_attention_and_other_rows_are_untouched(mode: str) -> None:
    plain = random_heads(torch.float32)
    same = reinforce_output(plain, as_pairs([(f, t, o, 1.0) for f, t, o, _ in PAIRS]), FRAMES, mode)
    assert torch.allclose(same, plain.out, atol=1e-6)
    changed = reinforce_output(plain, as_pairs(PAIRS), FRAMES, mode)
    touched = sorted({1 + token for _, token, _, _ in PAIRS})
    others = [row for row in range(LENGTH) if row not in touched]
    assert changed[:, :, others].equal(plain.out[:, :, others])


def test_no_pairs_changes_nothing() -> None:
    plain = random_heads(torch.float32)
    none = torch.zeros(0, dtype=torch.int64)
    assert reinforce_output(plain, TokenPairs(none, none, none, none.float()), FRAMES, "gain") is plain.out


@pytest.mark.parametrize("mode", ["gain", "gain_row", "literal"])
def test_half_precision_stays_near(mode: str) -> None:
    plain = random_heads(torch.bfloat16)
    found = reinforce_output(plain, as_pairs(PAIRS), FRAMES, mode)
    assert found.dtype == torch.bfloat16
    # bfloat16 holds 8 bits: outputs of size about 1 are good to about 1e-2.
    assert torch.allclose(found[0].double(), expected_output(plain, mode), atol=3e-2)


def test_pairs_are_sorted_by_frame_once() -> None:
    pairs = as_pairs(PAIRS)
    one, two, three = pairs.by_frame
    assert (one.frame, two.frame, three.frame) == (1, 2, 3) and pairs.by_frame[0] is one
    assert one.rows.tolist() == [0, 4] and one.row.tolist() == [0, 0, 1] and one.token.tolist() == [2, 3, 4]
    assert two.rows.tolist() == [0, 5] and two.gain.tolist() == pytest.approx([1.2, 1.0])
