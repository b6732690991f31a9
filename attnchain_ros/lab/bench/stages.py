"""The stages of a window, each as a piece of work that can be counted or timed by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ...backbone import Backbone
from ...chain.correspondence import match_surface, transport
from ...config import RolloutConfig, replace
from ...conventions import ANCHOR_FRAME
from ...mesh.surface import candidate_grids, surface_points
from ...rollout import Rollout
from ...rollout.watch import Watch
from .counting import Cost, count, total
from .scene import Scene, host_config, make_mesh, shape_field, turned

SEED = 0
DIAGONAL = 2.0
BESIDE = ("camera", "tracks")
"""Stages without networks that the next window does not wait for."""


@dataclass(frozen=True)
class Stage:
    """A piece of work of the networks.

    Attributes:
        name: in the table.
        work: what to run.
        per_window: how often a window runs it; 0 = once for each anchor, or another way to do something.
        of: a stage that it does anew with something more, of which only the difference is wanted.
        sum_of: shorter pieces of work and how often each stands for a part of it, to count instead of ``work``.
    """

    name: str
    work: Callable[[], object]
    per_window: int = 1
    of: str = ""
    sum_of: tuple[tuple[Callable[[], object], int], ...] = ()


@dataclass
class Measured:
    """A stage's costs.

    Attributes:
        name, per_window: as in ``Stage``.
        seconds: that it took, NaN where it was only counted.
        cost: counted; None where it depends on the data and there are none.
        peak_bytes: held at most on a GPU while it ran, with the weights; 0 elsewhere.
        note: what else there is to say.
        beside: the next window does not wait for it (``Rollout.begin``).
    """

    name: str
    per_window: int
    seconds: float = float("nan")
    cost: Cost | None = None
    peak_bytes: int = 0
    note: str = ""
    beside: bool = False
    laps: list[float] = field(default_factory=list)


class Guided:
    """A decoded field whose values are a known object's: the network runs and does not decide.

    Attributes:
        points: evaluated so far, all latents together.
    """

    def __init__(self, logits: Callable[[Tensor], Tensor] | None, frames: int) -> None:
        self._logits = logits
        self._frames = frames
        self.points = 0

    def __call__(self, points: Tensor) -> Tensor:
        """[B, n, 3] -> [B, n]."""
        self.points += self._frames * points.shape[1]
        if self._logits is not None:
            self._logits(points)
        return shape_field(points).expand(self._frames, -1)


def anchor_places(config: RolloutConfig) -> Tensor:
    """Vertices [V, 3] of the known object's anchor mesh, as far from its place as in the middle of a window."""
    return torch.from_numpy(turned(make_mesh(config).vertices, config.frames // 2).astype(np.float32))


def evaluated_share(config: RolloutConfig) -> float:
    """Points of a latent at which its field is evaluated over the nodes of the whole grid."""
    guided = Guided(None, 1)
    surface_points(guided, 1, candidate_grids(config.surface), SEED, near=anchor_places(config))
    return guided.points / (config.surface.candidate_grid + 1) ** 3


def network_stages(backbone: Backbone, config: RolloutConfig) -> list[Stage]:
    """Every stage that networks compute, on the backbone's device.

    The numbers of points are the known object's; on the ``meta`` device, where nothing has values, they are taken from
    it beforehand.
    """
    device, frames, tokens, channels = backbone.device, backbone.frames, backbone.tokens, backbone.channels
    rng = np.random.default_rng(SEED)

    def random(*shape: int) -> Tensor:
        return torch.from_numpy(rng.normal(size=shape).astype(np.float32)).to(device)

    side = backbone.encoder_one.input_size
    pictures = rng.integers(0, 256, (frames, side, side, 3)).astype(np.uint8)
    grid = backbone.encoder_one.grid
    context = random(frames, grid * grid + 1, backbone.encoder_one.width).to(backbone.dtype)
    latents = random(frames, tokens, channels)
    landmarks = random(config.animation.landmarks, 3) / 3
    surface = random(frames, config.surface.n_surface, 3) / 3
    token_tokens = torch.full((frames, tokens, tokens), 1.0 / tokens, device=device)
    queries, cloud = random(1, tokens, 6) / 3, random(1, config.encode_points, 6) / 3

    def denoise(direction: str, steps: int = config.sampling.steps) -> Callable[[], object]:
        changes = {"readout.direction": direction, "sampling.steps": steps, "readout.steps": "last"}
        options: RolloutConfig = replace(config, changes)
        return lambda: backbone.denoise(latents[0], context, options, SEED)

    def fields() -> object:
        return backbone.decode(latents)

    near = anchor_places(config)
    near = near.to(device) if device.type != "meta" else near

    def surfaces() -> object:
        decoded = backbone.decode(latents)
        if device.type != "meta":
            guided, grids = Guided(decoded.logits, frames), candidate_grids(config.surface)
            return surface_points(guided, frames, grids, SEED, device, near=near)
        left = round(evaluated_share(config) * (config.surface.candidate_grid + 1) ** 3)
        step = max(1, config.surface.query_chunk // frames)
        while left > 0:
            decoded.logits(torch.empty(frames, min(step, left), 3, device=device))
            left -= step
        return None

    def matching() -> object:
        decoded = backbone.decode(latents)
        rows = transport(decoded.select(0, 1).attention(landmarks[None])[0], token_tokens)
        for frame in range(frames):
            if frame != ANCHOR_FRAME:
                seen = decoded.select(frame, frame + 1).attention(surface[frame][None])[0]
                match_surface(rows[frame], seen, surface[frame], config.match, DIAGONAL)
        return None

    def image_to_3d(steps: int = config.sampling.stage0_steps) -> Callable[[], object]:
        return lambda: backbone.image_to_latent(pictures[0], steps, config.sampling.stage0_guidance, SEED)

    def in_steps(
        work: Callable[[int], Callable[[], object]], steps: int
    ) -> tuple[tuple[Callable[[], object], int], ...]:
        # All steps cost the same, and the rest comes once: two short runs tell both.
        return ((work(1), 2 - steps), (work(2), steps - 1))

    def more(direction: str) -> tuple[tuple[Callable[[], object], int], ...]:
        # Only one step is read, whatever their number.
        return ((denoise(direction, 1), 1), (denoise("forward", 1), -1))

    forward = in_steps(lambda steps: denoise("forward", steps), config.sampling.steps)
    return [
        Stage("images", lambda: backbone.encoder_one.encode(pictures)),
        Stage("denoising", denoise("forward"), sum_of=forward),
        Stage("fields", fields),
        Stage("surfaces", surfaces, of="fields"),
        Stage("matching", matching, of="fields"),
        Stage("hand-over", lambda: backbone.vae.encode(queries, cloud)),
        Stage("reading backward instead", denoise("backward"), 0, "denoising", more("backward")),
        Stage("reading both ways", denoise("both"), 0, "denoising", more("both")),
        Stage("image to 3D", image_to_3d(), 0, sum_of=in_steps(image_to_3d, config.sampling.stage0_steps)),
    ]


def counted(stages: list[Stage]) -> dict[str, Measured]:
    """Operations, bytes and launches of every stage."""
    found: dict[str, Measured] = {}
    for stage in stages:
        one = Measured(stage.name, stage.per_window)
        try:
            if stage.sum_of:
                one.cost = total([count(work).times(factor) for work, factor in stage.sum_of])
            else:
                one.cost = count(stage.work)
        except (NotImplementedError, RuntimeError) as error:
            one.note = f"cannot be counted: {str(error).splitlines()[0]}"
        before = found.get(stage.of)
        if one.cost is not None and before is not None and before.cost is not None and not stage.sum_of:
            one.cost = one.cost.plus(before.cost.times(-1))
        found[stage.name] = one
    return found


class BusyWatch(Watch):
    """Seconds as on a machine with nothing else to do: where that is less, the processor's time of this process."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self._busy = time.process_time()

    def lap(self, stage: str) -> None:
        """The time since the last lap belongs to a stage."""
        before = self.laps.get(stage, 0.0)
        super().lap(stage)
        now = time.process_time()
        if self._device.type != "cuda":
            self.laps[stage] = before + min(self.laps[stage] - before, now - self._busy)
        self._busy = now


def timed(stages: list[Stage], device: torch.device, repeats: int) -> dict[str, Measured]:
    """Seconds of every stage (``BusyWatch``), the least of some laps after one that warms up, and the GPU's memory."""
    found: dict[str, Measured] = {}
    for stage in stages:
        one = Measured(stage.name, stage.per_window)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with torch.no_grad():
            stage.work()
            for _ in range(repeats):
                _wait(device)
                watch = BusyWatch(device)
                stage.work()
                watch.lap(stage.name)
                one.laps.append(watch.laps[stage.name])
        one.seconds = min(one.laps)
        if device.type == "cuda":
            one.peak_bytes = torch.cuda.max_memory_allocated(device)
        if stage.of:
            one.seconds -= found[stage.of].seconds
        found[stage.name] = one
    return found


def host_stages(backbone: Backbone, config: RolloutConfig, repeats: int) -> dict[str, Measured]:
    """Seconds of what runs without networks: the anchor's preparation (once), animation, cameras, tracks."""
    options = host_config(config)
    mesh = make_mesh(options)
    scene = Scene.of(mesh, options.frames)
    laps: dict[str, list[float]] = {}
    for _ in range(repeats + 1):
        before = BusyWatch(torch.device("cpu"))
        rollout = Rollout(backbone, options, mesh, anchor_is_canonical=True)
        before.lap("preparation")
        laps.setdefault("preparation", []).append(before.laps["preparation"])
        anchor = rollout._given
        assert anchor is not None
        trace = scene.trace(backbone, options, anchor)
        watch = BusyWatch(torch.device("cpu") if backbone.device.type == "meta" else backbone.device)
        result = rollout.finish(trace, watch)
        for name, seconds in watch.laps.items():
            laps.setdefault(name, []).append(seconds)
    vertices, poses = result.vertices.shape[1], int(result.camera.valid.sum())
    found = {}
    for name, times in laps.items():
        if name == "hand-over":
            continue  # the networks' own
        once = name == "preparation"
        found[name] = Measured(name, 0 if once else 1, min(times), laps=times, beside=name in BESIDE)
        found[name].note = f"{vertices} vertices" + (f", {poses} poses" if name == "camera" else "")
    return found


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
