"""The networks by themselves: how much of the true shape each of them gives, before any chain."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...config import replace
from ...conventions import ANCHOR_FRAME
from ...rollout.anchor import encode_mesh
from ...rollout.trace import encode_frames, first_picture, object_square
from ..evaluation.sequences import cut_windows
from ..report import Section, cell, failure_lines, markdown
from ..table import Figures, concat, names_of, select, spread_of, succeeded
from .bench import Bench, Experiment, Task

if TYPE_CHECKING:
    import pandas as pd

IMAGE_STEPS = (4, 30)
"""Denoising steps of Stage 0, besides the run's own."""
_POINTS = 32768
_GROUP = "networks"


def run(bench: Bench, task: Task) -> pd.DataFrame:
    """One clip: the VAE, Stage 0 and Stage I against the true shape."""
    scene = bench.scene(task)
    clip, backbone, config = scene.clip, bench.backbone, bench.config
    points = np.random.default_rng(task.clip).uniform(-1.0, 1.0, (_POINTS, 3)).astype(np.float32)
    queries = torch.from_numpy(points).to(backbone.device)
    window = next(cut_windows(clip.images, clip.masks, len(clip.images), clip.intrinsics))
    square = object_square(backbone, config, window)
    last = len(clip.images) - 1
    frames = sorted({last // 4, (last + 1) // 2, last})

    def overlap(latent: Tensor, frame: int) -> Figures:
        with torch.no_grad():
            found = (backbone.decode(latent[None]).logits(queries[None])[0] > 0).cpu().numpy()
        return {"iou": intersection_over_union(found, clip.sdf(frame, points) < 0)}

    def encoded(frame: int) -> Tensor:
        return encode_mesh(backbone, scene.truth.vertices[frame], scene.truth.faces, config, 0)

    def posed(frame: int) -> Figures:
        return overlap(encoded(frame), frame)

    def imagined(steps: int) -> Figures:
        picture = first_picture(backbone, window, square)
        sampling = config.sampling
        return overlap(backbone.image_to_latent(picture, steps, sampling.stage0_guidance, sampling.seed), ANCHOR_FRAME)

    anchor = encoded(ANCHOR_FRAME)
    plain = replace(config, {"reinforce.mode": "off"})
    stage = backbone.denoise(anchor, encode_frames(backbone, config, window, square), plain, config.sampling.seed)
    measured: dict[str, Callable[[], Figures]] = {"VAE, first frame": lambda: overlap(anchor, ANCHOR_FRAME)}
    for steps in sorted({*IMAGE_STEPS, config.sampling.stage0_steps}):
        measured[f"image to 3D, {steps} steps"] = functools.partial(imagined, steps)
    for frame in frames:
        measured[f"Stage I, frame {frame}"] = functools.partial(overlap, stage.latents[frame], frame)
        measured[f"first frame's latent, frame {frame}"] = functools.partial(overlap, anchor, frame)
        measured[f"VAE, frame {frame}"] = functools.partial(posed, frame)
    return concat(scene.subject.measure(_GROUP, name, measure) for name, measure in measured.items())


def intersection_over_union(found: np.ndarray, true: np.ndarray) -> float:
    """Of two sets of points [n] bool; 0 where both are empty."""
    return float((found & true).sum() / max(1, (found | true).sum()))


def describe(bench: Bench, table: pd.DataFrame) -> Section:
    """Means of every network, by family."""
    families = names_of(table, "family")
    steps = bench.config.sampling.steps
    lines = [
        "Intersection over union (IoU) of decoded and true solid, over points of the whole cube. The VAE encodes the "
        "true mesh as the pipeline does; image to 3D sees the first picture; Stage I starts from the true mesh of the "
        f"first frame and takes {steps} steps; the first frame's latent is what a generator without motion would give.",
        "",
    ]
    rows = []
    for variant in names_of(table, "variant"):
        own = select(table, variant=variant)
        good, tried = succeeded(own)
        parts = (own, *(select(own, family=family) for family in families))
        rows.append([variant, f"{good} of {tried}", *(cell(spread_of(part, "iou")) for part in parts)])
    lines += markdown(["network", "clips that succeeded", "all", *families], rows)
    return Section(EXPERIMENT.title, [*lines, *failure_lines(table)])


EXPERIMENT = Experiment("networks", "The networks by themselves", run, describe)
