"""The method and its baselines on the videos of published benchmarks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ...backbone import Backbone
from ...config import RolloutConfig
from ...errors import AttnChainError, Cancelled, InputError, MaskError
from ...stream.foreground import GrabCut
from ...stream.frame import Frame
from ..table import Figures, Measured, Subject, concat
from .actionbench import TrueClouds, score_clouds
from .actionbench_config import PUBLISHED, ActionBenchConfig
from .badja import RASTER as BADJA_RASTER
from .badja import score_badja
from .baselines import rigid_vertices, still_vertices
from .datasets import actionbench, badja, tapvid, worldtrack
from .flow import Tracks, dense_flow_tracks, sparse_flow_tracks, still_tracks
from .methods import DENSE, OURS, RIGID, SPARSE, STILL, STILL_POINTS, timed
from .runs import RunFile
from .sequences import Tracker, roll, rollout_tracker, track_queries
from .tapvid import QueryMode, choose_queries, score_tapvid, to_raster
from .worldtrack import score_worldtrack

if TYPE_CHECKING:
    import pandas as pd

_ICP_POINTS = 1000

T = TypeVar("T")

Methods = dict[str, Callable[[], Measured]]
"""What runs and measures each method on one item, by its name; all in one order, since some need what others found."""


@dataclass(frozen=True)
class VideoOptions:
    """How the benchmarks are run.

    Attributes:
        backbone, config: of the rollout.
        counts: of ActionBench's figures.
        query_mode: of TAP-Vid.
        grabcut: cut the object out where a video has no masks; otherwise the method fails on it.
    """

    backbone: Backbone
    config: RolloutConfig
    counts: ActionBenchConfig = PUBLISHED
    query_mode: QueryMode = "first"
    grabcut: bool = False


def actionbench_methods(folder: Path, options: VideoOptions) -> Methods:
    """ActionBench's figures of one object, whose mesh is made from its first picture.

    The baselines move that same mesh: not at all, or as one rigid body onto the true points of each frame.
    """
    clip = actionbench.read_clip(folder)
    found: dict[str, np.ndarray] = {}

    def ours() -> tuple[np.ndarray, np.ndarray]:
        rolled = roll(options.backbone, options.config, clip.images, clip.masks)
        found["vertices"], found["faces"] = rolled.motion.vertices, rolled.motion.faces
        return found["vertices"], found["faces"]

    def others(animate: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        if "vertices" not in found:
            raise InputError("the method failed, so that there is no mesh to move")
        return animate(found["vertices"][0]), found["faces"]

    frames = len(clip.truth.points)
    methods: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
        OURS: ours,
        STILL: lambda: others(lambda rest: still_vertices(rest, frames)),
        RIGID: lambda: others(lambda rest: rigid_vertices(rest, _thinned(clip.truth))),
    }

    def measure(animate: Callable[[], tuple[np.ndarray, np.ndarray]]) -> Measured:
        (vertices, faces), seconds = timed(animate)
        scores = score_clouds(vertices, faces, clip.truth, options.counts, str(options.backbone.device))
        return Measured({**scores.figures, "seconds": seconds}, scores.curves)

    return {method: functools.partial(measure, animate) for method, animate in methods.items()}


def _thinned(truth: TrueClouds) -> list[np.ndarray]:
    step = max(1, truth.points.shape[1] // _ICP_POINTS)
    return list(truth.points[:, ::step])


def tapvid_methods(path: Path, options: VideoOptions) -> Methods:
    """TAP-Vid's figures of one video.

    With masks, only points whose query lies on the object are asked for, as in the paper's Table 2 (the foreground);
    without, all of them, and the method itself fails.
    """
    video = tapvid.read_video(path)
    masks = _masks(video.images, video.masks, options)
    point, frame = choose_queries(video.visible, options.query_mode)
    places = video.points_px[frame, point]
    if masks is not None:
        kept = on_mask(masks, places, frame)
        point, frame, places = point[kept], frame[kept], places[kept]
    if not len(point):
        raise InputError(f"no point of {video.name} is queried on the object: look at its masks")
    size = video.images.shape[1:3]
    truth, visible = to_raster(video.points_px[:, point], size), video.visible[:, point]

    def score(track: Tracker) -> Figures:
        tracks = track_queries(track, video.images, masks, places, frame, options.query_mode == "strided")
        found = to_raster(tracks.points_px, size)
        return score_tapvid(found, tracks.visible, truth, visible, frame, options.query_mode).figures

    return {method: functools.partial(_timed, score, track) for method, track in _trackers(options).items()}


def badja_methods(path: Path, options: VideoOptions) -> Methods:
    """BADJA's figures of one video, for the joints that are visible in its first frame."""
    video = badja.read_video(path)
    joints = np.flatnonzero(video.visible[0])
    if not len(joints):
        raise InputError(f"no joint of {video.name} is visible in the first frame, so that there is nothing to follow")
    size = video.images.shape[1:3]
    truth = to_raster(video.joints_px[:, joints], size, BADJA_RASTER)
    # Stretching the picture to the raster stretches areas likewise.
    area = video.masks.mean(axis=(1, 2)) * BADJA_RASTER[0] * BADJA_RASTER[1]

    def score(track: Tracker) -> Figures:
        tracks = track(video.images, video.masks, video.joints_px[0, joints])
        found = to_raster(tracks.points_px, size, BADJA_RASTER)
        return score_badja(found, truth, video.visible[:, joints], area).figures

    return {method: functools.partial(_timed, score, track) for method, track in _trackers(options).items()}


