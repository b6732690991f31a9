"""Stage 0: one image to one shape latent."""

from __future__ import annotations

import torch
from torch import Tensor

from .schedule import stage_zero_schedule
from .stage_one import StepProgress
from .transformer import FlowTransformer


def denoise_image(
    network: FlowTransformer,
    noise: Tensor,
    context: Tensor,
    steps: int,
    guidance: float,
    shift: float = 1.0,
    progress: StepProgress | None = None,
) -> Tensor:
    """Denoise one latent from the tokens of one image (Sec. 3, Stage 0).

    Args:
        network: Stage 0's transformer.
        noise: [N, c] float32 starting latent.
        context: [P + 1, C] image tokens.
        steps, guidance, shift: of the flow; guidance 1 leaves the unconditioned pass out.
        progress: called after every step.
    Returns:
        [N, c] float32.
    """
    schedule = stage_zero_schedule(steps, shift)
    keys = network.project_context(context[None])
    latents = noise.float()[None, None]
    for step in range(steps):
        time = torch.full((1, 1), float(schedule.times[step]), device=noise.device)
        velocity = network(latents, time, keys)
        if guidance != 1.0:
            free = network(latents, time, None)
            velocity = free + guidance * (velocity - free)
        latents = latents + float(schedule.distances[step]) * velocity
        if progress is not None:
            progress(step + 1, steps)
    return latents[0, 0]
