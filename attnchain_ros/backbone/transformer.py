"""The flow transformer of Stage 0 (one image to one latent) and of Stage I (a window of frames, inflated
self-attention)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from .layers import (
    Attended,
    Attention,
    FeedForward,
    LayerNorm32,
    TimeEmbedding,
    attend_with_lse,
    rotary_table,
    rotate_pairs,
)


@dataclass(frozen=True)
class TransformerSizes:
    """Sizes of a flow transformer, from its published config file.

    Attributes:
        width: W.   heads: H.   layers: number of blocks, odd (the middle one has no mirror).
        channels: latent channels c.   context_width: width of the image tokens.
        inflated_layers: layers whose self-attention runs over all frames; empty for Stage 0.
        frames: frames of a window, F.   tokens: tokens of a frame, N (0 where the config does not tell).
        ratio: inner width of the feed-forward over W.
    """

    width: int
    heads: int
    layers: int
    channels: int
    context_width: int
    inflated_layers: tuple[int, ...] = ()
    frames: int = 1
    tokens: int = 0
    ratio: float = 4.0


class Probe(Protocol):
    """Looks at (and may correct) attention while the network runs. B is 1 and S = F * (N + 1) in an inflated layer."""

    def reads(self, layer: int) -> bool:
        """Whether ``self_attention`` is wanted in an inflated layer."""
        ...

    def self_attention(self, layer: int, attended: Attended) -> Tensor:
        """Called in inflated layers that ``reads`` names; returns the output [B, H, S, D] to use."""
        ...

    def cross_attention(self, layer: int, q: Tensor, k: Tensor) -> None:
        """Called in every layer of a conditioned pass with q [F, H, N + 1, D] and k [F, H, P + 1, D]."""
        ...


ContextKeys = list[tuple[Tensor, Tensor]]
"""Keys and values of the image tokens for every layer: they do not depend on the diffusion time."""


class Block(nn.Module):
    """Self-attention, cross-attention to the image, feed-forward; upper blocks first merge the mirrored lower one's
    output."""

    def __init__(self, sizes: TransformerSizes, skip: bool) -> None:
        super().__init__()
        width = sizes.width
        self.skip_linear = nn.Linear(2 * width, width) if skip else None
        self.skip_norm = LayerNorm32(width) if skip else None
        self.norm_self = LayerNorm32(width)
        self.self_attention = Attention(width, sizes.heads, qk_norm=True)
        self.norm_cross = LayerNorm32(width)
        self.cross_attention = Attention(width, sizes.heads, sizes.context_width, qk_norm=True)
        self.norm_feed = LayerNorm32(width)
        self.feed_forward = FeedForward(width, sizes.ratio)


class FlowTransformer(nn.Module):
    """Predicts the velocity (data - noise) of latents at a diffusion time; Stage 0 and Stage I are the same network."""

    def __init__(self, sizes: TransformerSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.proj_in = nn.Linear(sizes.channels, sizes.width)
        self.time_proj = TimeEmbedding(sizes.width)
        self.blocks = nn.ModuleList(Block(sizes, skip=index > sizes.layers // 2) for index in range(sizes.layers))
        self.norm_out = LayerNorm32(sizes.width)
        self.proj_out = nn.Linear(sizes.width, sizes.channels)

    def project_context(self, context: Tensor) -> ContextKeys:
        """Keys and values of image tokens [B, P + 1, C] for every layer; once per window."""
        context = context.to(self.proj_in.weight.dtype)
        return [block.cross_attention.keys_values(context) for block in self.typed_blocks()]

    def typed_blocks(self) -> list[Block]:
        """The blocks with their type."""
        return [cast(Block, block) for block in self.blocks]

    def forward(
        self,
        latents: Tensor,
        time: Tensor,
        context: ContextKeys | None,
        frame_steps: Tensor | None = None,
        probe: Probe | None = None,
    ) -> Tensor:
        """One evaluation of the velocity.

        Args:
            latents: [B, F, N, c].
            time: [B, F] diffusion time in 0 .. 1000; 0 for frames whose latent is given.
            context: keys and values of B * F images from ``project_context``; None is the all-zero context of
                classifier-free guidance, of which only the output bias remains.
            frame_steps: [B, F] position of each frame for the rotary embedding; None (Stage 0) leaves it out.
            probe: looks at attention; see ``Probe``.
        Returns:
            [B, F, N, c], dtype of the latents.
        """
        batch, frames, tokens, channels = latents.shape
        length = tokens + 1
        dtype = self.proj_in.weight.dtype
        hidden = self.proj_in(latents.reshape(batch * frames, tokens, channels).to(dtype))
        hidden = torch.cat([self.time_proj(time.reshape(-1))[:, None], hidden], dim=1)
        table = None
        if frame_steps is not None:
            relative = frame_steps - frame_steps.amin(dim=1, keepdim=True)
            table = rotary_table(relative.repeat_interleave(length, dim=1), self.sizes.width // self.sizes.heads)
        lower: list[Tensor] = []
        for index, block in enumerate(self.typed_blocks()):
            if block.skip_linear is not None and block.skip_norm is not None:
                hidden = block.skip_norm(block.skip_linear(torch.cat([lower.pop(), hidden], dim=-1)))
            inflate = index in self.sizes.inflated_layers
            rows = batch if inflate else batch * frames
            flat = block.norm_self(hidden).reshape(rows, -1, self.sizes.width)
            q, k, v = block.self_attention.self_projections(flat)
            if table is not None:
                turn = (table[0].reshape(rows, flat.shape[1], -1), table[1].reshape(rows, flat.shape[1], -1))
                q, k = rotate_pairs(q, turn), rotate_pairs(k, turn)
            if probe is not None and inflate and probe.reads(index):
                out = probe.self_attention(index, attend_with_lse(q, k, v))
            else:
                out = block.self_attention.attend(q, k, v)
            hidden = hidden + block.self_attention.join(out).reshape(hidden.shape)
            if context is None:
                hidden = hidden + block.cross_attention.to_out.bias
            else:
                q = block.cross_attention.queries(block.norm_cross(hidden))
                k, v = context[index]
                if probe is not None:
                    probe.cross_attention(index, q, k)
                hidden = hidden + block.cross_attention.join(block.cross_attention.attend(q, k, v))
            hidden = hidden + block.feed_forward(block.norm_feed(hidden))
            if index < self.sizes.layers // 2:
                lower.append(hidden)
        velocity = self.proj_out(self.norm_out(hidden[:, 1:]))
        return velocity.reshape(batch, frames, tokens, channels).to(latents.dtype)


def parse_indices(text: str, allowed: Sequence[int], what: str) -> tuple[int, ...]:
    """Indices named by an option: 'all', 'last' or comma-separated numbers out of ``allowed``.

    Raises:
        ConfigError: a number is not among the allowed ones, or the text is no list of numbers.
    """
    if text == "all":
        return tuple(allowed)
    if text == "last":
        return (allowed[-1],)
    try:
        chosen = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError as error:
        raise ConfigError(f"{what} is {text!r}, wanted 'all', 'last' or numbers such as '2,3,4'") from error
    wrong = [index for index in chosen if index not in allowed]
    if wrong:
        raise ConfigError(f"{what} names {wrong}, this network has {list(allowed)}")
    return chosen
