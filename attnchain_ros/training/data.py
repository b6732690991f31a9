"""Synthetic training data on disk: folders of plain arrays that are mapped into memory, so that stages share them."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from ..errors import FileFormatError
from ..files.atomic import folder_then_rename
from ..synthetic import Clip, ClipConfig, Split, make_clip, render_cropped, split_seed
from ..synthetic.motion import PERIOD_FRAMES, take_frames
from .recipe import DataConfig

LOG = logging.getLogger(__name__)

ARRAYS = ("images", "points", "normals", "starts", "ends", "radii", "parts", "xyz")
BACKGROUND = -1


def window_clip(split: Split, index: int, config: DataConfig) -> Clip:
    """The window of consecutive frames that a clip contributes.

    Every other clip starts at a random time of its motion: windows after the first start from any pose, and there the
    box of the first frame is not centred at the origin.

    Args:
        split: which seeds; index: which clip; config: sizes.
    Returns:
        a clip of ``config.frames`` frames.
    """
    seed = split_seed(split, index)
    rng = np.random.default_rng([seed, 7])
    offset = int(rng.integers(1, PERIOD_FRAMES - config.frames)) if index % 2 else 0
    long = make_clip(
        seed,
        ClipConfig(frames=offset + config.frames, image_size=config.image_size, surface_points=config.surface_points),
    )
    frames = np.arange(offset, offset + config.frames)
    return dataclasses.replace(
        long,
        config=dataclasses.replace(long.config, frames=config.frames),
        pose=take_frames(long.pose, frames),
        camera_from_object=long.camera_from_object[frames],
    )


def window_arrays(clip: Clip, config: DataConfig) -> dict[str, np.ndarray]:
    """What training needs of a clip of F frames, P points, S x S pictures and labels on an L x L grid.

    Returns:
        images [F, S, S, 3] uint8, cropped as the image pipeline crops; points [F, P, 3] float16 and normals [F, P, 3]
        int8 (times 127) of the tracked surface points; starts, ends [F, 13, 3] float32 and radii [13] float32 of the
        capsules (the exact signed distance); parts [F, L, L] int8, -1 on the background, and xyz [F, L, L, 3] float16.
    """
    seen = render_cropped(clip, range(config.frames), config.image_size, config.rays_per_side)
    half, step = config.label_stride // 2, config.label_stride
    return {
        "images": seen.images,
        "points": clip.surface_points.astype(np.float16),
        "normals": np.rint(clip.surface_normals * 127).astype(np.int8),
        "starts": clip.pose.starts.astype(np.float32),
        "ends": clip.pose.ends.astype(np.float32),
        "radii": clip.pose.radii.astype(np.float32),
        "parts": seen.parts[:, half::step, half::step].astype(np.int8),
        "xyz": seen.xyz[:, half::step, half::step].astype(np.float16),
    }


def make_shard(folder: Path, split: Split, first: int, count: int, config: DataConfig) -> None:
    """Write one shard: a folder with one ``.npy`` file per array, clips along the first axis. It appears complete."""
    windows = [window_arrays(window_clip(split, index, config), config) for index in range(first, first + count)]
    with folder_then_rename(folder, overwrite=True) as place:
        place.mkdir()
        for name in ARRAYS:
            np.save(place / f"{name}.npy", np.stack([window[name] for window in windows]), allow_pickle=False)


def make_data(folder: Path, config: DataConfig, progress: Callable[[int, int], None] | None = None) -> None:
    """Write all shards that are not there yet.

    Args:
        folder: where the shards go, ``<split>-<first clip>``.
        config: how many clips of which sizes.
        progress: called with shards done and shards in all.
    """
    jobs: list[tuple[Path, Split, int, int]] = []
    splits: tuple[tuple[Split, int], ...] = (("validation", config.validation_clips), ("train", config.clips))
    for split, clips in splits:
        for first in range(0, clips, config.shard_clips):
            place = folder / f"{split}-{first:06d}"
            if not place.is_dir():
                jobs.append((place, split, first, min(config.shard_clips, clips - first)))
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(config.workers, mp_context=get_context("spawn")) as pool:
        running = [pool.submit(make_shard, *job, config) for job in jobs]
        for done, job in enumerate(running, start=1):
            job.result()
            if progress is not None:
                progress(done, len(jobs))
            LOG.info("shard %d of %d", done, len(jobs))


@dataclass(frozen=True)
class Windows:
    """Clips of one split, mapped from disk.

    Attributes:
        shards: one dict of mapped arrays per shard.
        where: [clips, 2] shard and row of every clip.
    """

    shards: tuple[dict[str, np.ndarray], ...]
    where: np.ndarray

    def __len__(self) -> int:
        return len(self.where)

    def take(self, name: str, clips: np.ndarray, frames: np.ndarray | None = None) -> np.ndarray:
        """Rows of an array: clips [B] and, where given, frames [B] or [B, n] of each."""
        rows = []
        for position, clip in enumerate(clips):
            shard, row = self.where[clip]
            value = self.shards[shard][name][row]
            rows.append(value if frames is None else value[frames[position]])
        return np.stack(rows)


def open_windows(folder: Path, split: Split) -> Windows:
    """Map the shards of a split that are complete.

    Raises:
        FileFormatError: there is none, or one lacks an array.
    """
    places = sorted(Path(folder).glob(f"{split}-*"))
    if not places:
        raise FileFormatError(f"{folder} has no {split} shards: run the data stage first")
    shards = []
    where = []
    for number, place in enumerate(places):
        try:
            shard = {name: np.load(place / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS}
        except (OSError, ValueError) as error:
            raise FileFormatError(
                f"{place} is no shard of training data ({error}): remove it and run the data stage"
            ) from error
        shards.append(shard)
        where += [(number, row) for row in range(len(shard["images"]))]
    return Windows(tuple(shards), np.array(where))
