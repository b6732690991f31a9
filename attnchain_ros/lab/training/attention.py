"""Attention that is quick to differentiate on a CPU."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ...backbone.layers import attend, use_attention


def explicit_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """What ``backbone.layers.attend`` computes, with the map written out: [B, H, S, D] x [B, H, S', D] -> [B, H, S, D].

    The backward pass of PyTorch's fused attention takes two to five times as long on a CPU in bfloat16 (measured for 64
    to 1040 tokens, head width 32); at these sizes the map fits in memory.
    """
    scores = (q * (1.0 / math.sqrt(q.shape[-1]))) @ k.transpose(-1, -2)
    return torch.softmax(scores, dim=-1) @ v


@contextmanager
def quick_gradients(network: nn.Module) -> Iterator[None]:
    """While inside, the network computes its attention with ``explicit_attention``."""
    use_attention(network, explicit_attention)
    try:
        yield
    finally:
        use_attention(network, attend)
