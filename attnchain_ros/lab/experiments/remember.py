"""A backbone that computes nothing twice, for settings that come after denoising."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...backbone import Backbone, DecodedLatents, StageOne
from ...backbone.flow import StepProgress
from ...backbone.reinforcement import PairTracer
from ...config import RolloutConfig


@dataclass(frozen=True)
class RememberingBackbone(Backbone):
    """The same networks; ``denoise``, ``decode`` and its fields hand out again what they computed for the same inputs.

    Inputs are the same if every byte of the tensors, every option and the seed are; so results are exactly those of
    the networks. With reinforcement nothing is remembered: it looks at options that are not among the inputs.
    Everything is kept until this object goes: make one for each clip.
    """

    kept: dict[tuple[Any, ...], Any] = field(default_factory=dict, compare=False, repr=False)

    def denoise(
        self,
        anchor_latent: Tensor,
        context: Tensor,
        config: RolloutConfig,
        seed: int,
        trace: PairTracer | None = None,
        progress: StepProgress | None = None,
    ) -> StageOne:
        """As ``Backbone.denoise``."""
        compute = super().denoise
        if config.reinforce.mode != "off":
            return compute(anchor_latent, context, config, seed, trace, progress)
        key = ("denoise", _digest(anchor_latent), _digest(context), config.sampling, config.readout, seed)
        if key not in self.kept:
            self.kept[key] = compute(anchor_latent, context, config, seed, None, progress)
        found: StageOne = self.kept[key]
        return found

    def decode(self, latents: Tensor) -> DecodedLatents:
        """As ``Backbone.decode``."""
        compute = super().decode
        key = ("decode", _digest(latents))
        if key not in self.kept:
            plain = compute(latents)
            self.kept[key] = RememberingField(plain.decoder, plain.keys, plain.values)
        found: DecodedLatents = self.kept[key]
        return found


@dataclass(frozen=True)
class RememberingField(DecodedLatents):
    """Decoded latents that hand out again what they found at the same points: settings share their surfaces."""

    kept: dict[tuple[Any, ...], Tensor] = field(default_factory=dict, compare=False, repr=False)

    def logits(self, points: Tensor) -> Tensor:
        """As ``DecodedLatents.logits``."""
        key = _digest(points)
        if key not in self.kept:
            self.kept[key] = super().logits(points)
        return self.kept[key]


def remember(backbone: Backbone) -> RememberingBackbone:
    """The backbone with an empty memory; the networks themselves are shared."""
    return RememberingBackbone(**{item.name: getattr(backbone, item.name) for item in dataclasses.fields(Backbone)})


def _digest(values: Tensor) -> tuple[str, tuple[int, ...], str]:
    """Bytes, shape and dtype of a tensor as a short key."""
    flat = values.detach().cpu().contiguous().flatten()
    # Numpy has no bfloat16: bytes are taken through an integer view.
    data = flat.view(torch.uint8).numpy().tobytes()
    return hashlib.sha256(data).hexdigest(), tuple(values.shape), str(values.dtype)
