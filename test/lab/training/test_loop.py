"""Training learns, survives an interruption bit for bit, and says what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from attnchain_ros.errors import ConfigError, WeightsError
from attnchain_ros.lab.training.curves import plot_curves, read_log
from attnchain_ros.lab.training.loop import averaged_weights, read_checkpoint, train, trained_weights
from attnchain_ros.lab.training.optim import Optimiser, split_parameters
from attnchain_ros.lab.training.recipe import OptimConfig, Recipe
from attnchain_ros.lab.training.stages import load_vae, make_task, run_stage


@pytest.mark.parametrize("stage", ["vae", "temporal"])
def test_resumed_training_is_uninterrupted_training(stage: str, work: Path, recipe: Recipe, tmp_path: Path) -> None:
    steps = {"vae": recipe.vae.optim.steps, "temporal": recipe.temporal.optim.steps}[stage]
    task = make_task(stage, recipe, work)
    half = steps // 2 + 1
    # A time limit that is over at once takes one step a call; the schedule does not see it.
    for taken in range(1, half + 1):
        assert train(make_task(stage, recipe, work), tmp_path, recipe.seed, resume=True, minutes=1e-9) == taken
    assert train(task, tmp_path, recipe.seed, resume=True) == steps
    whole, step = read_checkpoint(work / stage)
    parts, other = read_checkpoint(tmp_path)
    assert step == other == steps
    assert set(whole) == set(parts)
    for name, value in whole.items():
        assert torch.equal(value, parts[name]), name


def test_every_stage_lowers_its_loss(work: Path) -> None:
    for stage in ("vae", "image-encoder"):
        losses = [line["loss"] for line in read_log(work / stage) if "loss" in line]
        assert sum(losses[-2:]) < sum(losses[:2]), stage
    for stage in ("image-to-3d", "temporal"):
        held_out = [line for line in read_log(work / stage) if any(name.startswith("held_out") for name in line)]
        assert held_out, stage


def test_muon_takes_the_matrices_inside_blocks(work: Path, recipe: Recipe) -> None:
    matrices, others = split_parameters(make_task("temporal", recipe, work).network)
    assert all(value.ndim == 2 and "blocks." in name for name, value in matrices.items())
    assert {"proj_in.weight", "proj_out.weight", "blocks.0.norm_self.weight"} <= set(others)
    assert "blocks.1.feed_forward.inner.weight" in matrices


def test_learning_rate_rises_stays_and_falls_to_zero() -> None:
    optimiser = Optimiser(nn.Linear(2, 2), OptimConfig(steps=100, warmup=10, decay_share=0.5))
    factors = [optimiser.factor(step) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == factors[30] == factors[50] == 1.0
    assert factors[75] == pytest.approx(0.5)
    assert factors[100] == 0.0


def test_running_average_is_used_and_taken_out_again() -> None:
    layer = nn.Linear(2, 2)
    optimiser = Optimiser(layer, OptimConfig(average=0.9))
    before = layer.weight.detach().clone()
    optimiser.average["weight"] = torch.full((2, 2), 7.0)
    with averaged_weights(layer, optimiser):
        assert torch.equal(layer.weight.detach(), torch.full((2, 2), 7.0))
    assert torch.equal(layer.weight.detach(), before)


def test_the_encoder_stays_as_it_was_frozen(work: Path, recipe: Recipe, tmp_path: Path) -> None:
    freeze_at = round(recipe.vae.freeze_share * recipe.vae.optim.steps)
    for _ in range(freeze_at + 1):
        train(make_task("vae", recipe, work), tmp_path / "vae", recipe.seed, resume=True, minutes=1e-9)
    early, late = trained_weights(tmp_path / "vae"), trained_weights(work / "vae")
    changed = {name for name in early if not torch.equal(early[name], late[name])}
    assert changed
    assert not any(name.startswith(("encoder.", "quant.")) for name in changed)
    latents = load_vae(recipe, work)
    assert not any(value.requires_grad for value in latents.parameters())


def test_stages_refuse_what_cannot_work(work: Path, recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--resume"):
        run_stage("vae", recipe, work)
    with pytest.raises(ConfigError, match="stage is 'all'"):
        run_stage("all", recipe, work)
    with pytest.raises(WeightsError, match="vae"):
        load_vae(recipe, tmp_path)
    train(make_task("vae", recipe, work), tmp_path / "vae", recipe.seed, resume=True, minutes=1e-9)
    with pytest.raises(WeightsError, match="step 1"):
        load_vae(recipe, tmp_path)


def test_curves(work: Path, tmp_path: Path) -> None:
    plot_curves(work, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(WeightsError, match="no training logs"):
        plot_curves(tmp_path, tmp_path / "curves.png")
    (tmp_path / "vae").mkdir()
    lines = [json.dumps({"step": 1, "loss": loss}) for loss in (2.0, 1.0)]
    (tmp_path / "vae" / "log.jsonl").write_text("\n".join(lines))
    assert [line["loss"] for line in read_log(tmp_path / "vae")] == [1.0]
