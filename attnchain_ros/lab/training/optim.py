"""Optimisers of the training stages and the state that has to survive an interruption."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .recipe import OptimConfig


def split_parameters(network: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Parameters for Muon (matrices inside the blocks) and for AdamW (all others), by name.

    Muon orthogonalises updates, which suits matrices that map features to features; embeddings, heads, norms and
    biases are better served by AdamW.
    """
    matrices: dict[str, Tensor] = {}
    others: dict[str, Tensor] = {}
    for name, value in network.named_parameters():
        inside = "blocks." in name or ".layer." in name
        (matrices if value.ndim == 2 and inside else others)[name] = value
    return matrices, others


class Optimiser:
    """Muon and AdamW under one learning-rate schedule, with clipping and a running average of the weights.

    Args:
        network: what to train.
        config: rates and schedule.
    """

    def __init__(self, network: nn.Module, config: OptimConfig) -> None:
        self.config = config
        self.network = network
        matrices, others = split_parameters(network)
        self.names: tuple[dict[str, Tensor], ...] = (matrices, others)
        self.parts: list[torch.optim.Optimizer] = []
        if matrices:
            self.parts.append(
                torch.optim.Muon(list(matrices.values()), lr=config.muon_rate, weight_decay=config.weight_decay)
            )
        if others:
            self.parts.append(
                torch.optim.AdamW(list(others.values()), lr=config.adam_rate, betas=(0.9, 0.98), weight_decay=0.0)
            )
        self.names = tuple(group for group in (matrices, others) if group)
        self.rates = [config.muon_rate] * bool(matrices) + [config.adam_rate] * bool(others)
        self.average: dict[str, Tensor] = {}
        if config.average > 0:
            self.average = {name: value.detach().clone() for name, value in network.named_parameters()}

    def factor(self, step: int) -> float:
        """Share of the full learning rate at a step (0-based)."""
        rise = min(1.0, (step + 1) / self.config.warmup) if self.config.warmup else 1.0
        left = (self.config.steps - step) / max(1.0, self.config.steps * self.config.decay_share)
        return rise * min(1.0, max(0.0, left))

    def zero(self) -> None:
        """Forget the gradients."""
        self.network.zero_grad(set_to_none=True)

    def step(self, step: int) -> float:
        """Take one step with the gradients at hand.

        Returns:
            the norm of the gradient before clipping.
        """
        trained = [value for value in self.network.parameters() if value.grad is not None]
        norm = float(nn.utils.clip_grad_norm_(trained, self.config.clip_norm))
        for part, rate in zip(self.parts, self.rates, strict=True):
            for group in part.param_groups:
                group["lr"] = rate * self.factor(step)
            part.step()
        if self.average:
            # Short at first, so that the average is never dominated by the random start.
            decay = min(self.config.average, (1 + step) / (10 + step))
            with torch.no_grad():
                for name, value in self.network.named_parameters():
                    self.average[name].lerp_(value, 1.0 - decay)
        return norm

    def state(self) -> dict[str, Tensor]:
        """Everything but the weights, as named tensors."""
        found: dict[str, Tensor] = {f"average/{name}": value for name, value in self.average.items()}
        for number, (part, names) in enumerate(zip(self.parts, self.names, strict=True)):
            for name, parameter in names.items():
                for key, value in part.state.get(parameter, {}).items():
                    found[f"optim{number}/{name}/{key}"] = torch.as_tensor(value)
        return found

    def load(self, state: dict[str, Tensor]) -> None:
        """Take back what ``state`` gave."""
        for name in self.average:
            if f"average/{name}" in state:
                self.average[name] = state[f"average/{name}"].clone()
        for number, (part, names) in enumerate(zip(self.parts, self.names, strict=True)):
            for name, parameter in names.items():
                prefix = f"optim{number}/{name}/"
                own = {key[len(prefix) :]: value.clone() for key, value in state.items() if key.startswith(prefix)}
                if own:
                    part.state[parameter] = own
