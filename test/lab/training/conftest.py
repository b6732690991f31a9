"""A working folder with a handful of tiny clips and every stage trained for a few steps, shared by the tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from attnchain_ros.lab.training.data import make_shard
from attnchain_ros.lab.training.recipe import Recipe, recipe_from
from attnchain_ros.lab.training.stages import data_folder, run_stage

FLOW = {"width": 32, "layers": 3, "heads": 2, "short_frames": 3, "short_batch": 2}
TINY = {
    "name": "tiny",
    "data": {
        "families": "trained",
        "clips": 6,
        "validation_clips": 3,
        "shard_clips": 4,
        "frames": 4,
        "surface_points": 96,
        "image_size": 16,
        "rays_per_side": 1,
        "workers": 1,
    },
    "vae": {
        "tokens": 12,
        "channels": 4,
        "width_encoder": 32,
        "width_decoder": 32,
        "layers_encoder": 1,
        "layers_decoder": 1,
        "heads": 2,
        "points": 64,
        "freeze_share": 0.5,
        "optim": {"steps": 12, "batch": 4, "log_every": 1, "warmup": 2, "checkpoint_every": 100, "evaluate_every": 100},
    },
    "image_encoder": {
        "width": 32,
        "layers": 1,
        "heads": 2,
        "patch": 4,
        "optim": {"steps": 6, "batch": 8, "log_every": 1, "warmup": 2},
    },
    "image_to_3d": {**FLOW, "optim": {"steps": 4, "batch": 4, "log_every": 1, "warmup": 2, "average": 0.9}},
    "temporal": {**FLOW, "optim": {"steps": 6, "batch": 2, "log_every": 1, "warmup": 2, "average": 0.9}},
}


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return recipe_from(TINY)


@pytest.fixture(scope="session")
def work(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data and all four trained stages."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("work")
    make_shard(data_folder(folder) / "validation-000000", "validation", 0, 3, recipe.data)
    make_shard(data_folder(folder) / "train-000000", "train", 0, 4, recipe.data)
    make_shard(data_folder(folder) / "train-000004", "train", 4, 2, recipe.data)
    for stage in ("vae", "image-encoder", "image-to-3d", "temporal"):
        run_stage(stage, recipe, folder)
    return folder
