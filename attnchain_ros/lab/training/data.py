"""Synthetic training data on disk: folders of plain arrays that are mapped into memory, so that stages share them."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from ...errors import FileFormatError
from ...files.atomic import folder_then_rename
from ...workers import end_with_parent
from ..synthetic import (
    MOST_PARTS,
    TRAINED_FAMILIES,
    Clip,
    ClipConfig,
    Split,
    make_clip,
    part_offset,
    render_cropped,
    split_family,
    split_seed,
)
from ..synthetic.motion import PERIOD_FRAMES, take_frames
from .recipe import DataConfig

LOG = logging.getLogger(__name__)

ARRAYS = ("images", "points", "normals", "centers", "axes", "half", "radii", "parts", "xyz", "family")
BACKGROUND = -1

NO_SOLID = -10.0
"""Radius of the solids that fill up the arrays of things with few parts: every point is far outside."""


def window_clip(split: Split, index: int, config: DataConfig) -> Clip:
    """The window of consecutive frames that a clip contributes.

    Every other clip starts at a random time of its motion: windows after the first start from any pose, and there the
    box of the first frame is not centred at the origin. The camera is static (``DataConfig``).

    Args:
        split: which seeds; index: which clip; config: sizes.
    Returns:
        a clip of ``config.frames`` frames.
    """
    seed = split_seed(split, index)
    rng = np.random.default_rng([seed, 7])
    offset = int(rng.integers(1, PERIOD_FRAMES - config.frames)) if index % 2 else 0
    asked = ClipConfig(
        family=split_family(split, index) if config.families == "trained" else config.families,
        frames=offset + config.frames,
        image_size=config.image_size,
        surface_points=config.surface_points,
    )
    long = make_clip(seed, asked)
    frames = np.arange(offset, offset + config.frames)
    return dataclasses.replace(
        long,
        config=dataclasses.replace(long.config, frames=config.frames),
        pose=take_frames(long.pose, frames),
        camera_from_object=long.camera_from_object[frames],
    )


def window_arrays(clip: Clip, config: DataConfig) -> dict[str, np.ndarray]:
    """What training needs of a clip of F frames, P points, M solids, S x S pictures and labels on an L x L grid.

    M is ``MOST_PARTS`` for every clip; the last solids of things with fewer parts have the radius ``NO_SOLID``.

    Returns:
        images [F, S, S, 3] uint8, cropped as the image pipeline crops; points [F, P, 3] float16 and normals [F, P, 3]
        int8 (times 127) of the tracked surface points; centers [F, M, 3], axes [F, M, 3, 3], half [M, 3] and radii [M]
        float32 of the solids (the exact signed distance); parts [F, L, L] int8, counted through all trained families,
        -1 on the background; xyz [F, L, L, 3] float16; family [] int64, number in ``TRAINED_FAMILIES``.
    """
    pose, family = clip.pose, clip.config.family
    missing = MOST_PARTS - len(pose.radii)
    fill = np.broadcast_to(np.eye(3), (config.frames, missing, 3, 3))
    seen = render_cropped(clip, range(config.frames), config.image_size, config.rays_per_side)
    half, step = config.label_stride // 2, config.label_stride
    parts = seen.parts[:, half::step, half::step]
    return {
        "images": seen.images,
        "points": clip.surface_points.astype(np.float16),
        "normals": np.rint(clip.surface_normals * 127).astype(np.int8),
        "centers": np.pad(pose.centers, ((0, 0), (0, missing), (0, 0))).astype(np.float32),
        "axes": np.concatenate([pose.axes, fill], axis=1).astype(np.float32),
        "half": np.pad(pose.half, ((0, missing), (0, 0))).astype(np.float32),
        "radii": np.pad(pose.radii, (0, missing), constant_values=NO_SOLID).astype(np.float32),
        "parts": np.where(parts < 0, BACKGROUND, parts + part_offset(family)).astype(np.int8),
        "xyz": seen.xyz[:, half::step, half::step].astype(np.float16),
        "family": np.array(TRAINED_FAMILIES.index(family)),
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
    with ProcessPoolExecutor(config.workers, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
        running = [pool.submit(make_shard, *job, config) for job in jobs]
        # In the order in which they end, so that progress does not wait for the first.
        for done, job in enumerate(as_completed(running), start=1):
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

    @property
    def frames(self) -> int:
        """Frames of every clip."""
        return int(self.shards[0]["images"].shape[1])

    @cached_property
    def families(self) -> np.ndarray:
        """[clips] int64 number of every clip's family in ``TRAINED_FAMILIES``."""
        return np.concatenate([shard["family"] for shard in self.shards])

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
