"""A checkpoint folder in the published layout with small random weights, made from the real classes."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import Dinov2Config, Dinov2Model

from attnchain_ros.backbone import weights
from attnchain_ros.backbone.transformer import FlowTransformer, TransformerSizes
from attnchain_ros.backbone.vae import ShapeVae, VaeSizes

CHANNELS, IMAGE_WIDTH = 6, 20


def write_tiny_checkpoint(
    folder: Path,
    *,
    frames: int = 4,
    tokens: int = 12,
    inflated: tuple[int, ...] = (0, 2),
    heads: int = 2,
    seed: int = 0,
) -> Path:
    """Write the folder and return it: VAE width 24/32, transformers of 3 layers, images of 20 px cut to 16 px."""
    torch.manual_seed(seed)
    vae = ShapeVae(VaeSizes(24, 32, 1, 2, heads, CHANNELS))
    zero = FlowTransformer(TransformerSizes(32, heads, 3, CHANNELS, IMAGE_WIDTH))
    one = FlowTransformer(TransformerSizes(32, heads, 3, CHANNELS, IMAGE_WIDTH, inflated, frames, tokens))
    weights.save_state(vae, folder / weights.VAE_FILE, weights.VAE_RULES)
    weights.save_state(zero, folder / weights.STAGE_ZERO_FILE, weights.STAGE_ZERO_RULES)
    weights.save_state(one, folder / weights.STAGE_ONE_FILE, weights.STAGE_ONE_RULES)
    shared = {
        "in_channels": CHANNELS,
        "num_attention_heads": heads,
        "num_layers": 3,
        "width": 32,
        "cross_attention_dim": IMAGE_WIDTH,
    }
    write(
        folder / "TripoSG/vae/config.json",
        in_channels=3,
        latent_channels=CHANNELS,
        num_attention_heads=heads,
        width_encoder=24,
        width_decoder=32,
        num_layers_encoder=1,
        num_layers_decoder=2,
        embedding_type="frequency",
        embed_frequency=8,
        embed_include_pi=False,
    )
    write(folder / "TripoSG/transformer/config.json", **shared)
    write(
        folder / "ActionMesh/denoiser/config.json",
        **shared,
        inflated_layers=list(inflated),
        temporal_context_size=frames,
        num_tokens_nominal=tokens,
        mlp_ratio=4.0,
    )
    write(folder / weights.SCHEDULER_FILE, num_train_timesteps=1000, shift=1.0)
    write(
        folder / weights.PREPROCESSOR_ZERO / "preprocessor_config.json",
        size={"shortest_edge": 20},
        do_center_crop=True,
        crop_size={"height": 16, "width": 16},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.25, 0.25, 0.25],
    )
    config = Dinov2Config(
        hidden_size=IMAGE_WIDTH, num_hidden_layers=1, num_attention_heads=2, mlp_ratio=2, image_size=16, patch_size=4
    )
    Dinov2Model(config).save_pretrained(folder / weights.IMAGE_ENCODER_ZERO)
    return folder


def write(path: Path, **entries: object) -> None:
    """Write a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entries), encoding="utf-8")
