"""Denoising a window: anchor, guidance, reading, reinforcement, precision, determinism."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from attnchain_ros.backbone import Backbone, TokenMaps, TokenPairs, load_backbone
from attnchain_ros.backbone.schedule import stage_one_schedule, stage_zero_schedule
from attnchain_ros.backbone.stage_one import denoise_window, source_noise
from attnchain_ros.backbone.stage_zero import denoise_image
from attnchain_ros.config import ReadoutConfig, ReinforceConfig, RolloutConfig, SamplingConfig


@pytest.fixture(scope="module")
def backbone(tiny_folder: Path) -> Backbone:
    return load_backbone(tiny_folder, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def inputs(backbone: Backbone) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """noise [F, N, c], anchor latent [N, c], context [F, P + 1, C]."""
    generator = torch.Generator().manual_seed(7)
    noise = torch.randn(4, 12, 6, generator=generator)
    return noise, torch.randn(12, 6, generator=generator), torch.randn(4, 17, 20, generator=generator)


def run(backbone: Backbone, inputs: tuple[torch.Tensor, ...], **options: object):
    noise, latent, context = inputs
    trace = options.pop("trace", None)
    config = RolloutConfig(
        readout=options.pop("readout", ReadoutConfig()),
        reinforce=options.pop("reinforce", ReinforceConfig()),
        sampling=SamplingConfig(**{"guidance": 3.0, **options}),
    )
    start = noise.clone()
    start[0] = latent
    with torch.no_grad():
        return denoise_window(backbone.stage_one, start, context, config, trace)


def test_the_anchor_keeps_its_latent(backbone: Backbone, inputs: tuple[torch.Tensor, ...]) -> None:
    found = run(backbone, inputs)
    assert found.latents[0].equal(inputs[1])
    assert not torch.allclose(found.latents[1:], inputs[0][1:], atol=1e-2)


def test_guidance_is_literal(backbone: Backbone, inputs: tuple[torch.Tensor, ...]) -> None:
    """One step by hand: free + g * (conditioned - free), with an all-zero context as the free one."""
    noise, latent, context = inputs
    network = backbone.stage_one
    start = noise.clone()
    start[0] = latent
    time = torch.tensor([[0.0, 1000.0, 1000.0, 1000.0]])
    steps = torch.arange(4)[None]
    with torch.no_grad():
        conditioned = network(start[None], time, network.project_context(context), steps)[0]
        free = network(start[None], time, network.project_context(torch.zeros_like(context)), steps)[0]
    velocity = free + 3.0 * (conditioned - free)
    expected = start + float(stage_one_schedule(1).distances[0]) * velocity
    found = run(backbone, inputs, steps=1)
    # The package replaces the all-zero context by its constant effect: equal to rounding (worst seen 1e-6).
    assert torch.allclose(found.latents[1:], expected[1:], atol=1e-5)
    unguided = run(backbone, inputs, steps=1, unguided_last_steps=1)
    only = start + float(stage_one_schedule(1).distances[0]) * conditioned
    assert torch.allclose(unguided.latents[1:], only[1:], atol=1e-5)


def test_reading_does_not_change_the_result(backbone: Backbone, inputs: tuple[torch.Tensor, ...]) -> None:
    every = run(backbone, inputs, readout=ReadoutConfig(steps="all"))
    last = run(backbone, inputs, readout=ReadoutConfig(steps="last", layers="2", row_tile=5))
    assert every.latents.equal(last.latents)
    assert every.maps.token_tokens.shape == (4, 12, 12) and every.maps.token_patches.shape == (4, 12, 16)
    assert not torch.allclose(every.maps.token_tokens, last.maps.token_tokens, atol=1e-4)


def test_reinforcement_traces_once_and_changes_the_last_steps(
    backbone: Backbone, inputs: tuple[torch.Tensor, ...]
) -> None:
    calls: list[tuple[torch.Tensor, TokenMaps]] = []

    def trace(latents: torch.Tensor, maps: TokenMaps) -> TokenPairs:
        calls.append((latents, maps))
        tokens = torch.arange(12).repeat(3)
        frames = torch.arange(1, 4).repeat_interleave(12)
        return TokenPairs(frames, tokens, tokens, torch.full((36,), 5.0))

    plain = run(backbone, inputs)
    found = run(backbone, inputs, reinforce=ReinforceConfig(mode="gain", last_steps=2), trace=trace)
    assert len(calls) == 1
    assert calls[0][0].shape == (4, 12, 6) and calls[0][0][0].equal(inputs[1])
    assert found.latents[0].equal(inputs[1])
    assert not torch.allclose(found.latents[1:], plain.latents[1:], atol=1e-5)
    off = run(backbone, inputs, reinforce=ReinforceConfig(mode="off"), trace=trace)
    assert off.latents.equal(plain.latents) and len(calls) == 1


def test_same_seed_same_result(backbone: Backbone, inputs: tuple[torch.Tensor, ...]) -> None:
    assert run(backbone, inputs).latents.equal(run(backbone, inputs).latents)


def test_source_noise() -> None:
    latent = torch.randn(12, 6, generator=torch.Generator().manual_seed(1))
    independent = source_noise(latent, 4, 0.0, torch.Generator().manual_seed(2))
    assert not torch.allclose(independent[0], independent[1], atol=0.1)
    tied = source_noise(latent, 4, 0.8, torch.Generator().manual_seed(2))
    noise = torch.randn(12, 6, generator=torch.Generator().manual_seed(2))
    assert tied[0].equal(tied[3]) and torch.allclose(tied[0], 0.8 * latent + 0.6 * noise, atol=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_near_float32(
    tiny_folder: Path, backbone: Backbone, inputs: tuple[torch.Tensor, ...], dtype: str
) -> None:
    half = load_backbone(tiny_folder, device="cpu", dtype=dtype)
    exact, rough = run(backbone, inputs), run(half, inputs)
    assert rough.latents.dtype == torch.float32 and rough.maps.token_tokens.dtype == torch.float32
    scale = float(exact.latents.abs().max())
    # Worst seen 1.5 % (bfloat16) of the largest latent over 4 guided steps.
    assert float((exact.latents - rough.latents).abs().max()) < 0.05 * scale
    assert torch.allclose(exact.maps.token_tokens, rough.maps.token_tokens, atol=0.02)


def test_stage_zero_follows_the_velocity(backbone: Backbone, inputs: tuple[torch.Tensor, ...]) -> None:
    noise, context = inputs[0][0], inputs[2][0]
    network = backbone.stage_zero
    seen: list[tuple[int, int]] = []
    with torch.no_grad():
        velocity = network(noise[None, None], torch.full((1, 1), 1000.0), network.project_context(context[None]))[0, 0]
        found = denoise_image(
            network,
            noise[None],
            context[None],
            stage_zero_schedule(1),
            1.0,
            lambda done, total: seen.append((done, total)),
        )
    assert torch.allclose(found[0], noise + velocity, atol=1e-6) and seen == [(1, 1)]


def test_a_batch_is_its_members(backbone: Backbone, inputs: tuple[torch.Tensor, ...]) -> None:
    noise, _, context = inputs
    with torch.no_grad():
        together = denoise_image(backbone.stage_zero, noise, context, stage_zero_schedule(2), 2.0)
        alone = [
            denoise_image(backbone.stage_zero, noise[i : i + 1], context[i : i + 1], stage_zero_schedule(2), 2.0)
            for i in range(4)
        ]
    # Sums of float32 in another order: worst seen 4e-7.
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


def test_surfaces_are_encoded_deterministically(backbone: Backbone) -> None:
    generator = torch.Generator().manual_seed(3)
    normals = torch.nn.functional.normalize(torch.randn(64, 3, generator=generator), dim=-1).numpy()
    first = backbone.encode_surface(0.8 * normals, normals)
    assert first.shape == (12, 6) and first.equal(backbone.encode_surface(0.8 * normals, normals))
    field = backbone.decode(first[None])
    points = torch.rand(1, 50, 3, generator=generator)
    rows = field.attention(points)
    assert torch.allclose(rows.sum(-1), torch.ones(1, 50), atol=1e-5)
    assert field.logits(points).shape == (1, 50)


def test_points_are_decoded_in_pieces_of_few_sizes(backbone: Backbone) -> None:
    generator = torch.Generator().manual_seed(3)
    whole = backbone.decode(torch.randn(3, 12, 6, generator=generator))
    points = 2.0 * torch.rand(3, 1000, 3, generator=generator) - 1.0
    seen: set[int] = set()
    hook = whole.decoder.proj_query.register_forward_hook(lambda module, inputs, out: seen.add(out.shape[1]))
    pieces = dataclasses.replace(whole, piece_bytes=3 * 100 * 4 * whole.decoder.proj_query.out_features * 4)
    for count in (1, 5, 63, 64, 65, 100, 997, 1000):
        assert torch.allclose(whole.logits(points[:, :count]), pieces.logits(points[:, :count]), rtol=1e-5, atol=1e-6)
        rows = pieces.attention(points[:, :count])
        assert rows.shape == (3, count, 12) and torch.allclose(rows, whole.attention(points[:, :count]), atol=1e-6)
    hook.remove()
    assert {64, 128, 1024} <= seen <= {64, 128, 256, 512, 1024}
    assert whole.logits(points[:1, :7]).shape == (3, 7), "one set of points serves all latents"
