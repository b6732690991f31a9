"""The flow transformer of Stage 0 (one image to one latent) and of Stage I (a window of frames, inflated
self-attention)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

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


ContextKeys = Sequence[tuple[Tensor, Tensor]]
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

    # One method a part, so that what it worked with is let go before the next part begins.

    def merge(self, lower: list[Tensor], hidden: Tensor) -> Tensor:
        """With the mirrored block's output, taken off ``lower``; as it is in lower blocks. [B, S, W]."""
        if self.skip_linear is None or self.skip_norm is None:
            return hidden
        return self.skip_norm(self.skip_linear(torch.cat([lower.pop(), hidden], dim=-1)))

    def look_around(self, flat: Tensor, table: Tensor | None, layer: int, probe: Probe | None) -> Tensor:
        """What self-attention adds to [B, S, W]; the probe, if any, looks at it."""
        q, k, v = self.self_attention.self_projections(self.norm_self(flat))
        if table is not None:
            q = rotate_pairs(q, table)
            k = rotate_pairs(k, table)
        if probe is None:
            return self.self_attention.join(self.self_attention.attend(q, k, v))
        return self.self_attention.join(probe.self_attention(layer, attend_with_lse(q, k, v)))

    def look_at_image(
        self, hidden: Tensor, keys: tuple[Tensor, Tensor] | None, layer: int, probe: Probe | None
    ) -> Tensor:
        """What cross-attention adds to [B, S, W]; of an all-zero context only the bias of its output remains.

        Keys of fewer images than there are rows belong to the first ones; the others have the all-zero context.
        """
        if keys is None:
            return self.cross_attention.to_out.bias
        seen = len(keys[0])
        if seen < len(hidden):
            added = self.look_at_image(hidden[:seen], keys, layer, probe)
            return torch.cat([added, self.cross_attention.to_out.bias.expand(len(hidden) - seen, *added.shape[1:])])
        q = self.cross_attention.queries(self.norm_cross(hidden))
        if probe is not None:
            probe.cross_attention(layer, q, keys[0])
        return self.cross_attention.join(self.cross_attention.attend(q, *keys))


@dataclass(frozen=True)
class _Place:
    """Where a pass stands: batch B and frames F, the rotary table [B, F (N + 1), D / 2], and the latents' dtype."""

    batch: int
    frames: int
    table: Tensor | None
    dtype: torch.dtype

    def twice(self) -> _Place:
        """Two of the same, one after the other."""
        table = None if self.table is None else self.table.repeat(2, 1, 1)
        return _Place(2 * self.batch, self.frames, table, self.dtype)


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

    def project_context(self, context: Tensor, keep: bool = True) -> ContextKeys:
        """Keys and values of image tokens [B, P + 1, C] for every layer; once per window.

        Those of all layers take 1 GB at the published size: ``keep`` False computes each when it is asked for.
        """
        context = context.to(self.proj_in.weight.dtype)
        if not keep:
            return KeysOnDemand(self, context)
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
        hidden, place = self._enter(latents, time, frame_steps)
        hidden = self._look_around(0, hidden, place, probe)
        return self._leave(self._from_first(hidden, place, context, probe), place)

    def guided(
        self,
        latents: Tensor,
        time: Tensor,
        context: ContextKeys,
        frame_steps: Tensor | None = None,
        probes: tuple[Probe | None, Probe | None] = (None, None),
        *,
        together: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Both velocities of classifier-free guidance: with images, and with the all-zero context.

        They differ from the first cross-attention on: the first self-attention is computed once for both.

        Args:
            latents, time, context, frame_steps: as in ``forward``.
            probes: of the pass with images and of the other; both see the same pairs.
            together: the rest of both in one batch, where neither has a probe: fewer kernels, twice the activations;
                the last digits may differ.
        """
        hidden, place = self._enter(latents, time, frame_steps)
        hidden = self._look_around(0, hidden, place, probes[0])
        if together and probes == (None, None):
            place = place.twice()
            both = self._leave(self._from_first(hidden.repeat(2, 1, 1), place, context, None), place)
            conditioned, free = both.chunk(2)
            return conditioned, free
        velocity = self._leave(self._from_first(hidden, place, context, probes[0]), place)
        return velocity, self._leave(self._from_first(hidden, place, None, probes[1]), place)

    def _enter(self, latents: Tensor, time: Tensor, frame_steps: Tensor | None) -> tuple[Tensor, _Place]:
        """The first block's input [B * F, N + 1, W]."""
        batch, frames, tokens, channels = latents.shape
        dtype = self.proj_in.weight.dtype
        hidden = self.proj_in(latents.reshape(batch * frames, tokens, channels).to(dtype))
        hidden = torch.cat([self.time_proj(time.reshape(-1))[:, None], hidden], dim=1)
        table = None
        if frame_steps is not None:
            relative = frame_steps - frame_steps.amin(dim=1, keepdim=True)
            table = rotary_table(relative.repeat_interleave(tokens + 1, dim=1), self.sizes.width // self.sizes.heads)
        return hidden, _Place(batch, frames, table, latents.dtype)

    def _look_around(self, index: int, hidden: Tensor, place: _Place, probe: Probe | None) -> Tensor:
        """A block's input with what its self-attention adds."""
        inflate = index in self.sizes.inflated_layers
        flat = hidden.reshape(place.batch if inflate else place.batch * place.frames, -1, self.sizes.width)
        turns = None if place.table is None else place.table.reshape(*flat.shape[:2], -1)
        looks = probe if probe is not None and inflate and probe.reads(index) else None
        return hidden + self.typed_blocks()[index].look_around(flat, turns, index, looks).reshape(hidden.shape)

    def _from_first(self, hidden: Tensor, place: _Place, context: ContextKeys | None, probe: Probe | None) -> Tensor:
        """From the first block's self-attention to the last block's output."""
        lower: list[Tensor] = []
        for index, block in enumerate(self.typed_blocks()):
            if index:
                hidden = block.merge(lower, hidden)
                hidden = self._look_around(index, hidden, place, probe)
            hidden = hidden + block.look_at_image(hidden, None if context is None else context[index], index, probe)
            hidden = hidden + block.feed_forward(block.norm_feed(hidden))
            if index < self.sizes.layers // 2:
                lower.append(hidden)
        return hidden

    def _leave(self, hidden: Tensor, place: _Place) -> Tensor:
        """The velocity [B, F, N, c] in the last block's output."""
        velocity = self.proj_out(self.norm_out(hidden[:, 1:]))
        return velocity.reshape(place.batch, place.frames, -1, self.sizes.channels).to(place.dtype)


class KeysOnDemand(Sequence[tuple[Tensor, Tensor]]):
    """``ContextKeys`` that are computed anew whenever a layer asks for its own."""

    def __init__(self, network: FlowTransformer, context: Tensor) -> None:
        self.network, self.context = network, context

    def __len__(self) -> int:
        return len(self.network.blocks)

    def __getitem__(self, layer: Any) -> Any:
        """Keys and values of one layer."""
        return self.network.typed_blocks()[layer].cross_attention.keys_values(self.context)


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
