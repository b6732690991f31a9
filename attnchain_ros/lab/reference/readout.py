"""Literal twin of ``backbone.readout``: softmax the full inflated matrix in float64 and cut it up."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def token_maps(
    queries: list[Tensor], keys: list[Tensor], frames: int, tokens: int, direction: str, renormalise: bool
) -> tuple[Tensor, Tensor]:
    """A_{Za->Zf} and its mass from the q and k of every layer read.

    Args:
        queries, keys: one [H, F (N + 1), D] tensor for each layer.
        frames, tokens: F and N; frame 0 is the anchor.
        direction: 'forward', 'backward' or 'both'.
        renormalise: divide each row by its mass inside the frame.
    Returns:
        [F, N, N] and [F, N] float64.
    """
    parts, masses = [], []
    for name in ("forward", "backward"):
        if direction not in (name, "both"):
            continue
        mean = torch.zeros(frames, tokens, tokens, dtype=torch.float64)
        for q, k in zip(queries, keys, strict=True):
            for head in range(q.shape[0]):
                full = torch.softmax(q[head].double() @ k[head].double().T / math.sqrt(q.shape[-1]), dim=-1)
                for frame in range(frames):
                    for t in range(tokens):
                        for s in range(tokens):
                            here = 1 + t
                            there = frame * (tokens + 1) + 1 + s
                            mean[frame, t, s] += full[here, there] if name == "forward" else full[there, here]
        mean /= len(queries) * queries[0].shape[0]
        mass = mean.sum(-1)
        parts.append(mean / mass[..., None] if renormalise else mean)
        masses.append(mass)
    result, mass = torch.stack(parts).mean(0), torch.stack(masses).mean(0)
    result[0] = torch.eye(tokens, dtype=torch.float64)
    mass[0] = 1.0
    return result, mass
