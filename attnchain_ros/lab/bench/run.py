"""One size on one device: everything that is counted and timed of it, and the budgets."""

from __future__ import annotations

import math
import platform
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from ...backbone import Backbone
from ...backbone.backbone import choose_device, choose_dtype
from ...errors import ConfigError
from .counting import Cost, total, weight_bytes
from .devices import DEVICES
from .load import BESIDE_CAMERA, BESIDE_WORK, LoadTimes, beside, measure_load
from .scene import Scene, host_config, make_mesh
from .sizes import SIZES, Size, build
from .stages import Measured, counted, evaluated_share, host_stages, network_stages, timed
from .startup import FIRST_WINDOW_S, LOADING_S, Startup, measure_startup
from .twins import twin_ratios
from .variants import pass_variants

MOST_CPU_WEIGHTS = 4e8
"""Bytes of weights up to which a CPU computes the networks: larger ones are only counted there."""
FRAMES_PER_SECOND = 30.0


@dataclass(frozen=True)
class Ask:
    """What to measure.

    Attributes:
        size: name of a size.   device, dtype: as in the command line.
        repeats: laps of every stage, of which the shortest counts.
        count: count operations, bytes and launches; minutes at the published size.
        variants: also other ways to compute a pass.   twins: also ratios against twins.
        startup: also start a process that computes a first window; only for the published size.
        load: also windows beside a synthetic camera and other work, where they can be computed, and all the rest beside
            that camera.
    """

    size: str
    device: str = "auto"
    dtype: str = "auto"
    repeats: int = 3
    count: bool = True
    variants: bool = False
    twins: bool = True
    startup: bool = True
    load: bool = False


@dataclass(frozen=True)
class Verdict:
    """One budget: what may be, what is, and whether that is within it."""

    name: str
    budget: float
    figure: float
    unit: str

    @property
    def kept(self) -> bool:
        """Within the budget; what is not known is not."""
        return self.figure <= self.budget


@dataclass
class Report:
    """What was found.

    Attributes:
        size, device, dtype: of what, where, in what.
        timed: whether the networks were computed, or only counted.
        stages: of the networks; host: of what runs without them.
        weights: bytes of all networks; stage_zero: of those that only an anchor needs.
        evaluated: points of a latent over the nodes of its whole grid.
        ratios: of twins to ours.   variants: seconds of one pass, or why there are none.
        startup: of a process with the package's small checkpoint on the CPU; None where it was not measured.
        load: windows beside other work; None where they were not measured.
    """

    size: str
    device: str
    dtype: str
    timed: bool
    weights: int
    stage_zero: int
    evaluated: float
    stages: list[Measured] = field(default_factory=list)
    host: list[Measured] = field(default_factory=list)
    ratios: dict[str, float] = field(default_factory=dict)
    variants: dict[str, tuple[float, str]] = field(default_factory=dict)
    startup: Startup | None = None
    load: LoadTimes | None = None

    def window_cost(self) -> Cost | None:
        """Of all stages that every window runs, None where one could not be counted."""
        own = [one.cost for one in self.stages if one.per_window]
        return total([cost for cost in own if cost is not None]) if own and all(own) else None

    def host_seconds(self, beside: bool | None = None) -> float:
        """Of everything without networks in a window; only what is done beside the next one, or only what is not."""
        return sum(one.seconds for one in self.host if one.per_window and beside in (None, one.beside))

    def window_seconds(self) -> float:
        """Networks and the rest, one after the other; NaN where the networks were not timed."""
        return sum(one.seconds for one in self.stages if one.per_window) + self.host_seconds()

    def peak_bytes(self, stage_zero: bool = True) -> int:
        """The most that a window holds on the device: weights, with those of Stage 0 or without, and what it makes."""
        own = [one for one in self.stages if one.per_window]
        measured = max((one.peak_bytes for one in own), default=0)
        kept = self.weights if stage_zero else self.weights - self.stage_zero
        if measured:
            return measured - self.weights + kept
        return kept + max((one.cost.peak_bytes for one in own if one.cost is not None), default=0)

    def paper_seconds(self) -> dict[str, float]:
        """From one window to the next on devices that are not here, by the count; the host's part as measured here."""
        costs = [one.cost for one in self.stages if one.per_window and one.cost is not None]
        if self.window_cost() is None:
            return {}
        waited, beside = self.host_seconds(beside=False), self.host_seconds(beside=True)
        return {one.name: max(sum(one.seconds(cost) for cost in costs) + waited, beside) for one in DEVICES}

    def verdicts(self) -> list[Verdict]:
        """The budgets: those of the published size, and of every size that was measured beside other work."""
        return [*(self._published() if self.size == "published" else ()), *self._beside()]

    def _beside(self) -> list[Verdict]:
        if self.load is None:
            return []
        camera, work = self.load.camera / self.load.quiet, self.load.work / self.load.quiet
        return [
            Verdict("window beside a camera, over a quiet one", BESIDE_CAMERA, camera, "times"),
            Verdict("window beside a camera and one busy process a core", BESIDE_WORK, work, "times"),
        ]

    def _published(self) -> list[Verdict]:
        paper = self.paper_seconds()
        found = [
            Verdict(f"window to window on {one.name}, by the count", one.budget_s, paper.get(one.name, math.nan), "s")
            for one in DEVICES
            if one.budget_s is not None
        ]
        host = {one.name: one.seconds for one in self.host}
        kept = self.peak_bytes(stage_zero=False)
        first, loading = (math.nan, math.nan) if self.startup is None else (self.startup.total, self.startup.loading)
        return [
            *found,
            Verdict("GPU memory with Stage 0 off the device", 9.0, 1e-9 * kept, "GB"),
            Verdict("candidate surfaces, points evaluated of all", 5.0, 100 * self.evaluated, "%"),
            Verdict("preparation of an anchor of 20,000 vertices", 3.0, host.get("preparation", math.nan), "s"),
            Verdict("animation of 16 x 20,000 vertices", 0.3, host.get("animation", math.nan), "s"),
            Verdict("start of a process to its first window, small checkpoint", FIRST_WINDOW_S, first, "CPU s"),
            Verdict("of that, modules and weights after torch", LOADING_S, loading, "CPU s"),
        ]

    def as_json(self) -> dict[str, Any]:
        """Everything, for a file."""
        cost = self.window_cost()
        return asdict(self) | {
            "window_seconds": self.window_seconds(),
            "window_cost": None if cost is None else asdict(cost),
            "peak_bytes": self.peak_bytes(),
            "by_the_count_seconds": self.paper_seconds(),
            "verdicts": [asdict(one) | {"kept": one.kept} for one in self.verdicts()],
        }


