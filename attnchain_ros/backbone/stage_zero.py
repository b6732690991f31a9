"""Stage 0: one image to one shape latent."""

from __future__ import annotations

from torch import Tensor

from .flow import Flow, StepProgress
from .passes import Passes
from .schedule import Schedule
from .transformer import FlowTransformer


def denoise_image(
    network: FlowTransformer,
    noise: Tensor,
    context: Tensor,
    schedule: Schedule,
    guidance: float = 1.0,
    progress: StepProgress | None = None,
    *,
    passes: Passes | None = None,
) -> Tensor:
    """Denoise latents from the tokens of one image each (Sec. 3, Stage 0).

    Args:
        network: Stage 0's transformer.
        noise: [B, N, c] float32 starting latents.
        context: [B, P + 1, C] image tokens.
        schedule: of the flow (``stage_zero_schedule``).
        guidance: classifier-free guidance; 1 leaves the unconditioned pass out.
        progress: called after every step.
        passes: how the network is computed; None = the plain way.
    Returns:
        [B, N, c] float32.
    """
    flow = Flow(network, network.project_context(context), schedule, False, guidance, passes=passes or Passes())

    def after(step: int, latents: Tensor, velocity: Tensor) -> None:
        if progress is not None:
            progress(step + 1, schedule.steps)

    return flow.follow(noise.float()[:, None], after=after)[:, 0]
