"""Which of the denoiser's layers to read, found on held-out clips."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...backbone.layers import attention_rows
from ...backbone.schedule import stage_one_schedule
from ...files.atomic import write_bytes
from .data import open_windows
from .flows import encode_images, encode_window, sample_window, window_surface
from .recipe import Recipe
from .stages import data_folder, load_encoder, load_flow, load_vae

LOG = logging.getLogger(__name__)

MOVED = 0.25
"""A point that went farther than this counts as moved, object units."""

DIRECTIONS = ("forward", "backward", "both")


class LayerMaps:
    """A probe that keeps every layer's map between the anchor (frame 0) and one frame, mean over heads.

    Attributes:
        maps: by direction ('forward' or 'backward') one [N, N] map a layer, rows: anchor tokens, rows sum to 1.
    """

    def __init__(self, tokens: int, frame: int) -> None:
        self.tokens = tokens
        self.start = frame * (tokens + 1) + 1
        self.maps: dict[str, list[Tensor]] = {"forward": [], "backward": []}

    def self_attention(self, layer: int, q: Tensor, k: Tensor, v: Tensor, out: Tensor) -> Tensor:
        """Keep one layer's maps."""
        anchor, there = slice(1, 1 + self.tokens), slice(self.start, self.start + self.tokens)
        forward = attention_rows(q[0, :, anchor], k[0])[..., there].mean(0)
        backward = attention_rows(q[0, :, there], k[0])[..., anchor].mean(0).T
        for name, value in (("forward", forward), ("backward", backward)):
            self.maps[name].append(value)
        return out

    def cross_attention(self, layer: int, q: Tensor, k: Tensor) -> None:
        """Pictures are not looked at."""


def joined(maps: dict[str, list[Tensor]], layers: Sequence[int], direction: str) -> Tensor:
    """Mean over layers, rows made to sum to 1, as the read-out does it: [N, N]."""
    names = ("forward", "backward") if direction == "both" else (direction,)
    parts = []
    for name in names:
        mean = torch.stack([maps[name][layer] for layer in layers]).mean(0)
        parts.append(mean / mean.sum(-1, keepdim=True).clamp_min(1e-20))
    return torch.stack(parts).mean(0)


@dataclass(frozen=True)
class Sample:
    """One generated window's last frame.

    Attributes:
        maps: ``LayerMaps.maps``.
        anchor_rows: [K, N] A_{V->Z} of tracked points on the anchor.
        frame_rows: [U, N] A_{V->Z} of the frame's true surface points, in its generated latent.
        surface: [U, 3] those points. truth, start: [K, 3] where the tracked points are in the frame and in the anchor.
    """

    maps: dict[str, list[Tensor]]
    anchor_rows: Tensor
    frame_rows: Tensor
    surface: Tensor
    truth: Tensor
    start: Tensor


@torch.no_grad()
def make_samples(recipe: Recipe, work: Path, clips: int, steps: int = 4) -> list[Sample]:
    """Generate the windows of held-out clips from their true anchors and keep what the chain needs.

    Args:
        recipe, work: the training.
        clips: how many held-out clips.
        steps: denoising steps.
    """
    vae, encoder, network = load_vae(recipe, work), load_encoder(recipe, work), load_flow(recipe, work, "temporal")
    held_out = open_windows(data_folder(work), "validation")
    tokens, frames = network.sizes.tokens, network.sizes.frames
    # A quarter of the surface points is followed; the others are the candidates, so that the answer is not among them.
    tracked = recipe.data.surface_points // 4
    samples = []
    for clip in range(min(clips, len(held_out))):
        chosen, rows = np.array([clip]), np.arange(frames)[None]
        surface = window_surface(held_out, chosen, rows)
        rng = np.random.default_rng([recipe.seed, clip])
        _, anchor, _ = encode_window(vae, surface, torch.zeros(1, dtype=torch.long), tokens, rng)
        keys = network.project_context(encode_images(encoder, torch.from_numpy(held_out.take("images", chosen)[0])))
        probe = LayerMaps(tokens, frames - 1)
        noise = torch.Generator().manual_seed(recipe.seed + clip)
        share, schedule = recipe.temporal.anchor_noise, stage_one_schedule(steps)
        made = sample_window(network, anchor, keys, schedule, share, noise, probe)
        start, end = surface[0, 0, :, :3], surface[0, -1, :, :3]
        samples.append(
            Sample(
                probe.maps,
                vae.decode(anchor).attention(start[None, :tracked])[0],
                vae.decode(made[:, -1]).attention(end[None, tracked:])[0],
                end[tracked:],
                end[:tracked],
                start[:tracked],
            )
        )
    return samples


