from __future__ import annotations

from typing import Any

import pytest
import torch

from attnchain_ros.backbone import DecodedLatents, TokenPairs, backbone
from attnchain_ros.config import RolloutConfig, replace
from attnchain_ros.lab.experiments.bench import Bench
from attnchain_ros.lab.experiments.remember import _digest, remember


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for every time that Stage I really runs."""
    seen: list[int] = []
    real = backbone.denoise_window

    def counted(*arguments: Any, **options: Any) -> Any:
        seen.append(1)
        return real(*arguments, **options)

    monkeypatch.setattr(backbone, "denoise_window", counted)
    return seen


def test_nothing_is_computed_twice_and_everything_is_the_same(bench: Bench, calls: list[int]) -> None:
    networks = bench.backbone
    kept = remember(networks)
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(networks.tokens, networks.channels, generator=generator)
    context = torch.randn(networks.frames, 17, networks.stage_one.sizes.context_width, generator=generator)
    config = replace(RolloutConfig(), {"sampling.steps": 2})
    plain = networks.denoise(latent, context, config, 5)
    first = kept.denoise(latent, context, config, 5)
    # Options of what comes after denoising make no difference.
    again = kept.denoise(latent.clone(), context.clone(), replace(config, {"animation.k_nn": 7}), 5)
    assert len(calls) == 2 and again is first
    assert torch.equal(first.latents, plain.latents)
    assert torch.equal(first.maps.token_tokens, plain.maps.token_tokens)
    assert torch.equal(kept.decode(latent[None]).keys, networks.decode(latent[None]).keys)
    assert kept.decode(latent[None]) is kept.decode(latent[None].clone())
    # Whatever differs is computed anew: an option, the seed, one number of a tensor.
    other = context.clone()
    other[0, 0, 0] += 1e-6
    kept.denoise(latent, context, replace(config, {"sampling.guidance": 2.0}), 5)
    kept.denoise(latent, context, replace(config, {"readout.direction": "both"}), 5)
    kept.denoise(latent, context, config, 6)
    kept.denoise(latent, other, config, 5)
    assert len(calls) == 6
    # Another memory knows nothing of it.
    remember(networks).denoise(latent, context, config, 5)
    assert len(calls) == 7


def test_a_field_is_asked_once_for_the_same_points(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    networks = bench.backbone
    asked: list[int] = []
    real = type(networks.decode(torch.zeros(1, networks.tokens, networks.channels))).logits

    def counted(self: Any, points: torch.Tensor) -> torch.Tensor:
        asked.append(points.shape[1])
        return real(self, points)

    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(2, networks.tokens, networks.channels, generator=generator)
    points = torch.rand(2, 9, 3, generator=generator)
    plain = networks.decode(latents).logits(points)
    monkeypatch.setattr(DecodedLatents, "logits", counted)
    kept = remember(networks)
    field = kept.decode(latents)
    assert torch.equal(field.logits(points), plain) and torch.equal(field.logits(points.clone()), plain)
    assert asked == [9] and kept.decode(latents.clone()) is field
    field.logits(points[:, :4])
    field.logits(points + 1e-6)
    assert asked == [9, 4, 9]
    # Other latents, other values.
    assert not torch.equal(kept.decode(latents + 1).logits(points), plain)


def test_reinforcement_is_never_remembered(bench: Bench, calls: list[int]) -> None:
    networks = bench.backbone
    kept = remember(networks)
    latent = torch.zeros(networks.tokens, networks.channels)
    context = torch.zeros(networks.frames, 17, networks.stage_one.sizes.context_width)
    none = torch.zeros(0, dtype=torch.int64)
    config = replace(RolloutConfig(), {"sampling.steps": 2, "reinforce.mode": "gain"})
    for _ in range(2):
        kept.denoise(latent, context, config, 0, lambda latents, maps: TokenPairs(none, none, none, none.float()))
    assert len(calls) == 2


def test_a_tensor_is_its_bytes_its_shape_and_its_dtype(bench: Bench) -> None:
    kept = remember(bench.backbone)
    kept.decode(torch.zeros(1, bench.backbone.tokens, bench.backbone.channels, dtype=torch.bfloat16))
    four = [torch.zeros(2, 3), torch.zeros(3, 2), torch.zeros(12, dtype=torch.bfloat16), torch.zeros(6)]
    keys = [_digest(values) for values in four]
    assert len(set(keys)) == 4 and len({key[0] for key in keys}) == 1
    assert _digest(torch.arange(6.0).view(2, 3).T) == _digest(torch.arange(6.0).view(2, 3).T.contiguous())
