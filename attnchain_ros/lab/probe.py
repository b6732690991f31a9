"""Ranking the ways to read attention without ground truth: there and back through the chain."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from ..backbone import Backbone
from ..config import RolloutConfig, replace
from ..conventions import ANCHOR_FRAME
from ..errors import ConfigError, SurfaceError
from ..rollout import Rollout
from ..rollout.state import RolloutState
from ..rollout.trace import Trace
from ..rollout.window import Window
from .cycle import cycle_errors, nearest_neighbours, neighbour_distortions, return_points

NEIGHBOURS = 8
"""Neighbours of a landmark whose distances the distortion compares."""

GROUPS = ("layers", "heads", "steps", "direction", "renormalise")


@dataclass(frozen=True)
class Reading:
    """One way to read the attention: a group of ``GROUPS``, what it is called there, and the options that it sets."""

    group: str
    name: str
    changes: tuple[tuple[str, object], ...]

    def apply(self, config: RolloutConfig) -> RolloutConfig:
        """The options with this reading."""
        changed: RolloutConfig = replace(config, dict(self.changes))
        return changed


def readings(
    backbone: Backbone, config: RolloutConfig, groups: Sequence[str] = GROUPS[:1] + GROUPS[2:]
) -> list[Reading]:
    """The ways to read one window, one option at a time around ``config``.

    Layers: each inflated layer alone, the first half, the last half and all. Steps: each denoising step alone and
    all. Directions: all three. Renormalisation: on and off. Heads depend on a layer: ``head_readings``.

    Raises:
        ConfigError: an unknown group.
    """
    unknown = [group for group in groups if group not in GROUPS or group == "heads"]
    if unknown:
        raise ConfigError(f"there is no group of readings {unknown[0]!r}; there are {', '.join(GROUPS)}")
    layers = list(backbone.stage_one.sizes.inflated_layers)
    half = (len(layers) + 1) // 2
    values: dict[str, list[tuple[str, object]]] = {
        "layers": [
            *((f"layer {layer}", str(layer)) for layer in layers),
            ("first half of the layers", _join(layers[:half])),
            ("last half of the layers", _join(layers[half:] or layers)),
            ("all layers", "all"),
        ],
        "steps": [*((f"step {step}", str(step)) for step in range(config.sampling.steps)), ("all steps", "all")],
        "direction": [(name, name) for name in ("forward", "backward", "both")],
        "renormalise": [("rows renormalised", True), ("rows as they are", False)],
    }
    return [
        Reading(group, name, ((f"readout.{group}", value),))
        for group in values
        if group in groups
        for name, value in values[group]
    ]


def head_readings(backbone: Backbone, layers: str) -> list[Reading]:
    """Each head alone, and all of them, of the layers read (as in ``ReadoutConfig.layers``)."""
    heads = [(f"head {head}", str(head)) for head in range(backbone.stage_one.sizes.heads)]
    return [
        Reading("heads", name, (("readout.layers", layers), ("readout.heads", value)))
        for name, value in [*heads, ("all heads", "all")]
    ]


@dataclass(frozen=True)
class ProbeScores:
    """What the probe says about one reading of one window; lower is better everywhere.

    Attributes:
        cycle: mean distance between a landmark and the point to which it comes back through the transposed chain, as a
            share of the anchor's diagonal; over landmarks and frames.
        distortion: mean relative change of the distances between neighbouring landmarks (``NEIGHBOURS`` each) on the
            way there. A map that mixes up far places and undoes that on the way back has no cycle error, but it tears
            neighbours apart; a map that gathers everything in one place has a distortion of 1.
    """

    cycle: float
    distortion: float

    @property
    def both(self) -> float:
        """The geometric mean of the two, which ranks alike in whatever units they are: the probe's score."""
        return math.sqrt(self.cycle * self.distortion)


@torch.no_grad()
def score_cycle(backbone: Backbone, config: RolloutConfig, seen: Trace) -> ProbeScores:
    """There and back again: V_a -> Z_a -> Z_f -> V_f as configured, and V_f -> Z_f -> Z_a -> V_a with the same map.

    Landmarks go to raw matches, before outliers are rejected; the way back may end on any vertex of the anchor mesh.
    Frames without a surface do not count, nor does the anchor frame.

    Raises:
        SurfaceError: no frame has a surface.
    """
    anchor, matches = seen.state.anchor, seen.matches
    device = backbone.device
    vertices = torch.from_numpy(anchor.mesh.vertices).to(device)
    anchor_tokens = seen.anchor_field.attention(vertices[None])[0]
    fields = backbone.decode(seen.stage.latents)
    near = nearest_neighbours(seen.landmarks, NEIGHBOURS)
    diagonal = seen.diagonal
    cycles, distortions = [], []
    for frame in range(seen.frames):
        if frame == ANCHOR_FRAME or frame in matches.empty_frames:
            continue
        found = matches.points[frame]
        found_tokens = fields.select(frame, frame + 1).attention(found[None])[0]
        back = return_points(
            found_tokens, seen.stage.maps.token_tokens[frame], anchor_tokens, vertices, config.match, diagonal
        )
        cycles.append(cycle_errors(seen.landmarks, back, diagonal).mean())
        distortions.append(neighbour_distortions(seen.landmarks, found, near).mean())
    if not cycles:
        raise SurfaceError("no frame of the window has a surface to go to and come back from: is the mask right?")
    return ProbeScores(float(torch.stack(cycles).mean()), float(torch.stack(distortions).mean()))


def probe_window(rollout: Rollout, window: Window, start: RolloutState, ways: Iterable[Reading]) -> list[ProbeScores]:
    """Score every reading of one window; the maps of one reading at a time are held, and the denoiser runs for each.

    Args:
        rollout: with reinforcement off, which would read on its own account; its options are what readings change.
        window: to score.
        start: where the window starts (``Rollout.start``).
        ways: the readings.
    Raises:
        ConfigError: reinforcement is on.   AttnChainError: whatever ``Rollout.trace`` and ``score_cycle`` raise.
    """
    config = rollout.config
    if config.reinforce.mode != "off":
        raise ConfigError(f"reinforce.mode is {config.reinforce.mode!r}: a window is probed without: set it to off")
    scores = []
    try:
        for way in ways:
            own = way.apply(config)
            rollout.configure(own)
            scores.append(score_cycle(rollout.backbone, own, rollout.trace(window, start)))
    finally:
        rollout.configure(config)
    return scores


def _join(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))
