"""From image patches to mesh vertices and back, through the anchor's tokens (Eq. 7)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..shapes import check_shape
from .correspondence import widen
from .tracks2d import grid_side, soft_argmax

VERTEX_TILE = 4096
"""Vertices scored at once; only VERTEX_TILE x P scores are held."""


def patch_to_vertex(patch_tokens: Tensor, vertex_tokens: Tensor, tile: int = VERTEX_TILE) -> Tensor:
    """The vertex that shares most attention with each patch (Eq. 7, left).

    Args:
        patch_tokens: [P, N] attention of patches over anchor tokens (``tracks2d.first_hop``).
        vertex_tokens: [V, N] attention of vertices over the same tokens; rows sum to 1.
        tile: vertices scored at once; does not change the result.
    Returns:
        [P] int64 vertex; the first one where scores are equal.
    Raises:
        ShapeError: the token axes disagree or there is no vertex.
    Twin: ``lab.reference.bridge.patch_to_vertex``.
    """
    axes = check_shape("patch_tokens", patch_tokens, "P N")
    axes = check_shape("vertex_tokens", vertex_tokens, "V N", **axes)
    patches = patch_tokens.float()
    best = torch.full((axes["P"],), -1.0, device=patches.device)
    vertex = torch.zeros(axes["P"], dtype=torch.int64, device=patches.device)
    for start in range(0, axes["V"], tile):
        score, place = (vertex_tokens[start : start + tile].float() @ patches.T).max(dim=0)
        better = score > best
        best = torch.where(better, score, best)
        vertex = torch.where(better, place + start, vertex)
    return vertex


def vertex_to_patch(
    patch_tokens: Tensor, vertex_tokens: Tensor, tile: int = VERTEX_TILE
) -> tuple[Tensor, Tensor, Tensor]:
    """The patch that shares most attention with each vertex (Eq. 7, right): the 2D-3D matches for Eq. 8.

    Args:
        patch_tokens: [P, N]; for the last hop the transposed cross-attention ``token_patches.T`` as it is.
        vertex_tokens: [V, N] attention of vertices over the same tokens; rows sum to 1.
        tile: vertices scored at once; does not change the result.
    Returns:
        patch [V] int64 row-major; score [V] float32 of that patch; place [V, 2] float32 (column, row) to a fraction
        of a patch (``tracks2d.soft_argmax``), for ``Crop.patch_to_full``.
    Raises:
        ShapeError: the token axes disagree or P is not a square number.
    Twin: ``lab.reference.bridge.vertex_to_patch``.
    """
    axes = check_shape("patch_tokens", patch_tokens, "P N")
    axes = check_shape("vertex_tokens", vertex_tokens, "V N", **axes)
    grid = grid_side(axes["P"])
    columns = widen(patch_tokens).float().T
    patch = torch.empty(axes["V"], dtype=torch.int64, device=columns.device)
    best = torch.empty(axes["V"], device=columns.device)
    place = torch.empty(axes["V"], 2, device=columns.device)
    for start in range(0, axes["V"], tile):
        part = slice(start, start + tile)
        scores = vertex_tokens[part].float() @ columns
        best[part], patch[part] = scores.max(dim=1)
        place[part] = soft_argmax(scores, grid)
    return patch, best, place
