"""The image-encoder stage: a small DINOv2 vision transformer, trained densely on known parts and positions."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...backbone.dinov2 import DinoSizes, DinoV2
from ..synthetic import MOST_PARTS, TRAINED_PARTS
from .data import BACKGROUND, Windows
from .recipe import ImageEncoderConfig
from .shapes import SolidBatch, to_tensor

PIXEL_MEAN = (0.86, 0.84, 0.84)
"""Mean of the training pictures (of all families, on white), RGB in 0 .. 1."""

PIXEL_DEVIATION = (0.27, 0.30, 0.30)
"""Standard deviation of the training pictures."""

_START_DEVIATION = 0.02


def make_encoder(config: ImageEncoderConfig, image_size: int) -> DinoV2:
    """An untrained encoder of the recipe's sizes."""
    encoder = DinoV2(
        DinoSizes(config.width, config.heads, config.layers, config.patch, image_size, ratio=float(config.ratio))
    )
    for module in encoder.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)) and module.bias is not None:
            nn.init.trunc_normal_(module.weight, std=_START_DEVIATION)
            nn.init.zeros_(module.bias)
    for tokens in (encoder.class_token, encoder.positions):
        nn.init.trunc_normal_(tokens, std=_START_DEVIATION)
    return encoder


def normalise_pixels(images: Tensor) -> Tensor:
    """[B, S, S, 3] uint8 or float 0 .. 255 -> [B, 3, S, S] float32, normalised."""
    scaled = images.float() / 255.0
    return ((scaled - torch.tensor(PIXEL_MEAN)) / torch.tensor(PIXEL_DEVIATION)).permute(0, 3, 1, 2).contiguous()


def encode_pictures(encoder: DinoV2, images: Tensor) -> Tensor:
    """[B, S, S, 3] pictures -> context tokens [B, 1 + P, C], the class token first."""
    tokens: Tensor = encoder(normalise_pixels(images))
    return tokens


def vary_pictures(images: Tensor, noise: torch.Generator) -> Tensor:
    """Change colours and sharpness of [B, S, S, 3] pictures and add noise; white stays nearly white."""
    count = len(images)
    gain = 1.0 + 0.12 * (2.0 * torch.rand(count, 1, 1, 3, generator=noise) - 1.0)
    varied = 255.0 * (images.float() / 255.0).pow(gain)
    planes = varied.permute(0, 3, 1, 2)
    blurred = F.avg_pool2d(planes, 3, stride=1, padding=1, count_include_pad=False).permute(0, 2, 3, 1)
    share = 0.6 * torch.rand(count, 1, 1, 1, generator=noise)
    varied = varied + share * (blurred - varied)
    strength = 6.0 * torch.rand(count, 1, 1, 1, generator=noise)
    return (varied + strength * torch.randn(images.shape, generator=noise)).clamp(0.0, 255.0)


class DenseEncoder(nn.Module):
    """The encoder with heads that are thrown away after training.

    Every patch token predicts the part (or background) and the visible surface position at a few pixels of its patch;
    the class token predicts where the parts' longest axes end, hidden ones too. Parts are counted through all trained
    families.

    Args:
        encoder: what is kept.
        cells: labelled pixels along each side of a patch.
    """

    def __init__(self, encoder: DinoV2, cells: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.cells = cells
        width = encoder.sizes.width
        self.head_dense = nn.Linear(width, cells * cells * (TRAINED_PARTS + 1 + 3))
        self.head_limbs = nn.Linear(width, MOST_PARTS * 6)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, S, S, 3] -> part logits [B, L, L, parts + 1], positions [B, L, L, 3], limbs [B, ``MOST_PARTS``, 6]."""
        tokens = encode_pictures(self.encoder, images)
        grid = round((tokens.shape[1] - 1) ** 0.5)
        dense = self.head_dense(tokens[:, 1:]).float()
        dense = dense.view(len(tokens), grid, grid, self.cells, self.cells, -1).transpose(2, 3)
        dense = dense.reshape(len(tokens), grid * self.cells, grid * self.cells, -1)
        limbs = self.head_limbs(tokens[:, 0]).float().view(len(tokens), MOST_PARTS, 6)
        return dense[..., : TRAINED_PARTS + 1], dense[..., TRAINED_PARTS + 1 :], limbs


class PictureTask:
    """Trains a ``DenseEncoder`` on known parts, positions and limbs."""

    def __init__(self, network: DenseEncoder, config: ImageEncoderConfig, train: Windows, held_out: Windows) -> None:
        self.network = network
        self.settings = config.optim
        self.windows = train
        self.held_out = held_out

    def before(self, step: int) -> None:
        """Nothing changes while training."""

    def batch(
        self, windows: Windows, count: int, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Pictures, parts (0 is background), positions, limbs and which limbs there are, of random frames."""
        clips = rng.integers(len(windows), size=count)
        frames = rng.integers(windows.frames, size=count)
        images, parts, xyz = (windows.take(name, clips, frames) for name in ("images", "parts", "xyz"))
        labels = torch.from_numpy(parts).long() - BACKGROUND
        solids = SolidBatch.take(windows, clips, frames)
        return torch.from_numpy(images), labels, to_tensor(xyz), solids.axis_ends(), solids.radii >= 0

    def loss(self, step: int, rng: np.random.Generator, noise: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        images, parts, xyz, limbs, there = self.batch(self.windows, self.settings.batch, rng)
        logits, positions, limbs_seen = self.network(vary_pictures(images, noise))
        part_loss = F.cross_entropy(logits.flatten(0, 2), parts.flatten())
        seen = (parts > 0).float()[..., None]
        place_loss = ((positions - xyz).abs() * seen).sum() / (3.0 * seen.sum()).clamp(min=1.0)
        limb_loss = (limbs_seen - limbs).abs()[there].mean()
        losses = {"part": part_loss, "place": place_loss, "limb": limb_loss}
        figures = {name: float(value.detach()) for name, value in losses.items()}
        return part_loss + 2.0 * place_loss + 2.0 * limb_loss, figures

    def evaluate(self) -> dict[str, float]:
        images, parts, xyz, limbs, there = self.batch(self.held_out, 256, np.random.default_rng(17))
        logits, positions, limbs_seen = self.network(images)
        inside = parts > 0
        right = logits.argmax(-1) == parts
        return {
            "part_accuracy": float(right[inside].float().mean()),
            "mask_accuracy": float(((logits.argmax(-1) > 0) == inside).float().mean()),
            "place_error": float((positions - xyz).norm(dim=-1)[inside].mean()),
            "limb_error": float((limbs_seen - limbs).unflatten(-1, (2, 3)).norm(dim=-1)[there].mean()),
        }
