"""Reading the attention chain's middle link while the denoiser runs, without ever holding a full attention map.

The inflated map of one layer has (F (N + 1))^2 entries a head: 4.3 GB in float32 at the published size. Only the blocks
between the anchor frame's tokens and the others' are needed, averaged over layers and heads. Fused attention knows the
log-sum-exp of every row, so that these blocks are exp(q k / sqrt(D) - lse): no row is softmaxed again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import ReadoutConfig
from ..conventions import ANCHOR_FRAME
from .layers import PIECE_BYTES, Attended, attention_rows, rows_that_fit
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
        piece_bytes: the largest temporary array.
    Twin: ``lab.reference.readout.token_maps``, which softmaxes the full matrix.
    """

    def __init__(
        self,
        sizes: TransformerSizes,
        frames: int,
        tokens: int,
        config: ReadoutConfig,
        piece_bytes: int = PIECE_BYTES,
    ) -> None:
        self.frames, self.tokens, self.piece_bytes = frames, tokens, piece_bytes
        self.layers = parse_indices(config.layers, sizes.inflated_layers, "readout.layers")
        self.heads = parse_indices(config.heads, range(sizes.heads), "readout.heads")
        self.patch_layers = parse_indices(config.patch_layers, range(sizes.layers), "readout.patch_layers")
        self.config = config
        self._forward: Tensor | None = None
        self._backward: Tensor | None = None
        self._patches: Tensor | None = None
        self._self_reads = 0
        self._cross_reads = 0

    def reads(self, layer: int) -> bool:
        """Whether a layer's self-attention counts."""
        return layer in self.layers

    def self_attention(self, layer: int, attended: Attended) -> Tensor:
        """Add one layer's rows; the output is left alone."""
        if self.reads(layer):
            if self.config.direction in ("forward", "both"):
                self._forward = self._read(self._forward, attended, forward=True)
            if self.config.direction in ("backward", "both"):
                self._backward = self._read(self._backward, attended, forward=False)
            self._self_reads += 1
        return attended.out

    def cross_attention(self, layer: int, q: Tensor, k: Tensor) -> None:
        """Add one layer's attention from tokens to patches."""
        if layer in self.patch_layers:
            shape = (self.frames, self.tokens, k.shape[-2] - 1)
            total = q.new_zeros(shape, dtype=torch.float32) if self._patches is None else self._patches
            frames = rows_that_fit(4 * q.shape[1] * q.shape[2] * k.shape[2], self.piece_bytes)
            for first in range(0, self.frames, frames):
                some = slice(first, first + frames)
                total[some] += attention_rows(q[some, :, 1:], k[some])[..., 1:].mean(1)
            self._patches = total
            self._cross_reads += 1

    def _read(self, total: Tensor | None, attended: Attended, forward: bool) -> Tensor:
        """Add to [F, N, N] the mean over heads of the map's blocks between the anchor's tokens and every frame's.

        The sums over keys are known (``Attended.lse``), so that only the blocks themselves are computed: forward, what
        the anchor's tokens pay to each frame's; backward, what each frame's pay to the anchor's, turned round.
        """
        if total is None:
            total = attended.q.new_zeros((self.frames, self.tokens, self.tokens), dtype=torch.float32)
        heads = len(self.heads)
        chosen = slice(None) if heads == attended.q.shape[1] else list(self.heads)
        q, k, lse = (
            part[0, chosen].reshape(heads, self.frames, self.tokens + 1, -1)[:, :, 1:]
            for part in (attended.q, attended.k, attended.lse[..., None])
        )
        scale = 1.0 / math.sqrt(q.shape[-1])
        tile = min(self.config.row_tile, rows_that_fit(4 * heads * self.tokens, self.piece_bytes))
        anchors = (q if forward else k)[:, ANCHOR_FRAME].float()
        for frame in range(self.frames):
            if frame == ANCHOR_FRAME:
                continue  # its map is the identity
            others = (k if forward else q)[:, frame].float().transpose(-1, -2)
            sums = lse[:, ANCHOR_FRAME] if forward else lse[:, frame].transpose(-1, -2)
            for first in range(0, self.tokens, tile):
                rows = slice(first, first + tile)
                logits = torch.baddbmm(
                    sums[:, rows] if forward else sums, anchors[:, rows], others, beta=-1, alpha=scale
                )
                total[frame, rows] += logits.exp_().mean(0)
        return total

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
