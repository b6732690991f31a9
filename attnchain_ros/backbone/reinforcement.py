"""Eq. 5: strengthening traced token pairs inside fused attention, exactly and without a dense map."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..conventions import ANCHOR_FRAME
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


PairTracer = Callable[[Tensor, TokenMaps], TokenPairs]
"""From the current estimate of the clean latents [F, N, c] and the maps read so far to the pairs to reinforce."""


def reinforce_output(
    inputs: tuple[Tensor, Tensor, Tensor], out: Tensor, pairs: TokenPairs, frames: int, mode: str, row_tile: int = 256
) -> Tensor:
    """Attention output with the gains applied to the anchor rows (Eq. 5).

    With p the plain attention of a row, U_f = sum (g - 1) p v and S_f = sum (g - 1) p over the pairs of frame f, m_f
    the row's mass in frame f and O_f its output from frame f alone:
    'gain' keeps every frame's mass: o' = o + sum_f [U_f - (S_f / m_f) O_f] / (1 + S_f / m_f);
    'gain_row' keeps the row's: o' = (o + sum_f U_f) / (1 + sum_f S_f);
    'literal' divides the pairs by m_f and renormalises nothing: o' = o + sum_f U_f with g = 1 / m_f.

    Args:
        inputs: q, k, v [1, H, S, D] of one inflated layer, S = F (N + 1).
        out: [1, H, S, D], the plain output.
        pairs: what to strengthen.
        frames: F.
        mode: 'gain', 'gain_row' or 'literal'.
        row_tile: anchor rows computed at once.
    Returns:
        [1, H, S, D], dtype of ``out``; rows without pairs are the same values.
    Twin: ``reference.reinforcement.reinforce_output``, with the dense matrix in float64.
    """
    if pairs.frame.numel() == 0:
        return out
    q, k, v = inputs
    heads, length, width = q.shape[1:]
    per_frame = length // frames
    result = out.clone()
    rows, row_of_pair = torch.unique(pairs.anchor_token, return_inverse=True)
    keys, values = k[0].float(), v[0].float()
    key_of_pair = pairs.frame * per_frame + 1 + pairs.frame_token
    for first in range(0, len(rows), row_tile):
        tile = rows[first : first + row_tile]
        count = len(tile)
        inside = (row_of_pair >= first) & (row_of_pair < first + count)
        row, key, frame = row_of_pair[inside] - first, key_of_pair[inside], pairs.frame[inside]
        where = ANCHOR_FRAME * per_frame + 1 + tile
        logits = (q[0][:, where].float() / math.sqrt(width)) @ keys.transpose(-1, -2)
        weights = torch.softmax(logits, dim=-1)
        mass = weights.view(heads, count, frames, per_frame).sum(-1)
        chosen = weights[:, row, key]
        if mode == "literal":
            extra = chosen * (1.0 / mass[:, row, frame].clamp_min(1e-20) - 1.0)
        else:
            extra = chosen * (pairs.gain[inside].float() - 1.0)
        flat = row * frames + frame
        added = weights.new_zeros((heads, count * frames, width)).index_add_(1, flat, extra[..., None] * values[:, key])
        share = weights.new_zeros((heads, count * frames)).index_add_(1, flat, extra)
        added, share = added.view(heads, count, frames, width), share.view(heads, count, frames)
        plain = out[0][:, where].float()
        if mode == "gain":
            own = torch.einsum(
                "hrfm,hfmd->hrfd",
                weights.view(heads, count, frames, per_frame),
                values.view(heads, frames, per_frame, width),
            )
            ratio = (share / mass.clamp_min(1e-20))[..., None]
            changed = plain + ((added - ratio * own) / (1.0 + ratio)).sum(2)
        elif mode == "gain_row":
            changed = (plain + added.sum(2)) / (1.0 + share.sum(2, keepdim=False))[..., None]
        else:
            changed = plain + added.sum(2)
        result[0][:, where] = changed.to(out.dtype)
    return result
