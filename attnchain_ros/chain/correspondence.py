"""Where an anchor vertex is in another frame: the attention chain V_a -> Z_a -> Z_f -> V_f (Sec. 4.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import MatchConfig
from ..errors import InputError, SurfaceError
from ..shapes import check_shape

_LOW_32 = 0xFFFFFFFF


@dataclass(frozen=True)
class Matches:
    """What ``match_surface`` found for K landmarks in one frame.

    Attributes:
        points: [K, 3] float32 matched positions, frame and units of the surface points.
        confidence: [K] float32 best score of each landmark, >= 0; 0 = no token in common with the surface.
        best: [K] int64 surface point with the best score.
        score_top: [K, min(top, U)] float32 best scores, falling.
    """

    points: Tensor
    confidence: Tensor
    best: Tensor
    score_top: Tensor


def widen(values: Tensor) -> Tensor:
    """Half precision attention in float32, where its products are computed; float32 and float64 as they are."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def transport(vertex_tokens: Tensor, token_tokens: Tensor) -> Tensor:
    """Carry attention over the anchor's tokens to the tokens of other frames (Eq. 2).

    Args:
        vertex_tokens: [K, N] attention of vertices (or patches) over anchor tokens; rows sum to 1.
        token_tokens: [N, M] attention of anchor tokens over the tokens of one frame, or [F, N, M] of several.
    Returns:
        [K, M] or [F, K, M], float32 (float64 if given); rows sum to 1 if the rows of both inputs do.
    Raises:
        ShapeError: the token axes disagree.
    Twin: ``lab.reference.correspondence.transport``.

    >>> transport(torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0], [0.2, 0.8]])).tolist()
    [[0.6000000238418579, 0.4000000059604645]]
    """
    axes = check_shape("vertex_tokens", vertex_tokens, "K N")
    check_shape("token_tokens", token_tokens, "... N M", N=axes["N"])
    return widen(vertex_tokens) @ widen(token_tokens)


def match_surface(
    token_rows: Tensor, surface_tokens: Tensor, surface_points: Tensor, config: MatchConfig, diagonal: float
) -> Matches:
    """Match transported landmarks with the surface points of one frame (Eq. 3 and 4).

    The score of a point is the inner product of its attention with the landmark's transported attention. The match
    is the blend of the best ``top`` points that lie within ``radius * diagonal`` of the very best one, weighted by
    ``exp((score - best) / (temperature * best))``. A landmark whose scores are all 0 takes its best point (the first
    one) with confidence 0. Equal scores are ordered by the index of the point, so that ``tile`` does not matter;
    only tile x K scores are held at once.

    Args:
        token_rows: [K, N] from ``transport``, non-negative.
        surface_tokens: [U, N] attention of the surface points over the frame's tokens, non-negative.
        surface_points: [U, 3] object frame, object units.
        config: ``top``, ``radius``, ``temperature`` and ``tile``.
        diagonal: diagonal of the object's bounding box, units of the points.
    Returns:
        the matches; on the device of the inputs.
    Raises:
        ShapeError: sizes disagree.   SurfaceError: no surface points.   InputError: ``diagonal`` is not positive.
    Twin: ``lab.reference.correspondence.match_surface``.
    """
    axes = check_shape("token_rows", token_rows, "K N")
    axes = check_shape("surface_tokens", surface_tokens, "U N", **axes)
    check_shape("surface_points", surface_points, "U 3", "one point per row of surface_tokens", **axes)
    if axes["U"] == 0:
        raise SurfaceError("there are 0 surface points to match, wanted at least 1: the frame's field has no surface")
    if not diagonal > 0:
        raise InputError(f"diagonal is {diagonal}, wanted a positive length: pass the mesh's bounding-box diagonal")

    rows = token_rows.float()
    top = min(config.top, axes["U"])
    keys = torch.empty(axes["K"], 0, dtype=torch.int64, device=rows.device)
    for start in range(0, axes["U"], config.tile):
        tile = surface_tokens[start : start + config.tile].float()
        fresh = _ordered_keys(rows @ tile.T, start)
        # The tile is reduced first: joining it whole to the running top would copy K x tile keys once more.
        fresh = fresh.topk(min(top, fresh.shape[1]), dim=1).values
        joined = torch.cat([keys, fresh], dim=1)
        keys = joined.topk(min(top, joined.shape[1]), dim=1).values
    index = _LOW_32 - (keys & _LOW_32)
    # The upper half of a key is the bit pattern of the score itself, so that nothing has to be computed again.
    score = (keys >> 32).to(torch.int32).view(torch.float32)

    points = surface_points.float()[index]
    best_score = score[:, :1]
    near = (points - points[:, :1]).norm(dim=-1) <= config.radius * diagonal
    floor = torch.finfo(torch.float32).tiny
    weights = torch.exp((score - best_score) / (config.temperature * best_score).clamp_min(floor))
    alone = (best_score <= 0) & (index != index[:, :1])
    weights = torch.where(near & ~alone, weights, torch.zeros_like(weights))
    blended = (weights.unsqueeze(-1) * points).sum(dim=1) / weights.sum(dim=1, keepdim=True)
    return Matches(points=blended, confidence=best_score[:, 0], best=index[:, 0], score_top=score)


def _ordered_keys(scores: Tensor, start: int) -> Tensor:
    """int64 keys that sort like non-negative scores and, where these are equal, put the smaller index first.

    Bit patterns of non-negative float32 numbers grow with the numbers. Attention is never negative; a sum that
    rounds below zero counts as zero.
    """
    # Adding 0.0 turns -0.0, whose bit pattern is negative, into 0.0.
    bits = (scores.clamp_min(0.0) + 0.0).contiguous().view(torch.int32).to(torch.int64)
    index = torch.arange(start, start + scores.shape[1], device=scores.device)
    return (bits << 32) | (_LOW_32 - index)
