"""The building blocks that TripoSG's and ActionMesh's networks are made of (docs/method.md, "Backbone").

Tensors are [B, S, W]: batch, sequence, width. Heads are H of width D = W / H.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PIECE_BYTES = 256 << 20
"""Largest temporary array of attention that is read or changed, and of points that are decoded, unless told."""


def rows_that_fit(row_bytes: int, piece_bytes: int) -> int:
    """How many rows of an array stay within some bytes; at least one."""
    return max(1, piece_bytes // row_bytes)


class LayerNorm32(nn.LayerNorm):
    """Layer norm whose sums are float32 whatever the dtype, as torch's kernels do it; eps 1e-5."""

    def forward(self, x: Tensor) -> Tensor:
        # Under autocast torch answers in float32.
        return super().forward(x).to(x.dtype)


class RmsNorm(nn.Module):
    """Root-mean-square norm over the last axis, summed in float32 whatever the dtype; eps 1e-6."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        # Under autocast x is narrower than the weight: then both are widened, as the kernel wants one dtype.
        same = x if x.dtype == self.weight.dtype else x.float()
        return F.rms_norm(same, self.weight.shape, self.weight.to(same.dtype), self.eps).to(x.dtype)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Fused softmax attention, scale 1 / sqrt(D): [B, H, S, D] x [B, H, S', D] -> [B, H, S, D] (Eq. 1)."""
    return F.scaled_dot_product_attention(q, k, v)


Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""A way to compute what ``attend`` computes."""


@dataclass(frozen=True)
class Attended:
    """One attention, seen from outside.

    Attributes:
        q, k, v: [B, H, S, D], [B, H, S', D] twice.
        out: [B, H, S, D] softmax(q k^T / sqrt(D)) v.
        lse: [B, H, S] logarithm of the sum over keys of exp(q k / sqrt(D)), float32 (float64 if given): any entry of
            the map that was never written out is exp(q k / sqrt(D) - lse).
    """

    q: Tensor
    k: Tensor
    v: Tensor
    out: Tensor
    lse: Tensor


def attend_with_lse(q: Tensor, k: Tensor, v: Tensor) -> Attended:
    """``attend`` with the log-sum-exp that the fused kernels compute on their way; not differentiable through it.

    The kernels are called below ``scaled_dot_product_attention``, which throws it away. Where no kernel takes these
    tensors, the map is written out a few rows at a time.
    """
    fused = _fused(q, k, v)
    return Attended(q, k, v, *(_by_rows(q, k, v) if fused is None else fused))


def _fused(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor] | None:
    """Output and log-sum-exp of the kernel for these tensors, if there is one."""
    if q.device.type in ("cpu", "meta"):
        if q.stride(-1) != 1 or k.stride(-1) != 1 or v.stride(-1) != 1:
            return None
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v)
        return out, lse
    if q.device.type != "cuda":
        return None
    asked = torch.backends.cuda.SDPAParams(q, k, v, None, 0.0, False, False)
    # The kernels themselves want whole groups of eight features; scaled_dot_product_attention would pad them.
    if q.shape[-1] % 8 == 0 and torch.backends.cuda.can_use_flash_attention(asked):
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention(q, k, v)[:2]
        return out, lse
    if q.shape[-1] % 8 == 0 and torch.backends.cuda.can_use_efficient_attention(asked):
        out, lse = torch.ops.aten._scaled_dot_product_efficient_attention(q, k, v, None, True)[:2]
        return out, lse[..., : q.shape[-2]]
    return None


def _by_rows(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Output and log-sum-exp without a kernel."""
    wide = torch.promote_types(q.dtype, torch.float32)
    scale, turned, values = 1.0 / math.sqrt(q.shape[-1]), k.to(wide).transpose(-1, -2), v.to(wide)
    outs, sums = [], []
    rows = rows_that_fit(4 * q.shape[0] * q.shape[1] * k.shape[-2], PIECE_BYTES)
    for first in range(0, q.shape[-2], rows):
        logits = (q[..., first : first + rows, :].to(wide) * scale) @ turned
        sums.append(torch.logsumexp(logits, dim=-1))
        outs.append(torch.exp(logits - sums[-1][..., None]) @ values)
    return torch.cat(outs, dim=-2).to(q.dtype), torch.cat(sums, dim=-1)


class Attention(nn.Module):
    """Multi-head attention with the published head split.

    Self-attention concatenates the outputs of q, k, v along the features, views them as (H, 3 D) and splits inside each
    head; cross-attention does the same with k and v only. A plain split per projection gives wrong results.

    Args:
        width: W of the queries and of the output.
        heads: H.
        context_width: width of the context of a cross-attention; None makes a self-attention.
        qk_norm: RMS-normalise q and k per head (Stage 0 and Stage I).
        context_norm: layer-norm the context first (the VAE's cross-attention).
    Attributes:
        attend: how attention is computed; ``use_attention`` changes it.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        context_width: int | None = None,
        qk_norm: bool = False,
        context_norm: bool = False,
    ) -> None:
        super().__init__()
        self.attend: Attend = attend
        self.heads = heads
        self.is_self = context_width is None
        source = width if context_width is None else context_width
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(source, width, bias=False)
        self.to_v = nn.Linear(source, width, bias=False)
        self.to_out = nn.Linear(width, width)
        self.norm_q = RmsNorm(width // heads) if qk_norm else nn.Identity()
        self.norm_k = RmsNorm(width // heads) if qk_norm else nn.Identity()
        self.norm_cross = LayerNorm32(source) if context_norm else nn.Identity()

    def _split(self, joined: Tensor, parts: int) -> list[Tensor]:
        """[B, S, parts * W] -> parts tensors [B, H, S, D], split inside each head."""
        batch, length, _ = joined.shape
        heads = joined.view(batch, length, self.heads, -1).transpose(1, 2)
        return list(heads.chunk(parts, dim=-1))

    def self_projections(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q, k, v [B, H, S, D] of a self-attention; q and k normalised."""
        q, k, v = self._split(torch.cat([self.to_q(x), self.to_k(x), self.to_v(x)], dim=-1), 3)
        return self.norm_q(q), self.norm_k(k), v

    def queries(self, x: Tensor) -> Tensor:
        """q [B, H, S, D] of a cross-attention, normalised."""
        return self.norm_q(self._split(self.to_q(x), 1)[0])

    def keys_values(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """k, v [B, H, S', D] of a cross-attention; k normalised. They depend on the context alone: compute them
        once."""
        context = self.norm_cross(context)
        k, v = self._split(torch.cat([self.to_k(context), self.to_v(context)], dim=-1), 2)
        return self.norm_k(k), v

    def join(self, heads: Tensor) -> Tensor:
        """[B, H, S, D] -> output projection [B, S, W]."""
        batch, _, length, _ = heads.shape
        return self.to_out(heads.transpose(1, 2).reshape(batch, length, -1))


def attention_rows(q: Tensor, k: Tensor) -> Tensor:
    """Softmaxed attention probabilities of some query rows, float32: [..., R, D] x [..., S', D] -> [..., R, S'] (Eq.
    1).

    Materialises R x S' values a head: call it on tiles of rows.
    """
    scale = 1.0 / math.sqrt(q.shape[-1])
    return torch.softmax((q.float() * scale) @ k.float().transpose(-1, -2), dim=-1)


def use_attention(network: nn.Module, way: Attend) -> None:
    """Let all attention of a network be computed in another way."""
    for module in network.modules():
        if isinstance(module, Attention):
            module.attend = way


class FeedForward(nn.Module):
    """Linear, exact GELU, Linear; inner width 4 W.

    Attributes:
        piece_bytes: the largest temporary array; ``use_pieces`` changes it.
    """

    def __init__(self, width: int, ratio: float = 4.0) -> None:
        super().__init__()
        self.piece_bytes = PIECE_BYTES
        self.inner = nn.Linear(width, int(width * ratio))
        self.outer = nn.Linear(int(width * ratio), width)

    def forward(self, x: Tensor) -> Tensor:
        rows = rows_that_fit(self.inner.out_features * x.element_size(), self.piece_bytes)
        if x.numel() <= rows * x.shape[-1]:
            return self.outer(F.gelu(self.inner(x)))
        flat = x.reshape(-1, x.shape[-1])
        # Parts of one length: kernels are chosen, and on the CPU kept, for every length anew.
        rows = math.ceil(len(flat) / math.ceil(len(flat) / rows))
        parts = [self.outer(F.gelu(self.inner(flat[i : i + rows]))) for i in range(0, len(flat), rows)]
        return torch.cat(parts).view(x.shape)


def use_pieces(network: nn.Module, piece_bytes: int) -> None:
    """Let a network work in pieces of another size."""
    for module in network.modules():
        if isinstance(module, FeedForward):
            module.piece_bytes = piece_bytes


class PointEmbedding(nn.Module):
    """x, then sin and cos of x * 2^k for k = 0 .. frequencies - 1, without pi: [..., 3] -> [..., 3 (2 frequencies +
    1)]."""

    def __init__(self, frequencies: int) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.width = 3 * (2 * frequencies + 1)

    def forward(self, points: Tensor) -> Tensor:
        # float32 throughout: 2^7 x in bfloat16 would lose the position altogether.
        scales = 2.0 ** torch.arange(self.frequencies, device=points.device)
        angles = (points.float()[..., None] * scales).flatten(-2)
        return torch.cat([points.float(), angles.sin(), angles.cos()], dim=-1)


class TimeEmbedding(nn.Module):
    """Sinusoid of the timestep (sine half first, cosine half second, no frequency shift), then a GELU MLP of width 4
    W."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.waves = width // 2
        self.linear_1 = nn.Linear(width, 4 * width)
        self.linear_2 = nn.Linear(4 * width, width)

    def forward(self, time: Tensor) -> Tensor:
        """time [B] in 0 .. 1000 -> [B, W]."""
        # Not a buffer: a cast of the module to half precision would round the rates.
        rates = torch.exp(-math.log(10000.0) * torch.arange(self.waves, device=time.device) / self.waves)
        angles = time.float()[:, None] * rates
        wave = torch.cat([angles.sin(), angles.cos()], dim=-1).to(self.linear_1.weight.dtype)
        return self.linear_2(F.gelu(self.linear_1(wave)))


def rotary_table(steps: Tensor, width: int, base: float = 10000.0) -> Tensor:
    """Rotary embedding for positions [B, S] and head width D: cos + i sin [B, S, D / 2], complex64."""
    rates = base ** (-torch.arange(0, width, 2, device=steps.device, dtype=torch.float32) / width)
    angles = steps.float()[..., None] * rates
    return torch.complex(angles.cos(), angles.sin())


def rotate_pairs(x: Tensor, table: Tensor, piece_bytes: int = PIECE_BYTES) -> Tensor:
    """Rotate adjacent feature pairs of [B, H, S, D] by the angles of ``rotary_table``; float32 inside, in pieces."""
    heads = rows_that_fit(4 * x.shape[0] * x.shape[2] * x.shape[3], piece_bytes)
    if heads < x.shape[1] and not torch.is_grad_enabled():
        out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        for first in range(0, x.shape[1], heads):
            out[:, first : first + heads] = rotate_pairs(x[:, first : first + heads], table, piece_bytes)
        return out
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    # What was widened is a copy already: it is turned in place.
    turned = pairs * table[:, None] if x.dtype == torch.float32 else pairs.mul_(table[:, None])
    return torch.view_as_real(turned).flatten(-2).to(x.dtype)
