"""Eq. 5: strengthening traced token pairs inside fused attention, exactly and without a dense map."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..conventions import ANCHOR_FRAME
from .layers import PIECE_BYTES, Attended, attend_with_lse, rows_that_fit
from .readout import TokenMaps


@dataclass(frozen=True)
class TokenPairs:
    """Traced pairs (t, t') with their gains.

    Attributes:
        frame: [C] int64 frame f of t'.
        anchor_token: [C] int64 t in the anchor frame.
        frame_token: [C] int64 t' in frame f.
        gain: [C] float32 >= 0, the factor on the pair's attention ('literal' mode ignores it: c_v cancels in Eq. 5
            as printed).
    A pair (f, t, t') stands at most once.
    """

    frame: Tensor
    anchor_token: Tensor
    frame_token: Tensor
    gain: Tensor

    @cached_property
    def touched(self) -> Tensor:
        """[R] anchor tokens that have pairs in any frame, rising."""
        return torch.unique(self.anchor_token)

    @cached_property
    def by_frame(self) -> list[FramePairs]:
        """The pairs of every frame that has some; worked out once, for all layers."""
        found = []
        for frame in torch.unique(self.frame).tolist():
            inside = self.frame == frame
            rows, row = torch.unique(self.anchor_token[inside], return_inverse=True)
            found.append(FramePairs(frame, rows, row, self.frame_token[inside], self.gain[inside].float()))
        return found


@dataclass(frozen=True)
class FramePairs:
    """The pairs of one frame.

    Attributes:
        frame: f.
        rows: [R] anchor tokens that have pairs here, rising.
        row: [C] the pair's place in ``rows``.
        token: [C] t' in the frame.
        gain: [C] float32.
    """

    frame: int
    rows: Tensor
    row: Tensor
    token: Tensor
    gain: Tensor


PairTracer = Callable[[Tensor, TokenMaps], TokenPairs]
"""From the current estimate of the clean latents [F, N, c] and the maps read so far to the pairs to reinforce."""


def reinforce_output(
    attended: Attended, pairs: TokenPairs, frames: int, mode: str, piece_bytes: int = PIECE_BYTES
) -> Tensor:
    """Attention output with the gains applied to the anchor rows (Eq. 5).

    With p the plain attention of a row, U_f = sum (g - 1) p v and S_f = sum (g - 1) p over the pairs of frame f, m_f
    the row's mass in frame f and O_f the attention to frame f's keys alone:
    'gain' keeps every frame's mass: o' = o + sum_f (U_f - S_f O_f) / (1 + S_f / m_f);
    'gain_row' keeps the row's: o' = (o + sum_f U_f) / (1 + sum_f S_f);
    'literal' divides the pairs by m_f and renormalises nothing: o' = o + sum_f U_f with g = 1 / m_f.
    Fused attention to one frame gives O_f and, by the two log-sum-exps, m_f: no row of the map is written out.

    Args:
        attended: one inflated layer, B = 1, S = S' = F (N + 1).
        pairs: what to strengthen.
        frames: F.
        mode: 'gain', 'gain_row' or 'literal'.
        piece_bytes: the largest temporary array.
    Returns:
        [1, H, S, D], dtype of the plain output; rows without pairs are the same values.
    Twin: ``lab.reference.reinforcement.reinforce_output``, with the dense matrix in float64.
    """
    if pairs.frame.numel() == 0:
        return attended.out
    length = attended.q.shape[2]
    per_frame = length // frames
    anchor = slice(ANCHOR_FRAME * per_frame + 1, (ANCHOR_FRAME + 1) * per_frame)
    q, lse, plain = attended.q[0, :, anchor], attended.lse[0, :, anchor].float(), attended.out[0, :, anchor].float()
    moved = plain.clone()
    gained = lse.new_zeros(lse.shape)
    for here in pairs.by_frame:
        own = slice(here.frame * per_frame, (here.frame + 1) * per_frame)
        k, v = attended.k[:, :, own], attended.v[:, :, own]
        added, share, mass, alone = _pair_sums(q, lse, (k, v), here, mode, piece_bytes)
        if mode == "gain":
            change = (added - share[..., None] * alone) / (1.0 + share / mass)[..., None]
        else:
            change = added
            gained.index_add_(1, here.rows, share)
        moved.index_add_(1, here.rows, change)
    if mode == "gain_row":
        moved /= (1.0 + gained)[..., None]
    result = attended.out.clone()
    result[0, :, anchor.start + pairs.touched] = moved[:, pairs.touched].to(result.dtype)
    return result


def _pair_sums(
    q: Tensor, lse: Tensor, keys: tuple[Tensor, Tensor], here: FramePairs, mode: str, piece_bytes: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """U_f [H, R, D], S_f [H, R], m_f [H, R] and O_f [H, R, D] of one frame, float32; ``keys`` are its k and v."""
    k, v = keys
    heads, width = k.shape[1], k.shape[-1]
    some, sums = q[:, here.rows], lse[:, here.rows]
    if mode == "gain_row":
        mass = alone = sums.new_zeros(0)
    else:
        frame = attend_with_lse(some[None], k, v)
        mass, alone = torch.exp(frame.lse[0].float() - sums).clamp_min(1e-20), frame.out[0].float()
    added = sums.new_zeros((heads, len(here.rows), width))
    share = sums.new_zeros((heads, len(here.rows)))
    step = rows_that_fit(4 * heads * width, piece_bytes)
    for first in range(0, len(here.row), step):
        row, token = here.row[first : first + step], here.token[first : first + step] + 1
        logits = (some[:, row].float() * k[0, :, token].float()).sum(-1) / math.sqrt(width)
        extra = torch.exp(logits - sums[:, row])
        extra *= 1.0 / mass[:, row] - 1.0 if mode == "literal" else here.gain[first : first + step] - 1.0
        added.index_add_(1, row, extra[..., None] * v[0, :, token].float())
        share.index_add_(1, row, extra)
    return added, share, mass, alone
