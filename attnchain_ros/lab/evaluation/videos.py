"""The method and its baselines on the videos of published benchmarks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...backbone import Backbone
from ...config import RolloutConfig
from ...errors import AttnChainError, Cancelled, InputError, MaskError
from ...stream.foreground import GrabCut
from ...stream.frame import Frame
from .actionbench import TrueClouds, score_clouds
from .actionbench_config import PUBLISHED, ActionBenchConfig
from .badja import RASTER as BADJA_RASTER
from .badja import score_badja
from .baselines import rigid_vertices, still_vertices
from .datasets import actionbench, badja, tapvid, worldtrack
from .flow import Tracks, dense_flow_tracks, sparse_flow_tracks, still_tracks
from .records import OURS, Record, badja_figures, cloud_figures, tapvid_figures, worldtrack_figures
from .sequences import Tracker, roll, rollout_tracker, track_queries
from .synthetic_records import DENSE, RIGID, SPARSE, STILL, STILL_POINTS
from .tapvid import QueryMode, choose_queries, score_tapvid, to_raster
from .worldtrack import score_worldtrack

_ICP_POINTS = 1000

Figures = dict[str, float | None]


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


def actionbench_records(folder: Path, options: VideoOptions) -> list[Record]:
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
    return [_mesh_record(clip.name, method, animate, clip.truth, options) for method, animate in methods.items()]


def _thinned(truth: TrueClouds) -> list[np.ndarray]:
    step = max(1, truth.points.shape[1] // _ICP_POINTS)
    return list(truth.points[:, ::step])


def _mesh_record(
    name: str,
    method: str,
    animate: Callable[[], tuple[np.ndarray, np.ndarray]],
    truth: TrueClouds,
    options: VideoOptions,
) -> Record:
    try:
        started = time.perf_counter()
        vertices, faces = animate()
        seconds = time.perf_counter() - started
        scores = score_clouds(vertices, faces, truth, options.counts, str(options.backbone.device))
    except Cancelled:
        raise
    except AttnChainError as error:
        return Record(name, method, failure=_reason(error))
    curves = {"frame_raw": list(scores.frames_raw), "frame_3d": list(scores.frames_3d)}
    return Record(name, method, cloud_figures(scores), curves, seconds=seconds)


def tapvid_records(path: Path, options: VideoOptions) -> list[Record]:
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
        return tapvid_figures(score_tapvid(found, tracks.visible, truth, visible, frame, options.query_mode))

    return [_attempt(video.name, method, score, track) for method, track in _trackers(options).items()]


def badja_records(path: Path, options: VideoOptions) -> list[Record]:
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
        return badja_figures(score_badja(found, truth, video.visible[:, joints], area))

    return [_attempt(video.name, method, score, track) for method, track in _trackers(options).items()]


def worldtrack_records(path: Path, options: VideoOptions) -> list[Record]:
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
        return worldtrack_figures(score_worldtrack(track(), truth, visible))

    return [_attempt(video.name, method, score, track) for method, track in methods.items()]


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


def _attempt(name: str, method: str, score: Callable[[Any], Figures], track: Any) -> Record:
    started = time.perf_counter()
    try:
        figures = score(track)
    except Cancelled:
        raise
    except AttnChainError as error:
        return Record(name, method, failure=_reason(error))
    return Record(name, method, figures, seconds=time.perf_counter() - started)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


@dataclass(frozen=True)
class Benchmark:
    """A published benchmark.

    Attributes:
        title: of its report.
        list_items: files or folders of its items in a root folder.
        run: records of one item.
    """

    title: str
    list_items: Callable[[Path], list[Path]]
    run: Callable[[Path, VideoOptions], list[Record]]


BENCHMARKS: dict[str, Benchmark] = {
    "actionbench": Benchmark("ActionBench", actionbench.list_clips, actionbench_records),
    "tapvid": Benchmark("TAP-Vid-DAVIS, points on the object", tapvid.list_videos, tapvid_records),
    "badja": Benchmark("BADJA", badja.list_videos, badja_records),
    "worldtrack": Benchmark("WorldTrack, points on the object", worldtrack.list_videos, worldtrack_records),
}


def evaluate_videos(
    benchmark: Benchmark,
    items: Sequence[Path],
    options: VideoOptions,
    progress: Callable[[int, int], None] | None = None,
    finished: Sequence[Record] = (),
    keep: Callable[[list[Record]], None] | None = None,
) -> list[Record]:
    """Run and measure a benchmark's items, one after another.

    Args:
        benchmark: one of ``BENCHMARKS``.
        items: from its ``list_items``.
        options: how.
        progress: called with items done and items in all.
        finished: records of an earlier run; an item that has some and no failure among them is not run again.
        keep: called with the records of every item that was run, to save them.
    Returns:
        the records of all items; an item that cannot be read is a failure of the method.
    """
    records: list[Record] = []
    for number, item in enumerate(items):
        own = [record for record in finished if record.item == item.stem]
        if not own or any(record.failure for record in own):
            try:
                own = benchmark.run(item, options)
            except Cancelled:
                raise
            except AttnChainError as error:
                own = [Record(item.stem, OURS, failure=_reason(error))]
            if keep is not None:
                keep(own)
        records += own
        if progress is not None:
            progress(number + 1, len(items))
    return records
