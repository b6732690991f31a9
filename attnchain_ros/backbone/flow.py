"""Following a flow from noise to data: the one sampling loop of Stage 0 and Stage I, of windows or of batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..conventions import ANCHOR_FRAME
from .passes import Passes
from .schedule import Schedule
from .transformer import ContextKeys, FlowTransformer, Probe

StepProgress = Callable[[int, int], None]
"""Called with (steps done, steps in all); may raise to stop."""


@dataclass(frozen=True)
class Look:
    """What looks at one step: at the conditioned pass and at the unconditioned one of classifier-free guidance."""

    conditioned: Probe | None = None
    free: Probe | None = None


@dataclass(frozen=True)
class Flow:
    """A network with what it is conditioned on and its way in time.

    Attributes:
        network: Stage 0's or Stage I's transformer.
        keys: keys and values of the images (``FlowTransformer.project_context``); None = no image.
        schedule: diffusion times and step lengths.
        anchored: frames have places in time, and the first one's latent is given and never updated (Stage I).
        guidance: classifier-free guidance; 1 leaves the unconditioned pass out.
        unguided_last: so many steps at the end go without guidance.
        passes: how the network is computed.
    """

    network: FlowTransformer
    keys: ContextKeys | None
    schedule: Schedule
    anchored: bool
    guidance: float = 1.0
    unguided_last: int = 0
    passes: Passes = field(default_factory=Passes)

    def follow(
        self,
        latents: Tensor,
        look: Callable[[int], Look] = lambda step: Look(),
        after: Callable[[int, Tensor, Tensor], None] = lambda step, latents, velocity: None,
    ) -> Tensor:
        """Take every step.

        Args:
            latents: [B, F, N, c] float32 to start from.
            look: told the number of a step before it, hands out its probes; with probes B is 1.
            after: told the number of a step with its latents and velocity [B, F, N, c].
        Returns:
            [B, F, N, c].
        """
        batch, frames = latents.shape[:2]
        given = torch.zeros(frames, dtype=torch.bool, device=latents.device)
        steps = None
        if self.anchored:
            given[ANCHOR_FRAME] = True
            steps = torch.arange(frames, device=latents.device).expand(batch, -1)
        for step, (at, distance) in enumerate(zip(self.schedule.times, self.schedule.distances, strict=True)):
            time = torch.where(given, 0.0, float(at)).expand(batch, -1)
            probes = look(step)
            guided = self.guidance != 1.0 and step < self.schedule.steps - self.unguided_last
            if guided and self.keys is not None:
                both = probes.conditioned, probes.free
                velocity, free = self.passes.guided(self.network, latents, time, self.keys, steps, both)
                velocity = free + self.guidance * (velocity - free)
            else:
                velocity = self.passes.one(self.network, latents, time, self.keys, steps, probes.conditioned)
            velocity = velocity.masked_fill(given[:, None, None], 0.0)
            latents = latents + float(distance) * velocity
            after(step, latents, velocity)
        return latents
