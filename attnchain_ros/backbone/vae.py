"""TripoSG's shape VAE: a set of surface points to N latent tokens, and N tokens to an implicit field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from .layers import (
    PIECE_BYTES,
    Attention,
    FeedForward,
    LayerNorm32,
    PointEmbedding,
    attention_rows,
    rows_that_fit,
)


@dataclass(frozen=True)
class VaeSizes:
    """Sizes of the VAE, from its published config file (widths W, heads H, self-attention layers, latent channels
    c)."""

    width_encoder: int
    width_decoder: int
    layers_encoder: int
    layers_decoder: int
    heads: int
    channels: int
    frequencies: int = 8


class SelfBlock(nn.Module):
    """Self-attention and feed-forward, pre-norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_self = LayerNorm32(width)
        self.self_attention = Attention(width, heads)
        self.norm_feed = LayerNorm32(width)
        self.feed_forward = FeedForward(width)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.self_attention.attend(*self.self_attention.self_projections(self.norm_self(x)))
        x = x + self.self_attention.join(heads)
        return x + self.feed_forward(self.norm_feed(x))


class CrossBlock(nn.Module):
    """Cross-attention to a layer-normed context and feed-forward, pre-norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_query = LayerNorm32(width)
        self.cross_attention = Attention(width, heads, context_width=width, context_norm=True)
        self.norm_feed = LayerNorm32(width)
        self.feed_forward = FeedForward(width)

    def forward(self, x: Tensor, keys: tuple[Tensor, Tensor]) -> Tensor:
        heads = self.cross_attention.attend(self.cross_attention.queries(self.norm_query(x)), *keys)
        x = x + self.cross_attention.join(heads)
        return x + self.feed_forward(self.norm_feed(x))


class Encoder(nn.Module):
    """Query points attend once to all surface points, then to one another."""

    def __init__(self, sizes: VaeSizes) -> None:
        super().__init__()
        self.embedding = PointEmbedding(sizes.frequencies)
        self.proj_in = nn.Linear(self.embedding.width + 3, sizes.width_encoder)
        blocks: list[nn.Module] = [CrossBlock(sizes.width_encoder, sizes.heads)]
        blocks += [SelfBlock(sizes.width_encoder, sizes.heads) for _ in range(sizes.layers_encoder)]
        self.blocks = nn.ModuleList(blocks)
        self.norm_out = LayerNorm32(sizes.width_encoder)

    @property
    def cross_block(self) -> CrossBlock:
        """The first block, where the queries look at the surface."""
        return cast(CrossBlock, self.blocks[0])

    def embed(self, points: Tensor) -> Tensor:
        """[B, n, 6] positions and unit normals -> [B, n, W]."""
        features = torch.cat([self.embedding(points[..., :3]), points[..., 3:].float()], dim=-1)
        return self.proj_in(features.to(self.proj_in.weight.dtype))

    def forward(self, queries: Tensor, surface: Tensor) -> Tensor:
        x = self.embed(queries)
        x = self.cross_block(x, self.cross_block.cross_attention.keys_values(self.embed(surface)))
        for block in self.blocks[1:]:
            x = block(x)
        return self.norm_out(x)


class Decoder(nn.Module):
    """Tokens attend to one another; query points then attend to the tokens in the last block."""

    def __init__(self, sizes: VaeSizes) -> None:
        super().__init__()
        self.embedding = PointEmbedding(sizes.frequencies)
        self.proj_query = nn.Linear(self.embedding.width, sizes.width_decoder)
        blocks: list[nn.Module] = [SelfBlock(sizes.width_decoder, sizes.heads) for _ in range(sizes.layers_decoder)]
        self.blocks = nn.ModuleList([*blocks, CrossBlock(sizes.width_decoder, sizes.heads)])
        self.norm_out = LayerNorm32(sizes.width_decoder)
        self.proj_out = nn.Linear(sizes.width_decoder, 1)

    @property
    def cross_block(self) -> CrossBlock:
        """The last block, where points look at the tokens: its rows are A_{V->Z}."""
        return cast(CrossBlock, self.blocks[-1])

    def embed(self, points: Tensor) -> Tensor:
        """[B, n, 3] -> [B, n, W]."""
        return self.proj_query(self.embedding(points).to(self.proj_query.weight.dtype))


class ShapeVae(nn.Module):
    """Surface points <-> latent tokens <-> implicit field in the object frame."""

    def __init__(self, sizes: VaeSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.encoder = Encoder(sizes)
        self.decoder = Decoder(sizes)
        self.quant = nn.Linear(sizes.width_encoder, 2 * sizes.channels)
        self.post_quant = nn.Linear(sizes.channels, sizes.width_decoder)

    def encode(self, queries: Tensor, surface: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior of the latent.

        Args:
            queries: [B, N, 6] points that become tokens (farthest points of the surface), with unit normals.
            surface: [B, n, 6] all surface points with unit normals, object frame.
        Returns:
            mean and log-variance [B, N, c], float32.
        """
        mean, logvar = self.quant(self.encoder(queries, surface)).float().chunk(2, dim=-1)
        return mean, logvar

    def decode(self, latents: Tensor, piece_bytes: int = PIECE_BYTES) -> DecodedLatents:
        """Run the part that depends on the latents [B, N, c] alone; query the result for points."""
        tokens = self.post_quant(latents.to(self.post_quant.weight.dtype))
        for block in self.decoder.blocks[:-1]:
            tokens = block(tokens)
        keys, values = self.decoder.cross_block.cross_attention.keys_values(tokens)
        return DecodedLatents(self.decoder, keys, values, piece_bytes)