def measure(ask: Ask) -> Report:
    """Measure one size.

    Raises:
        ConfigError: size, device or precision cannot be had.
    """
    size = find_size(ask.size)
    device = choose_device(ask.device)
    dtype = choose_dtype(ask.dtype, device)
    config = size.config()
    # The arithmetic is counted as on a GPU where there is none to compute it.
    ghost = build(size, torch.device("meta"), dtype if device.type == "cuda" else torch.bfloat16)
    weights, zero = network_bytes(ghost)
    computes = device.type == "cuda" or weights <= MOST_CPU_WEIGHTS
    report = Report(
        size.name, device_name(device), str(dtype if computes else ghost.dtype).removeprefix("torch."), computes,
        weights, zero, evaluated_share(config),
    )  # fmt: skip
    backbone = build(size, device, dtype) if computes else ghost
    if ask.load and computes:
        report.load = measure_load(backbone, config, ask.repeats)
    with beside() if ask.load else nullcontext():
        found = counted(network_stages(ghost, config)) if ask.count else {}
        if computes:
            found = merge(found, timed(network_stages(backbone, config), device, ask.repeats))
        report.stages = list(found.values())
        report.host = list(host_stages(backbone, config, ask.repeats).values())
        if ask.twins:
            report.ratios = twin_ratios(backbone, config)
        if ask.variants and computes:
            report.variants = pass_variants(backbone, ask.repeats)
        if ask.startup and size.name == "published":
            small = host_config(SIZES["small"].config())
            report.startup = measure_startup(Scene.of(make_mesh(small), small.frames).window)
    return report


def merge(costs: dict[str, Measured], times: dict[str, Measured]) -> dict[str, Measured]:
    """Times with the costs that were counted."""
    for name, one in times.items():
        if name in costs:
            one.cost, one.note = costs[name].cost, one.note or costs[name].note
    return times


def find_size(name: str) -> Size:
    """A size by its name.

    Raises:
        ConfigError: there is none.
    """
    if name not in SIZES:
        raise ConfigError(f"there is no size {name!r}; there are {', '.join(SIZES)}")
    return SIZES[name]


def network_bytes(backbone: Backbone) -> tuple[int, int]:
    """Bytes of all weights, and of those of Stage 0 alone."""
    every = [backbone.vae, backbone.stage_zero, backbone.stage_one]
    encoders = [backbone.encoder_zero.model, backbone.encoder_one.model]
    unique = list({id(one): one for one in encoders}.values())
    return weight_bytes([*every, *unique]), weight_bytes([backbone.stage_zero])


def device_name(device: torch.device) -> str:
    """The card's name, or the processor's kind and threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()}, {torch.get_num_threads()} threads"
