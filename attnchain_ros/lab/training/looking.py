"""A loss on where tokens look: at the patch of the picture where their surface point is seen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...backbone.layers import Attended, attention_rows

SEEN_WITHIN = 0.06
"""A surface point is seen where a labelled pixel shows a point within this distance of it, object units."""


class Looks:
    """A probe that keeps, with gradients, how tokens attend to patches in some layers.

    Attributes:
        maps: by layer, [B * F, N, P + 1] float32, mean over heads; rows sum to 1, the class token comes first.
    """

    def __init__(self, layers: Sequence[int]) -> None:
        self.layers = tuple(layers)
        self.maps: dict[int, Tensor] = {}

    def reads(self, layer: int) -> bool:
        """Self-attention is left as it is."""
        return False

    def self_attention(self, layer: int, attended: Attended) -> Tensor:
        """Never asked for."""
        return attended.out

    def cross_attention(self, layer: int, q: Tensor, k: Tensor) -> None:
        """Keep the map of one of the layers; the time token's row is left out."""
        if layer in self.layers:
            self.maps[layer] = attention_rows(q[:, :, 1:], k).mean(1)


@torch.no_grad()
def seen_patches(points: Tensor, xyz: Tensor, inside: Tensor, grid: int) -> Tensor:
    """The patch in which each surface point is seen.

    Args:
        points: [M, N, 3] surface points, object frame.
        xyz: [M, L, L, 3] surface position at labelled pixels, same frame.
        inside: [M, L, L] bool, the pixel shows the object.
        grid: patches along a side; L is a multiple of it.
    Returns:
        [M, N] int64 patch numbers, row by row; -1 where the point is hidden or out of the picture.
    """
    side = xyz.shape[1]
    far = torch.full((), torch.inf)
    # Without the matrix product, which autocast would round to bfloat16.
    distance = torch.cdist(points, xyz.flatten(1, 2), compute_mode="donot_use_mm_for_euclid_dist")
    nearest, pixel = torch.where(inside.flatten(1)[:, None], distance, far).min(dim=2)
    cells = side // grid
    patch = pixel // side // cells * grid + pixel % side // cells
    return torch.where(nearest < SEEN_WITHIN, patch, -1)


def look_loss(maps: Sequence[Tensor], patches: Tensor) -> Tensor:
    """Mean negative logarithm of the attention that tokens pay to the patch where they are seen.

    Args:
        maps: of some layers, [M, N, P + 1], the class token first.
        patches: [M, N] from ``seen_patches``; tokens with -1 have no part in it.
    Returns:
        [] float32; 0 if no token is seen.
    """
    seen = patches >= 0
    index = (patches.clamp(min=0) + 1)[..., None]
    paid = torch.stack([map_.gather(2, index)[..., 0] for map_ in maps])
    wrong = -paid.clamp(min=1e-6).log() * seen
    return wrong.sum() / (len(maps) * seen.sum()).clamp(min=1)
