"""Stage I: denoising a window of latents from its anchor, reading (and reinforcing) the attention on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import ReadoutConfig, SamplingConfig
from .readout import MapReader, TokenMaps
from .reinforcement import Reinforcement, TokenPairs, reinforce_output
from .schedule import TRAIN_STEPS, stage_one_schedule
from .transformer import FlowTransformer, parse_indices

StepProgress = Callable[[int, int], None]
"""Called with (steps done, steps in all); may raise to stop."""


@dataclass(frozen=True)
class StageOne:
    """Latents of a window [F, N, c] float32 (the anchor's unchanged) and the attention maps read."""

    latents: Tensor
    maps: TokenMaps


class _Probe:
    """Reads maps in the conditioned half and reinforces pairs in both halves."""

    def __init__(self, reader: MapReader, anchor: int, frames: int, mode: str) -> None:
        self.reader, self.anchor, self.frames, self.mode = reader, anchor, frames, mode
        self.pairs: TokenPairs | None = None

    def self_attention(self, layer: int, q: Tensor, k: Tensor, v: Tensor, out: Tensor) -> Tensor:
        out = self.reader.self_attention(layer, q, k, v, out)
        if self.pairs is None:
            return out
        return reinforce_output(q, k, v, out, self.pairs, self.anchor, self.frames, self.mode)

    def cross_attention(self, layer: int, q: Tensor, k: Tensor) -> None:
        self.reader.cross_attention(layer, q, k)


def source_noise(anchor_latent: Tensor, frames: int, share: float, generator: torch.Generator) -> Tensor:
    """Starting point [F, N, c] float32 of the denoising.

    Drawn on the CPU so that every device starts from the same numbers. With ``share`` 0 each frame has its own noise
    (as
    published); otherwise all frames share ``share * anchor + sqrt(1 - share^2) * noise``, which settles from the start
    which token is which.
    """
    shape = tuple(anchor_latent.shape)
    if share > 0.0:
        noise = torch.randn(shape, generator=generator).to(anchor_latent.device)
        mixed = share * anchor_latent.float() + (1.0 - share * share) ** 0.5 * noise
        return mixed.expand(frames, *shape).clone()
    return torch.randn((frames, *shape), generator=generator).to(anchor_latent.device)


def denoise_window(
    network: FlowTransformer,
    noise: Tensor,
    anchor_latent: Tensor,
    context: Tensor,
    anchor: int,
    sampling: SamplingConfig,
    readout: ReadoutConfig,
    reinforcement: Reinforcement | None = None,
    progress: StepProgress | None = None,
    frame_steps: Tensor | None = None,
) -> StageOne:
    """Denoise all frames of a window from the anchor's latent and the images (Sec. 3, Stage I).

    Args:
        network: Stage I's transformer.
        noise: [F, N, c] float32 starting latents (``source_noise``); the anchor's entry is replaced.
        anchor_latent: [N, c] float32 latent of the anchor frame; given, never updated.
        context: [F, P + 1, C] image tokens.
        anchor: index of the anchor frame in the window (the frame whose mask is 1).
        sampling: steps, guidance, shift.
        readout: which attention is read.
        reinforcement: Eq. 5; None leaves the denoiser alone.
        progress: called after every step.
        frame_steps: [F] positions of the frames; 0 .. F - 1 by default.
    Returns:
        latents and attention maps.
    Raises:
        ConfigError: a layer, head or step asked for does not exist.
    """
    frames, tokens, _ = noise.shape
    device = noise.device
    schedule = stage_one_schedule(sampling.steps, sampling.shift)
    read_steps = set(parse_indices(readout.steps, range(schedule.steps), "readout.steps"))
    reader = MapReader(network.sizes, frames, tokens, anchor, readout)
    first_reinforced = schedule.steps
    probe = _Probe(reader, anchor, frames, "gain")
    if reinforcement is not None and reinforcement.config.mode == "off":
        reinforcement = None
    if reinforcement is not None:
        first_reinforced = max(1, schedule.steps - reinforcement.config.last_steps)
        probe.mode = reinforcement.config.mode
    keys = network.project_context(context)
    steps = torch.arange(frames, device=device) if frame_steps is None else frame_steps.to(device)
    steps = steps[None]
    given = torch.zeros(frames, dtype=torch.bool, device=device)
    given[anchor] = True
    latents = noise.float().clone()
    latents[anchor] = anchor_latent.float()
    for step in range(schedule.steps):
        time = torch.where(given, 0.0, float(schedule.times[step]))[None]
        traces_next = reinforcement is not None and step + 1 == first_reinforced
        tracer = reader
        if traces_next and step not in read_steps:
            # The step before reinforcement feeds Eq. 5 even where it does not count for the chain itself.
            tracer = MapReader(network.sizes, frames, tokens, anchor, readout)
        probe.reader = tracer
        tracer.active = step in read_steps or traces_next
        velocity = network(
            latents[None], time, keys, steps, probe if tracer.active or probe.pairs is not None else None
        )[0]
        tracer.active = False
        if sampling.guidance != 1.0 and step < schedule.steps - sampling.unguided_last_steps:
            free = network(latents[None], time, None, steps, probe if probe.pairs is not None else None)[0]
            velocity = free + sampling.guidance * (velocity - free)
        velocity = velocity.masked_fill(given[:, None, None], 0.0)
        latents = latents + float(schedule.distances[step]) * velocity
        if traces_next and reinforcement is not None:
            remaining = float(schedule.times[step] / TRAIN_STEPS - schedule.distances[step])
            probe.pairs = reinforcement.trace(latents + remaining * velocity, tracer.maps())
        if progress is not None:
            progress(step + 1, schedule.steps)
    return StageOne(latents, reader.maps())
