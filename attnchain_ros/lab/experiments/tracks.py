"""Experiment 4a: 2D tracks by three routes and 3D tracks, against optical flow and other baselines (Table 2)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ...chain.tracks2d import hard_argmax, soft_argmax, track_patches
from ...conventions import ANCHOR_FRAME
from ...rollout import Rollout
from ...rollout.tracking import grid_queries, patch_visibility
from ..charts import draw_settings
from ..evaluation.clip_scores import track_figures
from ..evaluation.flow import Tracks
from ..evaluation.methods import baseline_followers, baseline_meshes, world_tracks
from ..evaluation.motion import FoundMotion
from ..evaluation.scene import Scene
from ..evaluation.sequences import cut_windows, roll
from ..evaluation.tracks import TrueTracks, true_tracks
from ..evaluation.worldtrack import score_worldtrack
from ..report import Section, compare_lines, failure_lines, family_lines, picture, table_lines, titles
from ..synthetic import CAMERAS
from ..table import CLIP, Figures, concat, names_of, select, values_of
from .bench import Bench, Experiment, Task
from .remember import remember

if TYPE_CHECKING:
    import pandas as pd

OCCLUDED_SHARE = 0.1
"""A window has occlusion if in at least one frame at least this share of the queried points is hidden."""

MESH_ROUTE, IMAGE_ROUTE = "mesh, anchor given", "mesh, from one image"
_PATCH_ROUTES: dict[str, Callable[[Tensor, int], Tensor]] = {
    "patch argmax": hard_argmax,
    "patch soft-argmax": soft_argmax,
}
FLOWS, WORLD = "2D tracks", "3D tracks"
_FLOW_FIGURES = titles("aj", "delta_avg", "oa", "delta_4")
_WORLD_FIGURES = titles("apd_dynamic", "apd_all", "within_0.1")


def run(bench: Bench, task: Task) -> pd.DataFrame:
    """One clip under every kind of camera motion, one after another."""
    scenes = [bench.scene(task, camera) for camera in CAMERAS]
    # A seed's object moves alike under every camera: the baselines animate it once.
    truth = scenes[0].truth
    animated = {name: functools.cache(make) for name, make in baseline_meshes(truth.vertices[0], truth).items()}
    return concat(_run_camera(bench, scene, animated) for scene in scenes)


def _run_camera(bench: Bench, scene: Scene, animated: Mapping[str, Callable[[], np.ndarray]]) -> pd.DataFrame:
    clip, truth = scene.clip, scene.truth
    backbone = remember(bench.backbone)
    config = bench.changed({"tracks.route": "mesh", "reinforce.mode": "off"})
    queries = grid_queries(clip.masks[ANCHOR_FRAME], config.tracks.max_queries)
    true = true_tracks(
        truth.vertices, truth.faces, truth.camera_from_object, truth.intrinsics, truth.size, queries, scene.radius
    )
    kept = np.flatnonzero(true.on_object & true.visible[0])
    if not len(kept):
        return concat([])
    queries = queries[kept]
    hidden = hidden_share(true, kept)
    window = next(cut_windows(clip.images, clip.masks, len(clip.images), clip.intrinsics))

    def flow_rows(name: str, follow: Callable[[], Tracks]) -> pd.DataFrame:
        def measure() -> Figures:
            return {**track_figures(follow(), true, kept, truth.size), "hidden": hidden}

        return scene.subject.measure(FLOWS, name, measure)

    def world_rows(name: str, points: Callable[[], np.ndarray]) -> pd.DataFrame:
        def measure() -> Figures:
            scores = score_worldtrack(points(), true.points_world[:, kept], true.visible[:, kept])
            return {**scores.figures, "hidden": hidden}

        return scene.subject.measure(WORLD, name, measure)

    def by_patches(locate: Callable[[Tensor, int], Tensor]) -> Tracks:
        seen = Rollout(backbone, config, scene.mesh, anchor_is_canonical=True).trace(window)
        maps = seen.stage.maps
        found = track_patches(queries, maps.token_tokens, maps.token_patches, seen.crop, locate)
        return Tracks(found.points_px, patch_visibility(found, config.tracks.score_floor))

    @functools.cache
    def moved(image_only: bool) -> FoundMotion:
        anchor = None if image_only else scene.mesh
        return roll(backbone, config, clip.images, clip.masks, clip.intrinsics, queries, anchor).motion

    def by_mesh(image_only: bool) -> Tracks:
        return Tracks(moved(image_only).points_px, moved(image_only).points_visible)

    def world_by_mesh(image_only: bool) -> np.ndarray:
        return moved(image_only).points_world

    def carried(animate: Callable[[], np.ndarray]) -> np.ndarray:
        return world_tracks(animate(), truth.faces, truth, queries)

    tables = [flow_rows(name, functools.partial(by_patches, locate)) for name, locate in _PATCH_ROUTES.items()]
    for name, image_only in ((MESH_ROUTE, False), (IMAGE_ROUTE, True)):
        tables.append(flow_rows(name, functools.partial(by_mesh, image_only)))
        tables.append(world_rows(name, functools.partial(world_by_mesh, image_only)))
    tables += [flow_rows(name, follow) for name, follow in baseline_followers(clip.images, queries).items()]
    for name, animate in animated.items():
        tables.append(world_rows(name, functools.partial(carried, animate)))
    return concat(tables)


def hidden_share(true: TrueTracks, kept: np.ndarray) -> float:
    """The largest share of the queried points that is hidden in any one frame."""
    return float((~true.visible[:, kept]).mean(axis=1).max())


def describe(bench: Bench, table: pd.DataFrame) -> Section:
    """2D tracks of all windows, of those with occlusion, and by camera; then 3D tracks."""
    flows = select(table, group=FLOWS)
    lines = [
        "One window under each camera; queries are a grid of pixels on the object in the first frame. AJ, delta_avg "
        "and OA as TAP-Vid has them; APD_3D after one scale, with object units for metres. The mean is over windows, "
        "that is clips under a camera.",
        "",
    ]
    crowded = occluded(flows)
    for title, part in (
        ("all windows", flows),
        (f"windows with occlusion (at least {OCCLUDED_SHARE:.0%} of the points hidden in some frame)", crowded),
        *((f"camera {camera}", select(flows, motion=camera)) for camera in CAMERAS),
    ):
        lines += [f"### {FLOWS}, {title}", "", *table_lines(part, _FLOW_FIGURES, "route")]
        if part is flows or part is crowded:
            lines += compare_lines(part, titles("delta_avg"), MESH_ROUTE, larger_is_better=True)
            lines += family_lines(part, "delta_avg", "delta_avg")
    lines += [f"### {WORLD}, all windows", "", *table_lines(select(table, group=WORLD), _WORLD_FIGURES, "tracks")]
    lines += [picture("tracks", "2D tracks: delta_avg by route"), "", *failure_lines(table)]
    panels = {
        title: {name: values_of(select(part, variant=name), "delta_avg") for name in names_of(flows, "variant")}
        for title, part in (("all windows", flows), ("with occlusion", crowded))
    }
    plot = draw_settings(panels, "delta_avg", {title: MESH_ROUTE for title in panels})
    return Section(EXPERIMENT.title, lines, {"tracks": plot})


def occluded(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of windows with occlusion; a failed row counts with its window's others."""
    crowded = table[(table["metric"] == "hidden") & (table["value"] >= OCCLUDED_SHARE)]
    windows = set(zip(*(crowded[name] for name in CLIP), strict=True))
    keep = [window in windows for window in zip(*(table[name] for name in CLIP), strict=True)]
    return table[np.array(keep, bool)]


EXPERIMENT = Experiment("tracks", "2D and 3D point tracks (Table 2)", run, describe)
