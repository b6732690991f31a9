"""Stage I: denoising a window of latents from its anchor, reading (and reinforcing) the attention on the way."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import RolloutConfig
from .flow import Flow, Look, StepProgress
from .layers import PIECE_BYTES, Attended
from .passes import Passes
from .readout import MapReader, TokenMaps
from .reinforcement import PairTracer, TokenPairs, reinforce_output
from .schedule import TRAIN_STEPS, stage_one_schedule
from .transformer import FlowTransformer, parse_indices


@dataclass(frozen=True)
class StageOne:
    """Latents of a window [F, N, c] float32 (the anchor's unchanged) and the attention maps read."""

    latents: Tensor
    maps: TokenMaps


@dataclass(frozen=True)
class _Probe:
    """Reads maps, reinforces pairs, or both, in one pass through the network."""

    reader: MapReader | None
    pairs: TokenPairs | None
    frames: int
    mode: str
    piece_bytes: int

    def reads(self, layer: int) -> bool:
        return self.pairs is not None or (self.reader is not None and self.reader.reads(layer))

    def self_attention(self, layer: int, attended: Attended) -> Tensor:
        if self.reader is not None:
            self.reader.self_attention(layer, attended)
        if self.pairs is None:
            return attended.out
        return reinforce_output(attended, self.pairs, self.frames, self.mode, self.piece_bytes)

    def cross_attention(self, layer: int, q: Tensor, k: Tensor) -> None:
        if self.reader is not None:
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
    latents: Tensor,
    context: Tensor,
    config: RolloutConfig,
    trace: PairTracer | None = None,
    progress: StepProgress | None = None,
    *,
    piece_bytes: int = PIECE_BYTES,
    keep_keys: bool = True,
    passes: Passes | None = None,
) -> StageOne:
    """Denoise all frames of a window from the anchor's latent and the images (Sec. 3, Stage I).

    Args:
        network: Stage I's transformer.
        latents: [F, N, c] float32: the anchor's latent in frame 0, which is given and never updated, and where the
            others start (``source_noise``).
        context: [F, P + 1, C] image tokens.
        config: how to sample, which attention to read, and how to reinforce it (Eq. 5).
        trace: finds the pairs to reinforce; None leaves the denoiser alone.
        progress: called after every step.
        piece_bytes: the largest temporary array of reading and reinforcing.
        keep_keys: as in ``FlowTransformer.project_context``.
        passes: how the network is computed; None = the plain way.
    Returns:
        latents and attention maps.
    Raises:
        ConfigError: a layer, head or step asked for does not exist.
    """
    frames, tokens, _ = latents.shape
    sampling, readout = config.sampling, config.readout
    schedule = stage_one_schedule(sampling.steps, sampling.shift)
    read_steps = set(parse_indices(readout.steps, range(schedule.steps), "readout.steps"))
    reader = tracer = MapReader(network.sizes, frames, tokens, readout, piece_bytes)
    pairs: TokenPairs | None = None
    traced_step = -1
    if trace is not None and config.reinforce.mode != "off":
        traced_step = max(1, schedule.steps - config.reinforce.last_steps) - 1

    def look(step: int) -> Look:
        nonlocal tracer
        # The step before reinforcement feeds Eq. 5 even where it does not count for the chain itself.
        own = step == traced_step and step not in read_steps
        tracer = MapReader(network.sizes, frames, tokens, readout, piece_bytes) if own else reader
        reads = step in read_steps or step == traced_step
        mode = config.reinforce.mode
        probes = [_Probe(now, pairs, frames, mode, piece_bytes) for now in (tracer if reads else None, None)]
        # Only the image-conditioned half is read; both are reinforced.
        conditioned, free = (probe if probe.reader or probe.pairs else None for probe in probes)
        return Look(conditioned, free)

    def after(step: int, now: Tensor, velocity: Tensor) -> None:
        nonlocal pairs
        if trace is not None and step == traced_step:
            remaining = float(schedule.times[step] / TRAIN_STEPS - schedule.distances[step])
            pairs = trace(now[0] + remaining * velocity[0], tracer.maps())
        if progress is not None:
            progress(step + 1, schedule.steps)

    keys = network.project_context(context, keep_keys)
    flow = Flow(network, keys, schedule, True, sampling.guidance, sampling.unguided_last_steps, passes or Passes())
    return StageOne(flow.follow(latents.float()[None], look, after)[0], reader.maps())
