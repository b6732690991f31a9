"""Every figure that a synthetic clip allows, for the method and for every baseline."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...backbone import Backbone
from ...config import RolloutConfig
from ...errors import ConfigError
from ...stream.windows import split_frames
from ..table import Curves, Figures, Measured, Subject, concat, failed
from .actionbench import score_clouds
from .actionbench_config import REDUCED, ActionBenchConfig
from .drift import window_means
from .flow import Tracks
from .methods import OURS, AnimatedMesh, animated_meshes, baseline_followers, timed, world_tracks
from .runs import RunFile
from .scene import Scene
from .scores import score_motion
from .sequences import Rolled, roll
from .synthetic import SyntheticSet
from .tapvid import score_tapvid, to_raster
from .tracks import TrueTracks, true_tracks
from .worldtrack import score_worldtrack

if TYPE_CHECKING:
    import pandas as pd

GIVEN, IMAGE = "anchor given", "from one image"
"""Groups: the anchor is the true mesh of frame 0, in the canonical frame, or made from the first image."""


def score_clip(scene: Scene, group: str, backbone: Backbone, config: RolloutConfig) -> pd.DataFrame:
    """The method on a clip, from one kind of anchor (``GIVEN``, ``IMAGE``), and the baselines from that same anchor.

    Returns:
        rows of every method; those of ``OURS`` alone, with the reason, if the rollout fails with an error of its own.
    """
    clip = scene.clip

    @functools.cache
    def measured() -> dict[str, Measured]:
        anchor = scene.mesh if group == GIVEN else None
        rolled = roll(backbone, config, clip.images, clip.masks, clip.intrinsics, None, anchor)
        return method_figures(scene, group == GIVEN, rolled, config.frames, str(backbone.device))

    ours = scene.subject.measure(group, OURS, functools.partial(_one, measured, OURS))
    if len(failed(ours)):
        return ours
    others = [name for name in measured() if name != OURS]
    return concat(
        [ours, *(scene.subject.measure(group, name, functools.partial(_one, measured, name)) for name in others)]
    )


def _one(measured: Callable[[], dict[str, Measured]], name: str) -> Measured:
    return measured()[name]


def method_figures(scene: Scene, given: bool, rolled: Rolled, window_frames: int, device: str) -> dict[str, Measured]:
    """Figures and curves of the method's result and of every baseline.

    Meshes get errors of known points, ActionBench's figures, drift curves and WorldTrack's figures; 2D tracks get
    TAP-Vid's. The queries are the method's own pixels of the first frame that lie on the true object. Lengths are
    object units instead of metres: the whole motion fits a sphere of radius 1.

    Args:
        scene: the clip.
        given: the anchor is the true mesh; otherwise the baselines' anchor is first laid onto the true surface of the
            first frame, since they have no object frame to be in.
        rolled: the method's result.
        window_frames: frames of a window, for the drift curves.
        device: of the alignment.
    """
    found, truth = rolled.motion, scene.truth
    own = score_motion(found, truth, np.eye(4) if given else None, given)
    meshes = animated_meshes(rolled, truth, given)
    windows = split_frames(len(found.vertices), window_frames)
    measured = {name: _mesh_figures(scene, mesh, found.faces, windows, device) for name, mesh in meshes.items()}
    for name, mesh in meshes.items():
        if name != OURS:
            measured[name].figures.update(
                scene.point_figures(mesh.vertices) if given else scene.other_point_figures(mesh.vertices, found.faces)
            )
    # The anchor that stays still is a baseline by itself.
    ours = measured[OURS]
    ours.figures.update({name: value for name, value in own.items() if not name.startswith("still_")})
    ours.figures["window_seconds"] = float(np.mean(rolled.seconds[1:] or rolled.seconds))
    if rolled.correlations:
        ours.figures["token_correlation"] = rolled.correlations[-1]
        ours.curves["window_correlation"] = list(rolled.correlations)
    true = true_tracks(truth.vertices, truth.faces, truth.camera_from_object, truth.intrinsics, truth.size,
                       found.points_px[0], scene.radius)  # fmt: skip
    kept = np.flatnonzero(true.on_object & true.visible[0])
    if not len(kept):
        return measured
    places = found.points_px[0, kept]
    points_3d = {OURS: found.points_world[:, kept]}
    for name, mesh in meshes.items():
        if name != OURS:
            points_3d[name] = world_tracks(mesh.vertices, found.faces, truth, places)
    for name, points in points_3d.items():
        scores = score_worldtrack(points, true.points_world[:, kept], true.visible[:, kept])
        measured[name].figures.update(scores.figures)
    followers: dict[str, Callable[[], Tracks]] = {
        OURS: lambda: Tracks(found.points_px[:, kept], found.points_visible[:, kept]),
        **baseline_followers(scene.clip.images, places),
    }
    for name, follow in followers.items():
        tracks, seconds = timed(follow)
        measured.setdefault(name, Measured({"seconds": seconds}))
        measured[name].figures.update(track_figures(tracks, true, kept, truth.size))
    return measured


def _mesh_figures(scene: Scene, mesh: AnimatedMesh, faces: np.ndarray, windows: list[range], device: str) -> Measured:
    scores = score_clouds(mesh.vertices, faces, scene.clouds, scene.counts, device)
    means = window_means(np.array(scores.frames_raw), windows)
    drift = means[-1] / means[0] if len(means) > 1 and means[0] > 0 else None
    curves: Curves = {**scores.curves, "window_raw": means}
    return Measured({**scores.figures, "drift": drift, "seconds": mesh.seconds}, curves)


def track_figures(tracks: Tracks, true: TrueTracks, kept: np.ndarray, size: tuple[int, int]) -> Figures:
    """TAP-Vid's figures of tracks [F, n] of those of the true tracks that are ``kept`` [n], queried in frame 0."""
    first = np.zeros(len(kept), np.int64)
    found, truth = to_raster(tracks.points_px, size), to_raster(true.points_px[:, kept], size)
    return score_tapvid(found, tracks.visible, truth, true.visible[:, kept], first).figures


