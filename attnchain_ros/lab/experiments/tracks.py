"""Experiment 4a: 2D tracks by three routes and 3D tracks, against optical flow and other baselines (Table 2)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from ...chain.tracks2d import hard_argmax, soft_argmax, track_patches
from ...conventions import ANCHOR_FRAME
from ...mesh.types import Mesh
from ...rollout import Rollout
from ...rollout.tracking import grid_queries, patch_visibility
from ..evaluation.flow import Tracks
from ..evaluation.motion import FoundMotion
from ..evaluation.records import worldtrack_figures
from ..evaluation.sequences import cut_windows, roll
from ..evaluation.synthetic_records import baseline_followers, baseline_meshes, track_figures, world_tracks
from ..evaluation.tracks import TrueTracks, true_tracks
from ..evaluation.worldtrack import score_worldtrack
from ..synthetic import CAMERAS, Camera
from .bench import Bench, Experiment, Scene, Section, Task
from .charts import draw_settings, picture
from .remember import remember
from .rows import Figures, Row, compare_settings, failure_lines, family_lines, names_of, select, table_lines

OCCLUDED_SHARE = 0.1
"""A window has occlusion if in at least one frame at least this share of the queried points is hidden."""

MESH_ROUTE, IMAGE_ROUTE = "mesh, anchor given", "mesh, from one image"
_PATCH_ROUTES: dict[str, Callable[[Tensor, int], Tensor]] = {
    "patch argmax": hard_argmax,
    "patch soft-argmax": soft_argmax,
}
FLOWS, WORLD = "2D tracks", "3D tracks"
_FLOW_FIGURES = {"aj": "AJ", "delta_avg": "delta_avg", "oa": "OA", "delta_4": "delta at 4 px"}
_WORLD_FIGURES = {
    "apd_dynamic": "APD_3D, points that move",
    "apd_all": "APD_3D, all points",
    "within_0.1": "within 0.1, points that move",
}


def run(bench: Bench, task: Task) -> list[Row]:
    """One clip under every kind of camera motion, one after another."""
    scenes = {camera: bench.scene(task, camera) for camera in CAMERAS}
    # A seed's object moves alike under every camera: the baselines animate it once.
    truth = scenes[CAMERAS[0]].truth
    made = baseline_meshes(truth.vertices[0], truth)
    animated: dict[str, Callable[[], np.ndarray]] = {name: functools.cache(make) for name, make in made.items()}
    return [row for camera, scene in scenes.items() for row in _run_camera(bench, scene, camera, animated)]


def _run_camera(bench: Bench, scene: Scene, camera: Camera, animated: dict[str, Callable[[], np.ndarray]]) -> list[Row]:
    clip, truth = scene.clip, scene.truth
    backbone = remember(bench.backbone)
    config = bench.changed({"tracks.route": "mesh", "reinforce.mode": "off"})
    queries = grid_queries(clip.masks[ANCHOR_FRAME], config.tracks.max_queries)
    true = true_tracks(
        truth.vertices, truth.faces, truth.camera_from_object, truth.intrinsics, truth.size, queries, scene.radius
    )
    kept = np.flatnonzero(true.on_object & true.visible[0])
    if not len(kept):
        return []
    queries = queries[kept]
    hidden = hidden_share(true, kept)
    window = next(cut_windows(clip.images, clip.masks, len(clip.images), clip.intrinsics))

    def flow_row(name: str, follow: Callable[[], Tracks]) -> Row:
        def measure() -> Figures:
            return {**track_figures(follow(), true, kept, truth.size), "hidden": hidden}

        return scene.subject.row(f"{FLOWS}, {camera}", name, measure)

    def world_row(name: str, points: Callable[[], np.ndarray]) -> Row:
        def measure() -> Figures:
            scores = score_worldtrack(points(), true.points_world[:, kept], true.visible[:, kept])
            return {**worldtrack_figures(scores), "hidden": hidden}

        return scene.subject.row(f"{WORLD}, {camera}", name, measure)

    def by_patches(locate: Callable[[Tensor, int], Tensor]) -> Tracks:
        seen = Rollout(backbone, config, scene.mesh, anchor_is_canonical=True).trace(window)
        maps = seen.stage.maps
        found = track_patches(queries, maps.token_tokens, maps.token_patches, seen.crop, locate)
        return Tracks(found.points_px, patch_visibility(found, config.tracks.score_floor))

    rows = [flow_row(name, lambda locate=locate: by_patches(locate)) for name, locate in _PATCH_ROUTES.items()]
    for name, anchor in ((MESH_ROUTE, scene.mesh), (IMAGE_ROUTE, None)):

        @functools.cache
        def motion(anchor: Mesh | None = anchor) -> FoundMotion:
            return roll(backbone, config, clip.images, clip.masks, clip.intrinsics, queries, anchor).motion

        rows.append(flow_row(name, lambda m=motion: Tracks(m().points_px, m().points_visible)))
        rows.append(world_row(name, lambda m=motion: m().points_world))
    rows += [flow_row(name, follow) for name, follow in baseline_followers(clip.images, queries).items()]
    for name, animate in animated.items():
        rows.append(world_row(name, lambda animate=animate: world_tracks(animate(), truth.faces, truth, queries)))
    return rows


def hidden_share(true: TrueTracks, kept: np.ndarray) -> float:
    """The largest share of the queried points that is hidden in any one frame."""
    return float((~true.visible[:, kept]).mean(axis=1).max())


def describe(bench: Bench, rows: Sequence[Row]) -> Section:
    """2D tracks of all windows, of those with occlusion, and by camera; then 3D tracks."""
    flows = [row for row in rows if row.table.startswith(FLOWS)]
    worlds = [row for row in rows if row.table.startswith(WORLD)]
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
        *((f"camera {camera}", [row for row in flows if row.table.endswith(camera)]) for camera in CAMERAS),
    ):
        lines += [f"### {FLOWS}, {title}", "", *table_lines(part, _FLOW_FIGURES, "route")]
        if part is flows or part is crowded:
            lines += [f"- {_sentence(part)}", "", *family_lines(part, "delta_avg", "delta_avg")]
    lines += [f"### {WORLD}, all windows", "", *table_lines(worlds, _WORLD_FIGURES, "tracks")]
    lines += [picture("tracks", "2D tracks: delta_avg by route"), "", *failure_lines(rows)]
    panels = {
        title: {
            name: [v for row in select(part, setting=name) if (v := row.figures.get("delta_avg")) is not None]
            for name in names_of(flows, "setting")
        }
        for title, part in (("all windows", flows), ("with occlusion", crowded))
    }
    plot = draw_settings(panels, "delta_avg", {title: MESH_ROUTE for title in panels})
    return Section(EXPERIMENT.title, lines, {"tracks": plot})


def occluded(rows: Sequence[Row]) -> list[Row]:
    """Rows of windows with occlusion; a failed row counts with its window's others."""
    crowded = {(row.split, row.clip, row.table) for row in rows if (row.figures.get("hidden") or 0.0) >= OCCLUDED_SHARE}
    return [row for row in rows if (row.split, row.clip, row.table) in crowded]


def _sentence(rows: Sequence[Row]) -> str:
    """The best route by delta_avg against the mesh route; each window counts by itself."""
    # compare_settings pairs rows by clip: here a pair is a clip under a camera.
    single = [_as_window(row) for row in rows]
    return compare_settings(single, "delta_avg", "delta_avg", MESH_ROUTE, lower_is_better=False)


def _as_window(row: Row) -> Row:
    return Row(f"{row.split}, {row.table}", row.clip, row.family, row.table, row.setting, row.figures, row.curves,
               row.failure)  # fmt: skip


EXPERIMENT = Experiment("tracks", "2D and 3D point tracks (Table 2)", run, describe)