def follow(sample: Sample, layers: Sequence[int], direction: str, top: int = 16) -> Tensor:
    """Where the chain puts the tracked points: [K, 3] (Eq. 2 to 4, a score-weighted mean of the best near points)."""
    scores = sample.anchor_rows @ joined(sample.maps, layers, direction) @ sample.frame_rows.T
    value, index = scores.topk(min(top, scores.shape[1]), dim=1)
    points = sample.surface[index]
    near = (points - points[:, :1]).norm(dim=-1) < 0.1
    weight = torch.softmax(value / (0.05 * value[:, :1].clamp_min(1e-20)), dim=1) * near
    found: Tensor = (weight[..., None] * points).sum(1) / weight.sum(1, keepdim=True)
    return found


def chain_errors(samples: Sequence[Sample], layers: Sequence[int], direction: str) -> dict[str, float]:
    """Mean distances at the last frame: chain and still mesh, over all tracked points and over those that moved.

    ``token_match`` is the share of anchor tokens whose strongest partner is the token of the same surface point.
    """
    wrong, still, match = [], [], []
    for sample in samples:
        wrong.append((follow(sample, layers, direction) - sample.truth).norm(dim=-1))
        still.append((sample.start - sample.truth).norm(dim=-1))
        best = joined(sample.maps, layers, direction).argmax(-1)
        match.append((best == torch.arange(len(best))).float().mean())
    errors, rest = torch.cat(wrong), torch.cat(still)
    moved = rest > MOVED
    return {
        "all": float(errors.mean()),
        "all_still": float(rest.mean()),
        "moved": float(errors[moved].mean()),
        "moved_still": float(rest[moved].mean()),
        "ratio": float(errors[moved].mean() / rest[moved].mean()),
        "token_match": float(torch.stack(match).mean()),
    }


def choose_layers(samples: Sequence[Sample], layers: int) -> tuple[tuple[int, ...], str, dict[str, dict[str, float]]]:
    """Greedy choice: the best single layer and direction, then layers that lower the errors by 1 % or more.

    Returns:
        layers, direction, and the figures of every choice that was tried, by name such as 'forward 2,3'.
    """
    table: dict[str, dict[str, float]] = {}

    def error(chosen: Sequence[int], direction: str) -> float:
        name = f"{direction} {','.join(map(str, chosen))}"
        if name not in table:
            table[name] = chain_errors(samples, chosen, direction)
        return table[name]["moved"] + table[name]["all"]

    found: list[tuple[float, tuple[int, ...], str]] = []
    for direction in DIRECTIONS:
        error(tuple(range(layers)), direction)
        singles: list[tuple[int, ...]] = [(layer,) for layer in range(layers)]
        best = min(singles, key=lambda chosen: error(chosen, direction))
        while len(best) < layers:
            wider = min(
                (tuple(sorted((*best, layer))) for layer in range(layers) if layer not in best),
                key=lambda chosen: error(chosen, direction),
            )
            if error(wider, direction) > 0.99 * error(best, direction):
                break
            best = wider
        found.append((error(best, direction), best, direction))
    _, chosen, direction = min(found)
    return chosen, direction, table


def run_study(recipe: Recipe, work: Path, clips: int = 20) -> dict[str, dict[str, float]]:
    """Choose layers and direction, and write them to ``<work>/recommended.json`` for the export.

    Returns:
        figures of every choice tried; also written to ``<work>/study.json``.
    """
    samples = make_samples(recipe, work, clips)
    layers, direction, table = choose_layers(samples, recipe.temporal.layers)
    options = {"readout.layers": ",".join(map(str, layers)), "readout.direction": direction}
    write_bytes(work / "recommended.json", json.dumps(options, indent=2).encode() + b"\n")
    write_bytes(work / "study.json", json.dumps(table, indent=1).encode() + b"\n")
    for name, figures in table.items():
        LOG.info("%-22s %s", name, {key: round(value, 4) for key, value in figures.items()})
    LOG.info("chosen: %s", options)
    return table
