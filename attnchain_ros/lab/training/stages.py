"""The stages of a training, from a recipe and a working folder."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import torch
import torch.distributed

from ...backbone.dinov2 import DinoV2
from ...backbone.transformer import FlowTransformer
from ...backbone.vae import ShapeVae
from ...errors import ConfigError, WeightsError
from ...files.atomic import write_bytes
from ...workers import end_with_parent
from .data import make_data, open_windows
from .flows import ImageTo3DTask, TemporalTask, start_at_rest
from .loop import Task, below, read_checkpoint, train, trained_weights
from .pictures import DenseEncoder, PictureTask, make_encoder
from .recipe import Recipe, recipe_tree
from .shapes import VaeTask, start_certain
from .start import load_start

LOG = logging.getLogger(__name__)

TRAINED = ("vae", "image-encoder", "image-to-3d", "temporal")
STAGES = ("data", *TRAINED)


def data_folder(work: Path) -> Path:
    """Where the shards lie."""
    return work / "data"


def load_vae(recipe: Recipe, work: Path) -> ShapeVae:
    """The VAE of a working folder, with its encoder frozen already.

    Raises:
        WeightsError: it has not been trained that far.
    """
    tensors, step = read_checkpoint(work / "vae")
    freeze_at = round(recipe.vae.freeze_share * recipe.vae.optim.steps)
    if step <= freeze_at:
        raise WeightsError(
            f"{work / 'vae'} is at step {step}, its encoder is final after {freeze_at}: train it further"
        )
    vae = ShapeVae(recipe.vae.sizes())
    vae.load_state_dict(below(tensors, "weights/"))
    return vae.eval().requires_grad_(False)


def load_encoder(recipe: Recipe, work: Path) -> DinoV2:
    """The image encoder of a working folder."""
    encoder = make_encoder(recipe.image_encoder, recipe.data.image_size)
    weights = trained_weights(work / "image-encoder")
    encoder.load_state_dict(below(weights, "encoder."))
    encoder.eval().requires_grad_(False)
    return encoder


def load_flow(recipe: Recipe, work: Path, stage: str) -> FlowTransformer:
    """A trained flow transformer of a working folder: ``stage`` is 'image-to-3d' or 'temporal'."""
    network = make_flow(recipe, stage)
    network.load_state_dict(trained_weights(work / stage))
    return network.eval().requires_grad_(False)


def make_flow(recipe: Recipe, stage: str) -> FlowTransformer:
    """An untrained flow transformer."""
    width = recipe.image_encoder.width
    if stage == "temporal":
        return start_at_rest(FlowTransformer(recipe.temporal.sizes(recipe.vae, width, recipe.data.frames)))
    return start_at_rest(FlowTransformer(recipe.image_to_3d.sizes(recipe.vae, width)))


def make_task(stage: str, recipe: Recipe, work: Path) -> Task:
    """The task of a stage, networks of earlier stages loaded from the working folder.

    Its own network is untrained, or starts from ``Recipe.start_weights`` or from the stage that ``start_from`` names.
    """
    windows, held_out = open_windows(data_folder(work), "train"), open_windows(data_folder(work), "validation")
    torch.manual_seed(recipe.seed + TRAINED.index(stage))
    start = Path(recipe.start_weights) if recipe.start_weights else None
    if stage == "vae":
        shapes = start_certain(ShapeVae(recipe.vae.sizes()))
        if start is not None:
            load_start(shapes, stage, start)
        return VaeTask(shapes, recipe.vae, windows, held_out, recipe.seed)
    if stage == "image-encoder":
        cells = recipe.image_encoder.patch // recipe.data.label_stride
        dense = DenseEncoder(make_encoder(recipe.image_encoder, recipe.data.image_size), cells)
        if start is not None:
            load_start(dense.encoder, stage, start)
        return PictureTask(dense, recipe.image_encoder, windows, held_out)
    vae, encoder = load_vae(recipe, work), load_encoder(recipe, work)
    network = make_flow(recipe, stage)
    if start is not None:
        load_start(network, stage, start)
    start_from = (recipe.temporal if stage == "temporal" else recipe.image_to_3d).start_from
    if start_from:
        network.load_state_dict(trained_weights(work / start_from))
    if stage == "temporal":
        return TemporalTask(network, recipe.temporal, vae, encoder, windows, held_out)
    return ImageTo3DTask(network, recipe.image_to_3d, vae, encoder, windows, held_out)


def run_rank(
    rank: int, processes: int, stage: str, recipe: Recipe, work: Path, resume: bool, minutes: float | None, threads: int
) -> None:
    """Train one stage in one of several processes that share their gradients."""
    end_with_parent()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(threads)
    if processes > 1:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        meeting = (work / stage / "meeting").resolve()
        torch.distributed.init_process_group("gloo", init_method=meeting.as_uri(), rank=rank, world_size=processes)
    train(
        make_task(stage, recipe, work),
        work / stage,
        recipe.seed,
        resume=resume,
        minutes=minutes,
        rank=rank,
        processes=processes,
    )
    if processes > 1:
        torch.distributed.destroy_process_group()


def run_stage(
    stage: str,
    recipe: Recipe,
    work: Path,
    *,
    resume: bool = False,
    minutes: float | None = None,
    threads: int = 1,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Run one stage.

    Args:
        stage: one of ``STAGES``; ``study.run_study`` and ``export.export_checkpoint`` come after them.
        recipe: sizes, data, optimisation.
        work: working folder; each stage has its own folder in it.
        resume: go on from the stage's checkpoint.
        minutes: stop after this much time; a checkpoint is left.
        threads: threads of each process. Two processes of one thread beat one of two.
        processes: processes that share their gradients; each takes the recipe's batch.
        progress: of the stage 'data', called with shards done and shards in all.
    Raises:
        ConfigError: the stage is unknown, or there is a checkpoint and ``resume`` was not asked for.
    """
    if stage not in STAGES:
        raise ConfigError(f"stage is {stage!r}, wanted one of {', '.join(STAGES)}")
    work = Path(work)
    write_bytes(work / "recipe.json", json.dumps(recipe_tree(recipe), indent=2).encode() + b"\n")
    if stage == "data":
        make_data(data_folder(work), recipe.data, progress)
        return
    folder = work / stage
    if folder.is_dir() and any(folder.iterdir()) and not resume:
        raise ConfigError(f"{folder} has a training in it already: pass --resume to go on, or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    if processes == 1:
        run_rank(0, 1, stage, recipe, work, resume, minutes, threads)
        return
    (folder / "meeting").unlink(missing_ok=True)
    context = get_context("spawn")
    workers = [
        context.Process(target=run_rank, args=(rank, processes, stage, recipe, work, resume, minutes, threads))
        for rank in range(processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    failed = [worker.exitcode for worker in workers if worker.exitcode]
    if failed:
        raise WeightsError(f"{len(failed)} of {processes} training processes failed (exit {failed[0]}): see the log")
