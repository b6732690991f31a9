"""The loop that every training stage shares: resumable, seeded by the step, logged as JSON lines."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.distributed
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ...errors import WeightsError
from ...files.atomic import write_bytes
from .attention import quick_gradients
from .optim import Optimiser
from .recipe import OptimConfig

LOG = logging.getLogger(__name__)

STATE_FILE = "state.safetensors"
LOG_FILE = "log.jsonl"


class Task(Protocol):
    """One training stage."""

    settings: OptimConfig

    @property
    def network(self) -> nn.Module:
        """What is trained."""

    def before(self, step: int) -> None:
        """Called before every step, with the step's number; may change what is trained."""

    def loss(self, step: int, rng: np.random.Generator, noise: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Loss of one batch, and figures for the log. All randomness comes from the two generators."""

    def evaluate(self) -> dict[str, float]:
        """Figures on held-out clips."""


def autocast() -> torch.autocast:
    """bfloat16 matrix products: several times faster than float32 on CPUs that have them."""
    return torch.autocast("cpu", dtype=torch.bfloat16)


def save_checkpoint(folder: Path, task: Task, optimiser: Optimiser, step: int) -> None:
    """Write weights, optimiser state and step to one file, atomically."""
    tensors = {f"weights/{name}": value.detach() for name, value in task.network.state_dict().items()}
    tensors |= optimiser.state()
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_bytes(folder / STATE_FILE, save(tensors, metadata={"step": str(step)}))


def read_checkpoint(folder: Path) -> tuple[dict[str, Tensor], int]:
    """Tensors and step of a checkpoint.

    Raises:
        WeightsError: there is none.
    """
    path = folder / STATE_FILE
    if not path.is_file():
        raise WeightsError(f"{path} is missing: run the stage that makes {folder.name} first")
    with safe_open(str(path), framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, int(file.metadata()["step"])


def below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def trained_weights(folder: Path) -> dict[str, Tensor]:
    """The weights to use out of a checkpoint: the running average where one was kept, else the last ones."""
    tensors, _ = read_checkpoint(folder)
    return below(tensors, "weights/") | below(tensors, "average/")


def share_gradients(network: nn.Module, processes: int) -> None:
    """Average the gradients over all processes, as one flat array.

    Everything that can be trained takes part: a process that dropped the pictures has no gradient for some weights.
    """
    trained = [value for value in network.parameters() if value.requires_grad]
    flat = torch.cat([(torch.zeros_like(value) if value.grad is None else value.grad).flatten() for value in trained])
    torch.distributed.all_reduce(flat)
    flat /= processes
    start = 0
    for value in trained:
        value.grad = flat[start : start + value.numel()].view_as(value)
        start += value.numel()


@contextmanager
def averaged_weights(network: nn.Module, optimiser: Optimiser) -> Iterator[None]:
    """While inside, the network has the running average of its weights, where one is kept."""
    kept: dict[str, Tensor] = {}
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name in optimiser.average:
                kept[name] = value.detach().clone()
                value.copy_(optimiser.average[name])
    try:
        yield
    finally:
        with torch.no_grad():
            for name, value in network.named_parameters():
                if name in kept:
                    value.copy_(kept[name])


def train(
    task: Task,
    folder: Path,
    seed: int,
    *,
    resume: bool,
    minutes: float | None = None,
    rank: int = 0,
    processes: int = 1,
) -> int:
    """Train one stage until its last step or until time is up; a checkpoint is left either way.

    A step's randomness is a function of (seed, step, rank) alone: training that was interrupted and resumed takes the
    same steps as training that was not.

    Args:
        task: what to train.
        folder: where checkpoint and log go.
        seed: of the recipe.
        resume: go on from the checkpoint in ``folder`` where there is one.
        minutes: stop after this much time; the schedule does not depend on it.
        rank: number of this process among ``processes`` that share their gradients (torch.distributed set up).
        processes: how many take part.
    Returns:
        number of steps taken in all.
    """
    settings = task.settings
    optimiser = Optimiser(task.network, settings)
    start = 0
    if resume and (folder / STATE_FILE).is_file():
        tensors, start = read_checkpoint(folder)
        task.network.load_state_dict(below(tensors, "weights/"))
        optimiser.load(tensors)
        LOG.info("resumed at step %d", start)
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    sums: dict[str, list[float]] = {}
    step = start

    def record(entry: dict[str, Any]) -> None:
        if rank == 0:
            line = {"step": step, "minutes": round((time.monotonic() - began) / 60, 3), **entry}
            with (folder / LOG_FILE).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            LOG.info("%s", line)

    task.network.train()
    while step < settings.steps:
        task.before(step)
        rng = np.random.default_rng([seed, step, rank])
        noise = torch.Generator().manual_seed(int(rng.integers(2**62)))
        optimiser.zero()
        with autocast(), quick_gradients(task.network):
            loss, figures = task.loss(step, rng, noise)
        loss.backward()  # type: ignore[no-untyped-call]
        if processes > 1:
            share_gradients(task.network, processes)
        figures["gradient"] = optimiser.step(step)
        figures["loss"] = float(loss.detach())
        step += 1
        for name, value in figures.items():
            sums.setdefault(name, []).append(value)
        if step % settings.log_every == 0:
            record({name: round(float(np.mean(values)), 5) for name, values in sums.items()})
            sums.clear()
        timed_out = minutes is not None and time.monotonic() - began > 60 * minutes
        last = step == settings.steps
        if rank == 0 and (last or timed_out or step % settings.checkpoint_every == 0):
            save_checkpoint(folder, task, optimiser, step)
        if last or (step % settings.evaluate_every == 0):
            if rank == 0:
                task.network.eval()
                with averaged_weights(task.network, optimiser), torch.no_grad(), autocast():
                    record({f"held_out/{name}": round(value, 4) for name, value in task.evaluate().items()})
                task.network.train()
        if timed_out:
            break
    return step