def evaluate_clips(
    backbone: Backbone,
    config: RolloutConfig,
    indices: range,
    *,
    groups: Sequence[str] = (GIVEN, IMAGE),
    clips: SyntheticSet | None = None,
    counts: ActionBenchConfig = REDUCED,
    file: RunFile | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Run and measure clips, one after another.

    Args:
        backbone, config: of the rollout.
        indices: clips of the split.
        groups: which anchors; all of them see the same pictures.
        clips: which clips; None is ``SyntheticSet()``. More frames than a window go through several windows.
        counts: points and steps of ActionBench's figures.
        file: keeps every finished run; those it has already are not computed again, unless they failed.
        progress: called with runs done and runs in all.
    Raises:
        ConfigError: frames or indices cannot be used.
    """
    clips = SyntheticSet() if clips is None else clips
    if clips.clip.frames < 2:
        raise ConfigError(f"frames is {clips.clip.frames}, wanted at least 2: one frame has no motion")
    if not indices or not groups:
        raise ConfigError("there is nothing to evaluate: give at least one clip and one anchor")
    tables: list[pd.DataFrame] = []
    for index in indices:
        scene = None
        for group in groups:
            piece = f"{index}, {group}"
            own = None if file is None else file.finished(piece)
            if own is None:
                if scene is None:
                    clip = clips.make(index)
                    subject = Subject("evaluate", clips.split, str(index), clip.config.family, clip.config.camera)
                    scene = Scene(clip, subject, counts)
                own = score_clip(scene, group, backbone, config)
                if file is not None:
                    file.add(piece, own)
            tables.append(own)
            if progress is not None:
                progress(len(tables), len(indices) * len(groups))
    return concat(tables)
