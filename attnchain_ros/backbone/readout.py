"""Reading the attention chain's middle link while the denoiser runs, without ever holding a full attention map.

The inflated map of one layer has (F (N + 1))^2 entries a head: 34 GB at the published size. Only the anchor frame's
rows
are needed, averaged over layers and heads, so they are computed tile by tile beside the fused attention.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import ReadoutConfig
from ..conventions import ANCHOR_FRAME
from .layers import attention_rows
from .transformer import TransformerSizes, parse_indices


@dataclass(frozen=True)
class TokenMaps:
    """Attention between tokens and from tokens to image patches, averaged over layers, heads and read steps; float32.

    Attributes:
        token_tokens: [F, N, N]; ``[f, t, t']`` carries anchor token t to token t' of frame f (A_{Za->Zf}, Sec. 4.1
            (2));
            rows sum to 1 when renormalised; the anchor frame's own map is the identity.
        frame_mass: [F, N] share of anchor token t's attention that went to frame f at all: a confidence. 1 for the
            anchor.
        token_patches: [F, N, P] attention from a frame's tokens to its image patches, class token dropped (not
            renormalised).
    """

    token_tokens: Tensor
    frame_mass: Tensor
    token_patches: Tensor


class MapReader:
    """A ``Probe`` that accumulates ``TokenMaps`` over the layers and steps that it is shown.

    Args:
        sizes: of the network read; tells the inflated layers.
        frames, tokens: F and N.
        config: which layers, heads and direction.
    Twin: ``reference.readout.token_maps``, which softmaxes the full matrix.
    """

    def __init__(self, sizes: TransformerSizes, frames: int, tokens: int, config: ReadoutConfig) -> None:
        self.frames, self.tokens = frames, tokens
        self.layers = parse_indices(config.layers, sizes.inflated_layers, "readout.layers")
        self.heads = parse_indices(config.heads, range(sizes.heads), "readout.heads")
        self.patch_layers = parse_indices(config.patch_layers, range(sizes.layers), "readout.patch_layers")
        self.config = config
        self._forward: Tensor | None = None
        self._backward: Tensor | None = None
        self._patches: Tensor | None = None
        self._self_reads = 0
        self._cross_reads = 0

    def self_attention(self, layer: int, q: Tensor, k: Tensor, v: Tensor, out: Tensor) -> Tensor:
        """Add one layer's anchor rows; the output is left alone."""
        if layer in self.layers:
            if self.config.direction in ("forward", "both"):
                self._forward = add(self._forward, self._read_forward(q[0], k[0]))
            if self.config.direction in ("backward", "both"):
                self._backward = add(self._backward, self._read_backward(q[0], k[0]))
            self._self_reads += 1
        return out

    def cross_attention(self, layer: int, q: Tensor, k: Tensor) -> None:
        """Add one layer's attention from tokens to patches."""
        if layer in self.patch_layers:
            frames = [attention_rows(q[f, :, 1:], k[f])[..., 1:].mean(0) for f in range(self.frames)]
            self._patches = add(self._patches, torch.stack(frames))
            self._cross_reads += 1

    def _read_forward(self, q: Tensor, k: Tensor) -> Tensor:
        """[F, N, N] mean over heads of softmax rows of the anchor's tokens, split by frame."""
        start = ANCHOR_FRAME * (self.tokens + 1) + 1
        total = q.new_zeros((self.frames, self.tokens, self.tokens), dtype=torch.float32)
        for head in self.heads:
            for first in range(0, self.tokens, self.config.row_tile):
                last = min(first + self.config.row_tile, self.tokens)
                rows = attention_rows(q[head, start + first : start + last], k[head])
                split = rows.view(last - first, self.frames, self.tokens + 1)[..., 1:]
                total[:, first:last] += split.transpose(0, 1)
        return total / len(self.heads)

    def _read_backward(self, q: Tensor, k: Tensor) -> Tensor:
        """[F, N, N] mean over heads of how much each frame's tokens look at the anchor's, transposed to anchor rows."""
        start = ANCHOR_FRAME * (self.tokens + 1) + 1
        total = q.new_zeros((self.frames, self.tokens, self.tokens), dtype=torch.float32)
        for head in self.heads:
            for frame in range(self.frames):
                offset = frame * (self.tokens + 1) + 1
                for first in range(0, self.tokens, self.config.row_tile):
                    last = min(first + self.config.row_tile, self.tokens)
                    rows = attention_rows(q[head, offset + first : offset + last], k[head])
                    total[frame, :, first:last] += rows[:, start : start + self.tokens].T
        return total / len(self.heads)

    def maps(self) -> TokenMaps:
        """The averages over everything read so far.

        Raises:
            RuntimeError: nothing was read.
        """
        if self._self_reads == 0 or self._patches is None:
            raise RuntimeError("no attention was read: show the reader at least one denoising step")
        parts, masses = [], []
        for total in (self._forward, self._backward):
            if total is not None:
                mean = total / self._self_reads
                mass = mean.sum(-1)
                parts.append(mean / mass.clamp_min(1e-20)[..., None] if self.config.renormalise else mean)
                masses.append(mass)
        token_tokens = torch.stack(parts).mean(0)
        mass = torch.stack(masses).mean(0)
        token_tokens[ANCHOR_FRAME] = torch.eye(self.tokens, device=token_tokens.device)
        mass[ANCHOR_FRAME] = 1.0
        return TokenMaps(token_tokens, mass, self._patches / self._cross_reads)


def add(total: Tensor | None, part: Tensor) -> Tensor:
    """Running sum that starts at nothing."""
    return part if total is None else total.add_(part)


def check_readout(sizes: TransformerSizes, steps: int, config: ReadoutConfig) -> None:
    """Whether the network has the layers and heads, and its schedule the steps, that are to be read.

    Args:
        sizes: of Stage I.
        steps: of its sampling.
        config: what is to be read.
    Raises:
        ConfigError: one of them does not exist; it is named.
    """
    parse_indices(config.steps, range(steps), "readout.steps")
    MapReader(sizes, 1, 1, config)
