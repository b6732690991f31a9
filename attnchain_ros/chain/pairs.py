"""Which token pair carries each match: the set C of correspondence reinforcement (Eq. 5)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import ReinforceConfig
from ..shapes import check_shape
from .correspondence import widen


@dataclass(frozen=True)
class Pairs:
    """Distinct token pairs to reinforce in one frame, ordered by anchor token, then frame token.

    Attributes:
        anchor_token: [C] int64 token t of the anchor.
        frame_token: [C] int64 token t' of the frame.
        gain: [C] float32 in [0, 1], c_hat: the confidence of the most confident match that runs through the pair.
    """

    anchor_token: Tensor
    frame_token: Tensor
    gain: Tensor


def trace_pairs(
    vertex_tokens: Tensor,
    token_tokens: Tensor,
    surface_tokens_best: Tensor,
    confidence: Tensor,
    valid: Tensor,
    config: ReinforceConfig,
) -> Pairs:
    """Trace each match back to the token pair that contributes most to its score (Sec. 4.3, Eq. 5).

    The pair of landmark v, matched with surface point u*, is the argmax over (t, t') of
    ``A_V[v, t] * A[t, t'] * A_U[u*, t']``, looked for among the ``top`` largest tokens on either side. Only valid
    landmarks count; of these the share ``drop_quantile`` (rounded down) with the least confidence is left out, and so
    is any match without a path. ``c_hat = clip(c / q, 0, 1)`` with q the ``confidence_quantile`` of the valid
    landmarks' confidence; where matches share a pair, the largest c_hat wins.

    Args:
        vertex_tokens: [K, N] attention of the landmarks over anchor tokens.
        token_tokens: [N, M] attention of anchor tokens over the frame's tokens.
        surface_tokens_best: [K, M] attention of each landmark's best surface point over the frame's tokens.
        confidence: [K] scores of the matches, >= 0.
        valid: [K] bool.
        config: ``top``, ``drop_quantile``, ``confidence_quantile``.
    Returns:
        the pairs; empty if no landmark is left.
    Raises:
        ShapeError: sizes disagree.
    Twin: ``lab.reference.pairs.trace_pairs``.
    """
    axes = check_shape("vertex_tokens", vertex_tokens, "K N")
    axes = check_shape("token_tokens", token_tokens, "N M", **axes)
    check_shape("surface_tokens_best", surface_tokens_best, "K M", **axes)
    check_shape("confidence", confidence, "K", **axes)
    check_shape("valid", valid, "K", **axes)
    confidence = confidence.float()
    rows = torch.nonzero(valid, as_tuple=True)[0]
    scale = _quantile(confidence[rows], config.confidence_quantile)
    order = torch.sort(confidence[rows], stable=True).indices
    # math.floor(n * share) may lose one to rounding, e.g. 0.29 * 100; the slack keeps whole numbers whole.
    rows = rows[order[math.floor(len(rows) * config.drop_quantile + 1e-9) :]]

    from_value, from_token = widen(vertex_tokens)[rows].topk(min(config.top, axes["N"]), dim=1)
    to_value, to_token = widen(surface_tokens_best)[rows].topk(min(config.top, axes["M"]), dim=1)
    block = widen(token_tokens[from_token[:, :, None], to_token[:, None, :]])
    flow = (from_value[:, :, None] * block * to_value[:, None, :]).flatten(1)
    if flow.shape[0] == 0:
        none = torch.zeros(0, dtype=torch.int64, device=rows.device)
        return Pairs(none, none.clone(), torch.zeros(0, device=rows.device))
    share, place = flow.max(dim=1)
    anchor_token = from_token.gather(1, (place // to_token.shape[1])[:, None])[:, 0]
    frame_token = to_token.gather(1, (place % to_token.shape[1])[:, None])[:, 0]
    gain = (confidence[rows] / scale.clamp_min(torch.finfo(torch.float32).tiny)).clamp(0.0, 1.0)

    carried = (share > 0) & (confidence[rows] > 0)
    pair, owner = torch.unique(anchor_token[carried] * axes["M"] + frame_token[carried], return_inverse=True)
    largest = torch.zeros(len(pair), device=rows.device).scatter_reduce(0, owner, gain[carried], "amax")
    return Pairs(anchor_token=pair // axes["M"], frame_token=pair % axes["M"], gain=largest)


def _quantile(values: Tensor, share: float) -> Tensor:
    """Linearly interpolated quantile of values [n] as a 0-d tensor; 0 for none."""
    return torch.quantile(values, share) if len(values) else torch.zeros((), device=values.device)
