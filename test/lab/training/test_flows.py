"""Flow stages: times, noise, tokens that stay with their surface points, sampling."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from attnchain_ros.lab.training import looking
from attnchain_ros.lab.training.data import open_windows
from attnchain_ros.lab.training.flows import (
    draw_times,
    encode_window,
    pair_noise,
    sample_window,
    tied_noise,
    window_surface,
)
from attnchain_ros.lab.training.recipe import FlowConfig, Recipe
from attnchain_ros.lab.training.stages import data_folder, load_flow, load_vae, make_task


def test_times_favour_the_noisy_end() -> None:
    times = draw_times(20000, FlowConfig(late_times=0.4), torch.Generator().manual_seed(0))
    assert 0.0 <= times.min() and times.max() <= 1.0
    # 0.4 late ones, and of the others a quarter uniform (10 % late) and the rest 5 of 55 late.
    expected = 0.4 + 0.6 * (0.25 * 0.1 + 0.75 * 0.05 / 0.55)
    assert abs(float((times > 0.9).float().mean()) - expected) < 0.015


def test_a_share_of_the_times_is_where_sampling_starts() -> None:
    config = FlowConfig(first_times=0.3)
    times = draw_times(20000, config, torch.Generator().manual_seed(0))
    assert abs(float((times == 1.0).float().mean()) - 0.3) < 0.01
    rest = times[times < 1.0]
    others = draw_times(20000, FlowConfig(), torch.Generator().manual_seed(0))
    assert not (others == 1.0).any() and abs(float(rest.mean() - others.mean())) < 0.01


def test_tied_noise_has_unit_variance_and_the_asked_correlation() -> None:
    anchor = torch.randn(4, 500, 8, generator=torch.Generator().manual_seed(1))
    noise = tied_noise(anchor, 0.8, torch.Generator().manual_seed(2))
    # 16000 values: standard error below 0.01.
    assert abs(float(noise.std()) - 1.0) < 0.03
    assert abs(float((noise * anchor).mean()) - 0.8) < 0.03
    assert torch.equal(tied_noise(anchor, 1.0, torch.Generator()), anchor)


def test_tokens_stay_with_their_surface_points(work: Path, recipe: Recipe) -> None:
    windows = open_windows(data_folder(work), "train")
    surface = window_surface(windows, np.array([0, 3]), np.array([[0, 1, 3], [2, 0, 1]]))
    vae = load_vae(recipe, work)
    anchor = torch.tensor([0, 1])
    latents, again, rows = encode_window(vae, surface, anchor, recipe.vae.tokens, np.random.default_rng(5))
    assert latents.shape == (2, 3, 12, 4) and again.shape == (2, 12, 4) and rows.shape == (2, 12)
    # Encoded once more from other points of the same surface: alike, not the same.
    own = latents[torch.arange(2), anchor]
    assert not torch.equal(own, again)
    assert (own - again).square().mean() < 0.5 * own.var()
    # Token i of a frame is the encoding whose query is row i's point in that frame.
    points = surface[1, 2]
    alone, _ = vae.encode(points[rows[1]][None], points[None])
    nearest = torch.cdist(latents[1, 2], alone[0]).argmin(dim=1)
    assert (nearest == torch.arange(12)).float().mean() > 0.7


def test_paired_noise_is_a_permutation_that_shortens_the_way() -> None:
    generator = torch.Generator().manual_seed(6)
    latents, noise = (torch.randn(3, 10, 4, generator=generator) for _ in range(2))
    paired = pair_noise(noise, latents)
    assert torch.equal(paired.sort(dim=1).values, noise.sort(dim=1).values)
    assert ((paired - latents).square().sum((1, 2)) < (noise - latents).square().sum((1, 2))).all()
    shuffled = latents[:, torch.randperm(10, generator=generator)]
    torch.testing.assert_close(pair_noise(shuffled, latents), latents)


def test_drawn_frames_ascend_and_have_the_anchor(work: Path, recipe: Recipe) -> None:
    task = make_task("temporal", recipe, work)
    frames, anchor = task.draw_frames(200, 3, np.random.default_rng(0))
    assert (np.diff(frames, axis=1) > 0).all()
    first = frames[np.arange(200), anchor.numpy()]
    assert 0.75 < (first == 0).mean() < 0.95
    whole, _ = task.draw_frames(5, 4, np.random.default_rng(1))
    assert (whole == np.arange(4)).all()


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny pictures have 4 x 4 labels, about half a unit apart."""
    monkeypatch.setattr(looking, "SEEN_WITHIN", 0.3)


def test_looking_is_added_to_the_loss(work: Path, recipe: Recipe, coarse: None) -> None:
    """The same step with and without it: the difference is the weight times what the log calls looking."""
    weight = 0.3
    changed = dataclasses.replace(recipe.temporal, look_weight=weight, look_layers="1,2", drop_context=0.0)
    losses, figures = {}, {}
    for name, temporal in (("with", changed), ("without", dataclasses.replace(changed, look_weight=0.0))):
        task = make_task("temporal", dataclasses.replace(recipe, temporal=temporal), work)
        task.network.load_state_dict(load_flow(recipe, work, "temporal").state_dict())
        loss, figures[name] = task.loss(0, np.random.default_rng(0), torch.Generator().manual_seed(0))
        losses[name] = float(loss.detach())
    assert "looking" not in figures["without"] and figures["with"]["looking"] > 0
    assert abs(losses["with"] - losses["without"] - weight * figures["with"]["looking"]) < 1e-5
    assert figures["with"]["conditioned"] == figures["without"]["conditioned"]


def test_tokens_in_front_are_seen_and_others_are_not(work: Path, recipe: Recipe, coarse: None) -> None:
    task = make_task("temporal", recipe, work)
    clips, frames = np.array([0, 1, 2]), np.array([[0, 3], [1, 2], [0, 1]])
    points = window_surface(task.windows, clips, frames)[..., :3].flatten(0, 1)
    grid = recipe.data.image_size // recipe.image_encoder.patch
    patches = task.token_patches(points, clips, frames, grid)
    assert patches.shape == points.shape[:2] and -1 <= int(patches.min()) and int(patches.max()) < grid * grid
    seen = float((patches >= 0).float().mean())
    assert 0.02 < seen < 0.98


def test_sampling_keeps_the_anchor(work: Path, recipe: Recipe) -> None:
    network = load_flow(recipe, work, "temporal")
    anchor = torch.randn(2, 12, 4, generator=torch.Generator().manual_seed(3))
    made = sample_window(network, anchor, None, 0.8, torch.Generator().manual_seed(4))
    assert made.shape == (2, 4, 12, 4)
    assert torch.equal(made[:, 0], anchor)
    assert torch.isfinite(made).all() and not torch.equal(made[:, 1], anchor)
