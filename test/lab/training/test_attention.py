"""The written-out attention is the fused one."""

from __future__ import annotations

import torch

from attnchain_ros.backbone import layers, transformer, vae
from attnchain_ros.lab.training.attention import explicit_attention, quick_gradients


def test_explicit_attention_is_the_fused_one_with_its_gradients() -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(2, 3, length, 8, requires_grad=True) for length in (5, 7, 7)]
    weight = torch.randn(2, 3, 5, 8)
    found = []
    for attend in (explicit_attention, layers.attend):
        out = attend(*inputs)
        found.append([out, *torch.autograd.grad((out * weight).sum(), inputs)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_quick_gradients_puts_the_fused_attention_back() -> None:
    with quick_gradients():
        assert transformer.attend is vae.attend is explicit_attention
    assert transformer.attend is vae.attend is layers.attend
