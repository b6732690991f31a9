"""Networks of a published checkpoint as the start of a training (``Recipe.start_weights``)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ...backbone.weights import (
    IMAGE_ENCODER_ZERO,
    first_few,
    load_dino,
    load_stage_one,
    load_stage_zero,
    load_vae,
)
from ...errors import ConfigError

_LOADERS: dict[str, Any] = {
    "vae": load_vae,
    "image-encoder": lambda folder: load_dino(folder / IMAGE_ENCODER_ZERO),
    "image-to-3d": load_stage_zero,
    "temporal": load_stage_one,
}


def load_start(network: Any, stage: str, folder: Path) -> None:
    """Fill an untrained network with the published weights of its stage.

    Args:
        network: what the recipe asks for; of the image encoder the vision transformer without its heads.
        stage: 'vae', 'image-encoder', 'image-to-3d' or 'temporal'.
        folder: checkpoint folder in the published layout.
    Raises:
        WeightsError: a file is missing or damaged.   ConfigError: the recipe's sizes are not those of the weights.
    """
    published = _LOADERS[stage](folder)
    found, wanted = (dataclasses.asdict(one.sizes) for one in (published, network))
    if stage == "image-to-3d":
        # The layout does not say how many tokens Stage 0 was trained on, and no weight depends on it.
        found["tokens"] = wanted["tokens"]
    wrong = [f"{name} is {found[name]}, the recipe has {wanted[name]}" for name in found if found[name] != wanted[name]]
    if wrong:
        raise ConfigError(f"start_weights {folder}, {stage}: {first_few(wrong)}: change the recipe to these sizes")
    network.load_state_dict(published.state_dict())
