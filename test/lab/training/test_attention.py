"""The written-out attention is the fused one."""

from __future__ import annotations

import torch

from attnchain_ros.backbone import layers
from attnchain_ros.backbone.transformer import FlowTransformer, TransformerSizes
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
    network = FlowTransformer(TransformerSizes(8, 2, 2, 4, 8, inflated_layers=(0,), frames=2, tokens=3))
    ways = [module for module in network.modules() if isinstance(module, layers.Attention)]
    assert len(ways) == 4
    with quick_gradients(network):
        assert all(module.attend is explicit_attention for module in ways)
    assert all(module.attend is layers.attend for module in ways)


def test_a_network_computes_the_same_with_it() -> None:
    torch.manual_seed(1)
    network = FlowTransformer(TransformerSizes(8, 2, 2, 4, 8, inflated_layers=(0,), frames=2, tokens=3))
    latents, keys = torch.randn(1, 2, 3, 4), network.project_context(torch.randn(2, 5, 8))
    inputs = latents, torch.full((1, 2), 500.0), keys, torch.arange(2)[None]
    with torch.no_grad():
        plain = network(*inputs)
        with quick_gradients(network):
            torch.testing.assert_close(network(*inputs), plain, atol=1e-5, rtol=1e-5)
