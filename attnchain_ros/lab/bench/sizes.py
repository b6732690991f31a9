"""Networks from tiny to published, with random weights made on the spot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from ...backbone import Backbone
from ...backbone.dinov2 import DinoSizes, DinoV2
from ...backbone.image_encoder import ImageEncoder
from ...backbone.memory import NETWORKS, DeviceMemory
from ...backbone.transformer import FlowTransformer, TransformerSizes
from ...backbone.vae import ShapeVae, VaeSizes
from ...config import RolloutConfig, replace

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Size:
    """Sizes of all networks and the options that go with them.

    Attributes:
        name: in the command.
        vae, stage_zero, stage_one, dino: of the networks.
        picture: side in pixels of the square images that the encoder cuts its centre from.
        crop: side of that centre.
        options: of ``RolloutConfig``, changed from the defaults.
    """

    name: str
    vae: VaeSizes
    stage_zero: TransformerSizes
    stage_one: TransformerSizes
    dino: DinoSizes
    picture: int
    crop: int
    options: dict[str, Any]

    def config(self, changes: dict[str, Any] | None = None) -> RolloutConfig:
        """The options of the method at this size."""
        own = {"frames": self.stage_one.frames, **self.options, **(changes or {})}
        found: RolloutConfig = replace(RolloutConfig(), own)
        return found


def _flows(width: int, heads: int, layers: int, channels: int, context: int, tokens: int, frames: int = 16) -> Any:
    """Stage 0 and Stage I, which inflates every layer, as published."""
    zero = TransformerSizes(width, heads, layers, channels, context)
    return zero, TransformerSizes(width, heads, layers, channels, context, tuple(range(layers)), frames, tokens)


def _size(name: str, vae: VaeSizes, flows: Any, dino: DinoSizes, pixels: tuple[int, int], **options: Any) -> Size:
    zero, one = flows
    return Size(
        name,
        vae,
        zero,
        one,
        dino,
        pixels[0],
        pixels[1],
        {key.replace("__", "."): value for key, value in options.items()},
    )


SIZES = {
    size.name: size
    for size in (
        _size(
            "tiny", VaeSizes(32, 32, 1, 1, 2, 8), _flows(32, 2, 3, 8, 32, 16, 4), DinoSizes(32, 2, 2, 8, 32), (32, 32),
            surface__grid=16, surface__candidate_grid=16, surface__coarse_grid=8, surface__n_surface=300,
            surface__target_vertices=400, encode_points=256, animation__landmarks=40, tracks__max_queries=40,
            sampling__steps=2, sampling__stage0_steps=4,
        ),
        _size(
            "small", VaeSizes(128, 128, 2, 3, 4, 16), _flows(128, 4, 7, 16, 128, 64),
            DinoSizes(128, 4, 4, 8, 96, 3.0), (96, 96),
            surface__grid=64, surface__candidate_grid=32, surface__coarse_grid=16, surface__n_surface=4000,
            surface__target_vertices=4000, encode_points=4096, sampling__guidance=1.0, sampling__stage0_steps=20,
            sampling__stage0_guidance=1.5,
        ),
        _size(
            "medium", VaeSizes(256, 512, 4, 8, 8, 32), _flows(512, 8, 11, 32, 384, 512),
            DinoSizes(384, 6, 12, 14, 518), (256, 224), surface__n_surface=10000, surface__target_vertices=10000,
        ),
        _size(
            "published", VaeSizes(512, 1024, 8, 16, 8, 64), _flows(2048, 16, 21, 64, 1024, 2048),
            DinoSizes(1024, 16, 24, 14, 518), (256, 224),
        ),
    )
}  # fmt: skip
"""By name. ``small`` has the sizes of the package's own checkpoint, ``published`` those of TripoSG and ActionMesh."""


def build(size: Size, device: torch.device, dtype: torch.dtype, seed: int = 0) -> Backbone:
    """A backbone of random weights; on the ``meta`` device it has sizes and no weights at all.

    The two stages share their image encoder, as the published ones do.
    """
    generator = None if device.type == "meta" else torch.Generator(device).manual_seed(seed)

    def make(network: Callable[[], Network]) -> Network:
        with torch.device("meta"):
            made = network().to(dtype)
        if generator is not None:
            made = made.to_empty(device=device)
            for name, parameter in made.named_parameters():
                _fill(name, parameter.data, generator)
        return made.eval().requires_grad_(False)

    processor = {
        "image_mean": [0.5] * 3, "image_std": [0.25] * 3, "size": {"shortest_edge": size.picture},
        "crop_size": {"height": size.crop, "width": size.crop},
    }  # fmt: skip
    encoder = ImageEncoder(make(lambda: DinoV2(size.dino)), processor, Path(size.name))
    vae = make(lambda: ShapeVae(size.vae))
    zero, one = make(lambda: FlowTransformer(size.stage_zero)), make(lambda: FlowTransformer(size.stage_one))
    networks: list[nn.Module] = [vae, zero, one, encoder.model, encoder.model]
    return Backbone(
        name=f"random {size.name}",
        checksum="",
        folder=Path(size.name),
        vae=vae,
        stage_zero=zero,
        stage_one=one,
        encoder_zero=encoder,
        encoder_one=encoder,
        stage_zero_shift=1.0,
        recommended={},
        device=device,
        dtype=dtype,
        memory=DeviceMemory(dict(zip(NETWORKS, networks, strict=True)), device, 0),
    )


def _fill(name: str, values: torch.Tensor, generator: torch.Generator) -> None:
    """Weights that let signals through without growing."""
    if name.endswith("bias"):
        values.zero_()
    elif values.dim() == 1:
        values.fill_(1.0)  # norms and layer scales
    else:
        values.normal_(0.0, values[0].numel() ** -0.5, generator=generator)