CPU_POINTS = 8192
"""Points decoded at once on a CPU, all latents together: what they become stays in its caches."""

LEAST_POINTS = 64
"""Points of a latent that a piece is filled up to at least."""


@dataclass(frozen=True)
class DecodedLatents:
    """Latents after the decoder's self-attention: an implicit field for each of B latents.

    Points are taken in pieces whose sizes are powers of two, the last one filled up: kernels are chosen, and by oneDNN
    kept for good, for every size anew.

    Attributes:
        decoder: the network.
        keys, values: [B, H, N, D] of the last block's cross-attention.
        piece_bytes: the largest temporary array.
    """

    decoder: Decoder
    keys: Tensor
    values: Tensor
    piece_bytes: int = PIECE_BYTES

    def __len__(self) -> int:
        return int(self.keys.shape[0])

    def select(self, start: int, stop: int) -> DecodedLatents:
        """The fields ``start`` to ``stop`` alone."""
        return DecodedLatents(self.decoder, self.keys[start:stop], self.values[start:stop], self.piece_bytes)

    def logits(self, points: Tensor) -> Tensor:
        """Field values at points [B, n, 3] (object frame): [B, n] float32, positive inside.

        One set of points [1, n, 3] serves all latents.
        """
        inner = self.decoder.cross_block.feed_forward.inner.out_features
        return self._in_pieces(points, inner * self.keys.element_size(), self._logits)

    def attention_heads(self, points: Tensor) -> Tensor:
        """A_{V->Z} of every head, float32: points [B, n, 3] -> [B, H, n, N]; rows sum to 1."""
        block = self.decoder.cross_block
        x = self.decoder.embed(points.expand(len(self), -1, -1))
        return attention_rows(block.cross_attention.queries(block.norm_query(x)), self.keys)

    def attention(self, points: Tensor) -> Tensor:
        """A_{V->Z} averaged over heads, float32: points [B, n, 3] -> [B, n, N]; rows sum to 1 (Sec. 4.1 (1) and
        (3))."""
        row = 4 * self.keys.shape[1] * self.keys.shape[2]
        return self._in_pieces(points, row, lambda part: self.attention_heads(part).mean(1))

    def _logits(self, points: Tensor) -> Tensor:
        x = self.decoder.embed(points.expand(len(self), -1, -1))
        x = self.decoder.cross_block(x, (self.keys, self.values))
        return -self.decoder.proj_out(self.decoder.norm_out(x)).squeeze(-1).float()

    def _in_pieces(self, points: Tensor, row_bytes: int, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """``compute`` of points [B, n, 3], piece by piece along n; a point takes ``row_bytes`` a latent."""
        total = points.shape[1]
        most = rows_that_fit(row_bytes, self.piece_bytes)
        if points.device.type == "cpu":
            most = min(most, CPU_POINTS)
        size = 1 << max(0, (most // len(self)).bit_length() - 1)
        parts = []
        for first in range(0, total, size):
            part = points[:, first : first + size]
            count = part.shape[1]
            full = min(size, max(LEAST_POINTS, 1 << (count - 1).bit_length()))
            if full > count:
                part = torch.cat([part, part[:, -1:].expand(-1, full - count, -1)], dim=1)
            parts.append(compute(part)[:, :count])
        return torch.cat(parts, dim=1)
