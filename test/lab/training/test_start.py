"""A training may start from a published checkpoint of the same sizes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from tiny import write_tiny_checkpoint

from attnchain_ros.backbone import weights
from attnchain_ros.config import replace
from attnchain_ros.errors import ConfigError, WeightsError
from attnchain_ros.lab.training.export import export_checkpoint
from attnchain_ros.lab.training.loop import trained_weights
from attnchain_ros.lab.training.recipe import Recipe
from attnchain_ros.lab.training.stages import TRAINED, make_task, run_stage

SIZES = {
    "vae.width_encoder": 24,
    "vae.layers_decoder": 2,
    "vae.channels": 6,
    "image_encoder.width": 20,
    "image_encoder.ratio": 2,
}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("published"), inflated=(0, 1, 2))


@pytest.fixture(scope="module")
def started(recipe: Recipe, published: Path) -> Recipe:
    made: Recipe = replace(recipe, {**SIZES, "start_weights": str(published)})
    return made


def test_every_stage_starts_from_the_published_weights_and_trains(
    started: Recipe, published: Path, work: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").symlink_to(work / "data")
    vae = weights.load_vae(published)
    loaders = {"vae": lambda: vae, "image-to-3d": lambda: weights.load_stage_zero(published)}
    loaders["temporal"] = lambda: weights.load_stage_one(published)
    for stage in TRAINED:
        network = make_task(stage, started, tmp_path).network
        if stage in loaders:
            wanted = loaders[stage]().state_dict()
            assert set(wanted) == set(network.state_dict())
            for name, value in network.state_dict().items():
                assert torch.equal(value, wanted[name]), (stage, name)
            assert all(value.requires_grad for value in network.parameters())
        run_stage(stage, started, tmp_path)
    # Some steps later the weights are others, of the same layout: the same commands export them.
    assert not torch.equal(trained_weights(tmp_path / "vae")["quant.weight"], vae.quant.weight)
    export_checkpoint(started, tmp_path, tmp_path / "out")
    assert weights.load_vae(tmp_path / "out").sizes == vae.sizes


def test_the_image_encoder_is_the_published_one(started: Recipe, published: Path, work: Path) -> None:
    encoder = make_task("image-encoder", started, work).network.encoder
    wanted = weights.load_dino(published / weights.IMAGE_ENCODER_ZERO).state_dict()
    assert set(wanted) == set(encoder.state_dict())
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, wanted[name]), name


@pytest.mark.parametrize(
    ("stage", "change", "message"),
    [
        ("vae", {"vae.channels": 4}, "vae: channels is 6, the recipe has 4: change the recipe"),
        ("image-encoder", {"image_encoder.heads": 10}, "image-encoder: heads is 2, the recipe has 10"),
    ],
)
def test_other_sizes_are_named(stage: str, change: dict[str, int], message: str, started: Recipe, work: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        make_task(stage, replace(started, change), work)


def test_a_missing_folder_is_named(started: Recipe, work: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="nowhere"):
        make_task("vae", dataclasses.replace(started, start_weights=str(tmp_path / "nowhere")), work)