def worldtrack_methods(path: Path, options: VideoOptions) -> Methods:
    """WorldTrack's figures of one video, for the points on the object in the first frame (all, without masks)."""
    video = worldtrack.read_video(path)
    masks = _masks(video.images, video.masks, options)
    point = np.flatnonzero(video.visible[0] & np.isfinite(video.first_px).all(axis=1))
    if masks is not None:
        point = point[on_mask(masks, video.first_px[point], np.zeros(len(point), np.int64))]
    if not len(point):
        raise InputError(f"no point of {video.name} lies on the object in the first frame: look at its masks")
    truth, visible = video.points_world[:, point], video.visible[:, point]

    def ours() -> np.ndarray:
        if masks is None:
            raise MaskError("the video has no masks: give them, or ask for a foreground method by name")
        queries = video.first_px[point].astype(np.float32)
        return roll(
            options.backbone, options.config, video.images, masks, video.intrinsics, queries
        ).motion.points_world

    methods: dict[str, Callable[[], np.ndarray]] = {
        OURS: ours,
        STILL_POINTS: lambda: np.repeat(truth[:1], len(truth), axis=0),
    }

    def score(track: Callable[[], np.ndarray]) -> Figures:
        return score_worldtrack(track(), truth, visible).figures

    return {method: functools.partial(_timed, score, track) for method, track in methods.items()}


def on_mask(masks: np.ndarray, points_px: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """[Q] bool: the pixel [Q, 2] lies on the mask [F, H, W] of its frame [Q]."""
    height, width = masks.shape[1:]
    x, y = np.rint(points_px).astype(np.int64).T
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    found: np.ndarray = inside & masks[frame, np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    return found


def _trackers(options: VideoOptions) -> dict[str, Tracker]:
    def plain(follow: Callable[[np.ndarray, np.ndarray], Tracks]) -> Tracker:
        return lambda images, _, queries: follow(images, queries)

    return {
        OURS: rollout_tracker(options.backbone, options.config),
        STILL_POINTS: plain(lambda images, queries: still_tracks(queries, len(images))),
        DENSE: plain(dense_flow_tracks),
        SPARSE: plain(sparse_flow_tracks),
    }


def _masks(images: np.ndarray, masks: np.ndarray | None, options: VideoOptions) -> np.ndarray | None:
    if masks is not None or not options.grabcut:
        return masks
    frames = [Frame(image, None, number, sequence=number) for number, image in enumerate(images)]
    GrabCut().fill(frames)
    cut = [frame.mask for frame in frames]
    return np.stack([mask for mask in cut if mask is not None])


def _timed(score: Callable[[T], Figures], track: T) -> Measured:
    figures, seconds = timed(lambda: score(track))
    return Measured({**figures, "seconds": seconds})


@dataclass(frozen=True)
class Benchmark:
    """A published benchmark.

    Attributes:
        title: of its report.
        list_items: files or folders of its items in a root folder.
        prepare: reads one item, for all methods.
    """

    title: str
    list_items: Callable[[Path], list[Path]]
    prepare: Callable[[Path, VideoOptions], Methods]


BENCHMARKS: dict[str, Benchmark] = {
    "actionbench": Benchmark("ActionBench", actionbench.list_clips, actionbench_methods),
    "tapvid": Benchmark("TAP-Vid-DAVIS, points on the object", tapvid.list_videos, tapvid_methods),
    "badja": Benchmark("BADJA", badja.list_videos, badja_methods),
    "worldtrack": Benchmark("WorldTrack, points on the object", worldtrack.list_videos, worldtrack_methods),
}


def evaluate_videos(
    name: str,
    items: Sequence[Path],
    options: VideoOptions,
    file: RunFile | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Run and measure a benchmark's items, one after another.

    Args:
        name: of one of ``BENCHMARKS``.
        items: from its ``list_items``.
        options: how.
        file: keeps every finished item; those it has already are not run again, unless something in them failed.
        progress: called with items done and items in all.
    Returns:
        rows of all items; an item that cannot be read is a failure of the method.
    """
    tables: list[pd.DataFrame] = []
    for item in items:
        own = None if file is None else file.finished(item.stem)
        if own is None:
            own = _evaluate(BENCHMARKS[name], Subject("evaluate", name, item.stem), item, options)
            if file is not None:
                file.add(item.stem, own)
        tables.append(own)
        if progress is not None:
            progress(len(tables), len(items))
    return concat(tables)


def _evaluate(benchmark: Benchmark, subject: Subject, item: Path, options: VideoOptions) -> pd.DataFrame:
    try:
        methods = benchmark.prepare(item, options)
    except Cancelled:
        raise
    except AttnChainError as error:
        return subject.failure("", OURS, error)
    return concat(subject.measure("", method, run) for method, run in methods.items())
