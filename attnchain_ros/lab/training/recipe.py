"""The recipe of a checkpoint: sizes, data and optimisation of every stage, read from one JSON file."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...backbone.transformer import TransformerSizes
from ...backbone.vae import VaeSizes
from ...config import Checked, flatten, option, replace
from ...errors import ConfigError


@dataclass(frozen=True)
class OptimConfig(Checked):
    """Optimisation of one stage: Muon for the matrices inside blocks, AdamW for everything else.

    The learning rate rises over ``warmup`` steps, stays, and falls linearly to zero over the last ``decay_share``.
    """

    steps: int = option(1000, "optimiser steps", low=1)
    batch: int = option(16, "samples of a step in one process", low=1)
    muon_rate: float = option(0.02, "learning rate of Muon", low=0.0, high=1.0)
    adam_rate: float = option(1e-3, "learning rate of AdamW", low=0.0, high=1.0)
    weight_decay: float = option(0.01, "decoupled weight decay of the matrices", low=0.0, high=1.0)
    warmup: int = option(50, "steps over which the learning rate rises", low=0)
    decay_share: float = option(0.5, "share of the steps over which the learning rate falls to zero", low=0.0, high=1.0)
    clip_norm: float = option(1.0, "gradients are scaled down to this norm", low=1e-6)
    average: float = option(0.0, "decay of the exported running average of the weights; 0: none", low=0.0, high=0.99999)
    checkpoint_every: int = option(200, "steps between checkpoints", low=1)
    evaluate_every: int = option(500, "steps between evaluations", low=1)
    log_every: int = option(20, "steps between lines of the log", low=1)


@dataclass(frozen=True)
class DataConfig(Checked):
    """Synthetic clips, one window of consecutive frames each, seen by a static camera.

    A camera that moves is not in the data: in a picture that is cropped to the object, on white, an orbit looks the
    same as an object that turns.
    """

    families: str = option(
        "creature", "'creature' alone, or the mixture of all 'trained' families", choices=("creature", "trained")
    )
    clips: int = option(5000, "training clips", low=1)
    validation_clips: int = option(64, "held-out clips", low=1)
    shard_clips: int = option(250, "clips of one shard", low=1)
    frames: int = option(16, "frames of a clip", low=2, high=240)
    surface_points: int = option(1024, "tracked surface points", low=16)
    image_size: int = option(64, "side of the cropped pictures", unit="px", low=8)
    rays_per_side: int = option(2, "colours are the mean over this many squared rays a pixel", low=1, high=8)
    label_stride: int = option(4, "dense labels are kept at every so many pixels", unit="px", low=1)
    workers: int = option(2, "processes that make shards", low=1, high=64)


@dataclass(frozen=True)
class VaeConfig(Checked):
    """Shape VAE."""

    tokens: int = option(64, "tokens N", low=1)
    channels: int = option(16, "latent channels c", low=1)
    width_encoder: int = option(128, "width of the encoder", low=8)
    width_decoder: int = option(128, "width of the decoder", low=8)
    layers_encoder: int = option(2, "self-attention layers of the encoder", low=1)
    layers_decoder: int = option(3, "self-attention layers of the decoder", low=1)
    heads: int = option(4, "heads", low=1)
    frequencies: int = option(8, "octaves of the point embedding", low=1, high=12)
    kl_weight: float = option(1e-4, "weight of the mean KL divergence a latent value", low=0.0)
    points: int = option(1024, "query points a shape and step", low=16)
    freeze_share: float = option(0.6, "share of the steps after which the encoder is frozen", low=0.0, high=1.0)
    latent_noise: float = option(0.1, "noise on the latents while the decoder goes on alone", low=0.0, high=1.0)
    optim: OptimConfig = field(default_factory=OptimConfig)

    def sizes(self) -> VaeSizes:
        """Sizes of the network."""
        return VaeSizes(
            self.width_encoder,
            self.width_decoder,
            self.layers_encoder,
            self.layers_decoder,
            self.heads,
            self.channels,
            self.frequencies,
        )


@dataclass(frozen=True)
class ImageEncoderConfig(Checked):
    """Image encoder (a DINOv2 vision transformer), trained densely on known masks, parts and positions, then frozen."""

    width: int = option(128, "width of the tokens", low=8)
    layers: int = option(4, "layers", low=1)
    heads: int = option(4, "heads", low=1)
    ratio: int = option(3, "inner width of the feed-forward over the width", low=1)
    patch: int = option(8, "side of a patch", unit="px", low=1)
    optim: OptimConfig = field(default_factory=OptimConfig)


@dataclass(frozen=True)
class FlowConfig(Checked):
    """A flow transformer: Stage 0 (image to 3D) or Stage I (temporal)."""

    width: int = option(128, "width", low=8)
    layers: int = option(7, "layers, an odd number", low=3)
    heads: int = option(4, "heads", low=1)
    start_from: str = option(
        "",
        "stage whose weights to start from: the same network, and what pictures tell about shapes is learned in either",
        choices=("", "temporal", "image-to-3d"),
    )
    drop_context: float = option(0.1, "share of steps without pictures, for guidance", low=0.0, high=1.0)
    late_times: float = option(0.4, "share of diffusion times drawn between 0.9 and 1", low=0.0, high=1.0)
    first_times: float = option(0.0, "share of diffusion times at 1, where sampling starts", low=0.0, high=1.0)
    anchor_noise: float = option(0.8, "share of the anchor in the source noise (temporal only)", low=0.0, high=1.0)
    look_weight: float = option(
        0.0,
        "weight of the loss by which tokens look at the patch where their surface point is seen (temporal only)",
        low=0.0,
        high=10.0,
    )
    look_layers: str = option("2,3,4", "layers that this loss is on: 'all' or indices (temporal only)")
    short_frames: int = option(8, "frames of a sample while training starts (temporal only)", low=2)
    short_share: float = option(0.6, "share of the steps on short samples (temporal only)", low=0.0, high=1.0)
    short_batch: int = option(16, "samples of a step on short samples (temporal only)", low=1)
    optim: OptimConfig = field(default_factory=OptimConfig)

    def sizes(self, vae: VaeConfig, context_width: int, frames: int = 1) -> TransformerSizes:
        """Sizes of the network; ``frames`` above 1 inflates every layer."""
        inflated = tuple(range(self.layers)) if frames > 1 else ()
        return TransformerSizes(
            self.width, self.heads, self.layers, vae.channels, context_width, inflated, frames, vae.tokens
        )


@dataclass(frozen=True)
class Recipe(Checked):
    """Everything that a checkpoint is made from."""

    name: str = option("small", "name of the checkpoint")
    seed: int = option(0, "seed of all randomness", low=0)
    start_weights: str = option(
        "", "folder in the published layout whose networks every stage starts from; '' starts from nothing"
    )
    data: DataConfig = field(default_factory=DataConfig)
    vae: VaeConfig = field(default_factory=VaeConfig)
    image_encoder: ImageEncoderConfig = field(default_factory=ImageEncoderConfig)
    image_to_3d: FlowConfig = field(default_factory=FlowConfig)
    temporal: FlowConfig = field(default_factory=FlowConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.data.image_size % self.image_encoder.patch:
            raise ConfigError(
                f"data.image_size is {self.data.image_size}, wanted a multiple of image_encoder.patch "
                f"({self.image_encoder.patch})"
            )
        if self.image_encoder.patch % self.data.label_stride:
            raise ConfigError(
                f"image_encoder.patch is {self.image_encoder.patch}, wanted a multiple of data.label_stride "
                f"({self.data.label_stride})"
            )
        if self.data.surface_points < self.vae.tokens:
            raise ConfigError(
                f"data.surface_points is {self.data.surface_points}, wanted at least vae.tokens ({self.vae.tokens})"
            )
        if self.temporal.short_frames > self.data.frames:
            raise ConfigError(
                f"temporal.short_frames is {self.temporal.short_frames}, data.frames only {self.data.frames}"
            )
        for stage, width, heads in (
            ("vae", self.vae.width_encoder, self.vae.heads),
            ("vae", self.vae.width_decoder, self.vae.heads),
            ("image_encoder", self.image_encoder.width, self.image_encoder.heads),
            ("image_to_3d", self.image_to_3d.width, self.image_to_3d.heads),
            ("temporal", self.temporal.width, self.temporal.heads),
        ):
            if width % heads or (width // heads) % 2:
                raise ConfigError(f"{stage}: width {width} cannot be split into {heads} heads of even width")
        if self.start_weights and (self.image_to_3d.start_from or self.temporal.start_from):
            raise ConfigError(
                f"start_weights is {self.start_weights!r} and a stage has start_from: a stage starts from one of them, "
                "set the other to ''"
            )
        if self.image_to_3d.start_from or self.temporal.start_from:
            one, other = self.image_to_3d, self.temporal
            if (one.width, one.heads, one.layers) != (other.width, other.heads, other.layers):
                raise ConfigError("start_from needs image_to_3d and temporal of one size (width, heads, layers)")
        for stage, layers in (("image_to_3d", self.image_to_3d.layers), ("temporal", self.temporal.layers)):
            if layers % 2 == 0:
                raise ConfigError(f"{stage}.layers is {layers}, wanted an odd number")


def _leaves(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested JSON objects to dotted names."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found.update(_leaves(value, f"{prefix}{name}."))
        else:
            found[prefix + name] = value
    return found


def recipe_from(tree: dict[str, Any]) -> Recipe:
    """A recipe from nested JSON objects; what is not named keeps its default.

    Raises:
        ConfigError: a name is unknown, or a value has the wrong type or is outside its range.
    """
    known = flatten(Recipe())
    changes = _leaves(tree)
    for name, value in changes.items():
        if name not in known:
            continue
        default = known[name][1]
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            changes[name] = float(value)
        elif type(value) is not type(default):
            raise ConfigError(f"recipe: {name} is {value!r}, wanted {type(default).__name__}")
    made: Recipe = replace(Recipe(), changes)
    return made


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe file.

    Raises:
        ConfigError: the file is missing or no JSON object, or a value cannot be used.
    """
    try:
        tree = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"recipe {path} cannot be read as JSON: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"recipe {path} holds a {type(tree).__name__}, wanted an object")
    try:
        return recipe_from(tree)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def recipe_tree(recipe: Recipe) -> dict[str, Any]:
    """The recipe as nested JSON objects, every value spelled out."""
    return dataclasses.asdict(recipe)
