"""The exported folder loads as any published checkpoint and computes what was trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Dinov2Model

from attnchain_ros.backbone import load_backbone, weights
from attnchain_ros.config import RolloutConfig, replace
from attnchain_ros.errors import ConfigError
from attnchain_ros.lab.training.data import open_windows
from attnchain_ros.lab.training.export import export_checkpoint
from attnchain_ros.lab.training.flows import encode_images
from attnchain_ros.lab.training.recipe import Recipe
from attnchain_ros.lab.training.stages import data_folder, load_encoder, load_flow, load_vae
from attnchain_ros.lab.training.study import run_study


def test_export_and_load_give_the_same_networks(work: Path, recipe: Recipe, tmp_path: Path) -> None:
    export_checkpoint(recipe, work, tmp_path, {"readout.layers": "0,1"})
    backbone = load_backbone(tmp_path, device="cpu", dtype="float32")
    assert (backbone.frames, backbone.tokens, backbone.channels) == (4, 12, 4)
    assert backbone.name == "tiny"
    assert replace(RolloutConfig(), backbone.recommended).readout.layers == "0,1"
    surface = torch.randn(1, 50, 6, generator=torch.Generator().manual_seed(0))
    points = torch.rand(1, 20, 3, generator=torch.Generator().manual_seed(1))
    images = open_windows(data_folder(work), "train").shards[0]["images"][0]
    with torch.no_grad():
        vae, encoder = load_vae(recipe, work), load_encoder(recipe, work)
        mean, _ = vae.encode(surface[:, :12], surface)
        assert torch.equal(backbone.vae.encode(surface[:, :12], surface)[0], mean)
        assert torch.equal(backbone.vae.decode(mean).logits(points), vae.decode(mean).logits(points))
        context = encode_images(encoder, torch.from_numpy(np.array(images)))
        # The pipeline's normalisation divides before it subtracts in another order: float32 rounding.
        torch.testing.assert_close(backbone.encoder_one.encode(np.array(images)), context, atol=1e-5, rtol=1e-5)
        for stage, network in (("image-to-3d", backbone.stage_zero), ("temporal", backbone.stage_one)):
            frames = network.sizes.frames
            latents = torch.randn(1, frames, 12, 4, generator=torch.Generator().manual_seed(2))
            time = torch.full((1, frames), 700.0)
            steps = torch.arange(frames)[None] if frames > 1 else None
            own = load_flow(recipe, work, stage)
            wanted = own(latents, time, own.project_context(context[:frames]), steps)
            made = network(latents, time, network.project_context(context[:frames]), steps)
            # The pipeline's keys are the same numbers; only the place of the weights in memory differs.
            torch.testing.assert_close(made, wanted, atol=1e-6, rtol=1e-5)


def test_transformers_reads_the_image_encoder(work: Path, recipe: Recipe, tmp_path: Path) -> None:
    export_checkpoint(recipe, work, tmp_path, {})
    theirs, info = Dinov2Model.from_pretrained(tmp_path / weights.IMAGE_ENCODER_ZERO, output_loading_info=True)
    assert not any(info[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    pixels = torch.randn((2, 3, recipe.data.image_size, recipe.data.image_size))
    with torch.no_grad():
        wanted = load_encoder(recipe, work)(pixels)
        torch.testing.assert_close(theirs.eval()(pixel_values=pixels).last_hidden_state, wanted, atol=1e-6, rtol=1e-6)


def test_unknown_recommendations_are_refused(work: Path, recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="layer"):
        export_checkpoint(recipe, work, tmp_path, {"readout.layer": "0"})
    assert not list(tmp_path.iterdir())


def test_study_writes_options_that_the_export_takes(work: Path, recipe: Recipe, tmp_path: Path) -> None:
    table = run_study(recipe, work, clips=1)
    assert {"layers: layer 0", "layers: all layers", "direction: forward", "direction: both"} <= set(table)
    chosen = json.loads((work / "recommended.json").read_text())
    assert set(chosen) == {"readout.layers", "readout.direction"}
    # What is chosen is what the table shows to be best.
    best = min((name for name in table if name.startswith("direction: ")), key=lambda name: table[name])
    assert best == f"direction: {chosen['readout.direction']}"
    export_checkpoint(recipe, work, tmp_path)
    options = json.loads((tmp_path / "attnchain.json").read_text())["recommended"]
    assert options["readout.layers"] == chosen["readout.layers"]
    assert options["readout.direction"] == chosen["readout.direction"]
