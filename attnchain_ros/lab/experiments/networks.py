"""The networks by themselves: how much of the true shape each of them gives, before any chain."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ...config import replace
from ...conventions import ANCHOR_FRAME
from ...rollout.anchor import encode_mesh
from ...rollout.trace import encode_frames, first_picture, object_square
from ..evaluation.records import cell, spread
from ..evaluation.sequences import cut_windows
from .bench import Bench, Experiment, Section, Task
from .rows import Figures, Row, failure_lines, names_of, select, values_of

IMAGE_STEPS = (4, 30)
"""Denoising steps of Stage 0, besides the run's own."""
_POINTS = 32768
_TABLE = "networks"


def run(bench: Bench, task: Task) -> list[Row]:
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

    def imagined(steps: int) -> Figures:
        picture = first_picture(backbone, window, square)
        sampling = config.sampling
        return overlap(backbone.image_to_latent(picture, steps, sampling.stage0_guidance, sampling.seed), ANCHOR_FRAME)

    anchor = encoded(ANCHOR_FRAME)
    plain = replace(config, {"reinforce.mode": "off"})
    stage = backbone.denoise(anchor, encode_frames(backbone, config, window, square), plain, config.sampling.seed)
    measured: dict[str, Callable[[], Figures]] = {"VAE, first frame": lambda: overlap(anchor, ANCHOR_FRAME)}
    for steps in sorted({*IMAGE_STEPS, config.sampling.stage0_steps}):
        measured[f"image to 3D, {steps} steps"] = lambda steps=steps: imagined(steps)
    for frame in frames:
        measured[f"Stage I, frame {frame}"] = lambda frame=frame: overlap(stage.latents[frame], frame)
        measured[f"first frame's latent, frame {frame}"] = lambda frame=frame: overlap(anchor, frame)
        measured[f"VAE, frame {frame}"] = lambda frame=frame: overlap(encoded(frame), frame)
    return [scene.subject.row(_TABLE, name, measure) for name, measure in measured.items()]


def intersection_over_union(found: np.ndarray, true: np.ndarray) -> float:
    """Of two sets of points [n] bool; 0 where both are empty."""
    return float((found & true).sum() / max(1, (found | true).sum()))


def describe(bench: Bench, rows: Sequence[Row]) -> Section:
    """Means of every network, by family."""
    families = names_of(rows, "family")
    steps = bench.config.sampling.steps
    lines = [
        "Intersection over union (IoU) of decoded and true solid, over points of the whole cube. The VAE encodes the "
        "true mesh as the pipeline does; image to 3D sees the first picture; Stage I starts from the true mesh of the "
        f"first frame and takes {steps} steps; the first frame's latent is what a generator without motion would give.",
        "",
        "| network | clips that succeeded | all | " + " | ".join(families) + " |",
        "|---|---|---|" + "---|" * len(families),
    ]
    for setting in names_of(rows, "setting"):
        own = select(rows, setting=setting)
        cells = [cell(spread(values_of(part, "iou"))) for part in (own, *(select(own, family=f) for f in families))]
        good = sum(not row.failure for row in own)
        lines.append(f"| {setting} | {good} of {len(own)} | " + " | ".join(cells) + " |")
    return Section(EXPERIMENT.title, [*lines, "", *failure_lines(rows)])


EXPERIMENT = Experiment("networks", "The networks by themselves", run, describe)
