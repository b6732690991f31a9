"""The vision transformer DINOv2: normalised pixels to image tokens (docs/method.md, "Backbone").

The published layout and arithmetic of transformers' ``Dinov2Model``, without importing it, which takes seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import FeedForward


@dataclass(frozen=True)
class DinoSizes:
    """Sizes of the network, as its config file names them.

    Attributes:
        width: C of the tokens (hidden_size).   heads: num_attention_heads.   layers: num_hidden_layers.
        patch: side of a patch in pixels.
        image: side in pixels of the images whose patches have a trained position each (image_size).
        ratio: inner width of the feed-forward over C (mlp_ratio).   eps: of the layer norms.
    """

    width: int
    heads: int
    layers: int
    patch: int
    image: int
    ratio: float = 4.0
    eps: float = 1e-6


class SelfAttention(nn.Module):
    """Multi-head self-attention with biases everywhere and a plain split into heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """[B, S, C] -> [B, S, C]."""
        batch, length, width = x.shape
        q, k, v = (
            project(x).view(batch, length, self.heads, -1).transpose(1, 2)
            for project in (self.to_q, self.to_k, self.to_v)
        )
        joined = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, length, width)
        return self.to_out(joined)


class Layer(nn.Module):
    """Pre-norm attention and feed-forward, each scaled per channel before it is added."""

    def __init__(self, sizes: DinoSizes) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(sizes.width, eps=sizes.eps)
        self.attention = SelfAttention(sizes.width, sizes.heads)
        self.scale1 = nn.Parameter(torch.ones(sizes.width))
        self.norm2 = nn.LayerNorm(sizes.width, eps=sizes.eps)
        self.feed_forward = FeedForward(sizes.width, sizes.ratio)
        self.scale2 = nn.Parameter(torch.ones(sizes.width))

    def forward(self, x: Tensor) -> Tensor:
        """[B, S, C] -> [B, S, C]."""
        x = self.attention(self.norm1(x)) * self.scale1 + x
        return self.feed_forward(self.norm2(x)) * self.scale2 + x


class DinoV2(nn.Module):
    """Class token and patches with positions, transformer layers, a last norm.

    ``mask_token`` is part of the published files and only matters where the network is trained by masking.
    """

    def __init__(self, sizes: DinoSizes) -> None:
        super().__init__()
        self.sizes = sizes
        cells = sizes.image // sizes.patch
        self.class_token = nn.Parameter(torch.zeros(1, 1, sizes.width))
        self.mask_token = nn.Parameter(torch.zeros(1, sizes.width))
        self.positions = nn.Parameter(torch.zeros(1, cells * cells + 1, sizes.width))
        self.patches = nn.Conv2d(3, sizes.width, sizes.patch, stride=sizes.patch)
        self.layers = nn.ModuleList(Layer(sizes) for _ in range(sizes.layers))
        self.norm = nn.LayerNorm(sizes.width, eps=sizes.eps)

    def forward(self, pixels: Tensor) -> Tensor:
        """Image tokens.

        Args:
            pixels: [B, 3, H, W] normalised RGB, H and W multiples of the patch.
        Returns:
            [B, P + 1, C] in the dtype of the weights; the class token first, then patches row by row.
        """
        grid = self.patches(pixels.to(self.patches.weight.dtype))
        tokens = torch.cat([self.class_token.expand(len(grid), -1, -1), grid.flatten(2).transpose(1, 2)], dim=1)
        tokens = tokens + self.positions_of(grid.shape[2], grid.shape[3])
        for layer in self.layers:
            tokens = layer(tokens)
        return self.norm(tokens)

    def positions_of(self, rows: int, columns: int) -> Tensor:
        """Position embeddings of a grid of patches [1, rows * columns + 1, C]: the trained ones, resampled to it."""
        cells = self.sizes.image // self.sizes.patch
        if (rows, columns) == (cells, cells):
            return self.positions
        trained = self.positions[:, 1:].reshape(1, cells, cells, -1).permute(0, 3, 1, 2)
        # In float32, as published: bicubic weights in half precision would move the embeddings.
        there = F.interpolate(trained.float(), size=(rows, columns), mode="bicubic", align_corners=False)
        flat = there.to(trained.dtype).flatten(2).transpose(1, 2)
        return torch.cat([self.positions[:, :1], flat], dim=1)
