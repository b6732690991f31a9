"""From a mesh that moves to a window's result: tracks, what the cameras are worth, colours, scale. On the host."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..camera.raycast import RasterBuffer, silhouette_iou
from ..camera.scale import metric_scale
from ..config import CameraConfig, RolloutConfig
from ..conventions import ANCHOR_FRAME
from ..notes import Note
from ..parts.pixels import Followed
from .animating import Animation
from .cameras import RASTER_SIZE, draw_frames, sample_crop
from .following import lay_on_pixels
from .judging import judged
from .matching import LandmarkMatches
from .moving import sized_scale
from .painting import paint_window
from .state import RolloutState
from .trace import View
from .tracking import start_tracks, track_points
from .trusting import trust_cameras
from .watch import Watch
from .window import CameraTrack, PointTracks, WindowLatents, WindowResult, hide_untrusted


@dataclass(frozen=True)
class Cameras:
    """The cameras of a window.

    Attributes:
        track: as they were found.   notes: why poses were refused.
        followed: what pixels said; None where they were not asked.
    """

    track: CameraTrack
    notes: tuple[Note, ...]
    followed: Followed | None = None


@dataclass(frozen=True)
class Facts:
    """What the chain of windows adds to a result.

    Attributes:
        config: of the window.
        topology_id: of the chain.
        anchor_given: the anchor is a mesh that was given, not made from the first image.
        notes: what was not found.
        latents: at both ends, where they are asked for.
    """

    config: RolloutConfig
    topology_id: int
    anchor_given: bool
    notes: tuple[Note, ...] = ()
    latents: WindowLatents | None = None


def describe(
    view: View, state: RolloutState, moved: Animation, cameras: Cameras, facts: Facts, watch: Watch
) -> WindowResult:
    """The result of a window whose mesh moves and whose cameras are known.

    Args:
        view: the window; its state is the one that it started from.
        state: of the rollout after the window; tracks, pose, colours and scale are written into it.
        moved: where landmarks and mesh are in every frame.
        cameras: poses as they were found.
        facts: of the chain.
        watch: times, and a way to stop.
    """
    config, camera = facts.config, cameras.track
    watch.report("tracks")
    buffers = _draw(view, moved, camera)
    if state.tracks is None:
        state.tracks = start_tracks(view, moved, camera, config.tracks)  # Eq. 9, the rays of the queries
    tracks, routes = track_points(view, moved, camera, buffers, state.tracks, config.tracks)  # Eq. 6, 9
    if cameras.followed is not None and config.parts.tracks:
        tracks = lay_on_pixels(tracks, cameras.followed, config)
    state.tracks.last_px = tracks.points_px[-1]
    if camera.valid.any():
        state.pose = camera.camera_from_object[np.flatnonzero(camera.valid)[-1]]
    overlap = float("nan")
    if camera.valid[ANCHOR_FRAME]:
        overlap = _overlap(view, buffers)
    trusted, doubts = trust_cameras(view, state, moved, camera, buffers, config.camera, anchor_given=facts.anchor_given)
    found = camera.valid
    tracks, camera = hide_untrusted(tracks, camera, trusted), trusted
    if state.paint is not None or state.anchor.colors is None:  # a given mesh keeps its own colours
        state.paint = paint_window(state.paint, view, moved, camera, found, buffers)
        colors = state.paint.colors(state.anchor.mesh.vertices)
        state.anchor = replace(state.anchor, colors=colors[state.anchor.expand])
    fix_scale(state, view, camera, buffers, config.camera)
    watch.lap("tracks")
    result = replace(
        _result(view, state, moved, tracks, camera),
        topology_id=facts.topology_id,
        silhouette_iou=overlap,
        notes=(*_assumptions(view), *facts.notes, *cameras.notes, *doubts, *routes),
        timings_s=watch.laps,
        latents=facts.latents,
    )
    return judged(result, depth_given=view.window.depth_m is not None)


def _draw(view: View, moved: Animation, camera: CameraTrack) -> list[RasterBuffer]:
    """Z-buffers of all frames; none while there never was a pose."""
    if view.state.pose is None and not camera.valid.any():
        return []
    return draw_frames(moved.vertices, view.state.anchor.mesh.faces, camera, view.crop)


def _overlap(view: View, buffers: list[RasterBuffer]) -> float:
    """Overlap of the posed anchor's silhouette with the first mask."""
    mask = sample_crop(view.window.masks[ANCHOR_FRAME], view.crop.at_size(RASTER_SIZE))
    return silhouette_iou(mask, buffers[ANCHOR_FRAME])


def _result(
    view: View, state: RolloutState, moved: Animation, tracks: PointTracks, camera: CameraTrack
) -> WindowResult:
    anchor = state.anchor
    assert anchor.colors is not None  # a given mesh's, or painted
    return WindowResult(
        index=view.state.index,
        topology_id=0,
        stamps_ns=view.window.stamps_ns,
        shared_first=view.shared_first,
        vertices=np.ascontiguousarray(moved.vertices[:, anchor.expand]),
        faces=anchor.faces,
        vertex_colors=anchor.colors,
        confidence=moved.valid.mean(axis=1).astype(np.float32),
        landmark_vertices=_first_rows(anchor.expand, len(anchor.mesh.vertices))[anchor.landmark_vertices],
        landmarks=moved.landmarks,
        landmark_valid=moved.valid,
        tracks=tracks,
        camera=camera,
        scale=state.scale,
        metric=state.metric,
        silhouette_iou=float("nan"),
        user_from_object=anchor.user_from_object,
        fixed_from_camera=view.window.fixed_from_camera,
    )


def fix_scale(
    state: RolloutState, view: View, camera: CameraTrack, buffers: list[RasterBuffer], config: CameraConfig
) -> None:
    """Metres per object unit: from the object's size, else once from depth; unitless without either."""
    depth = view.window.depth_m
    sized = sized_scale(state, config)
    if sized is not None:
        state.scale, state.metric = sized, True
    elif not state.metric and depth is not None and camera.valid[ANCHOR_FRAME]:
        small = view.crop.at_size(RASTER_SIZE)
        mask = sample_crop(view.window.masks[ANCHOR_FRAME], small)
        found = metric_scale(sample_crop(depth[ANCHOR_FRAME], small), mask, buffers[ANCHOR_FRAME].depth)
        if found is not None:
            state.scale, state.metric = found, True


def _assumptions(view: View) -> tuple[Note, ...]:
    """What a window had to do without."""
    notes: tuple[Note, ...] = ()
    if view.state.last_stamp_ns is not None and not view.shared_first:
        text = "the window does not start with the last frame of the one before: motion between them is lost"
        notes += (Note("motion_lost", text),)
    if view.window.intrinsics is None and view.state.index == 0:
        text = f"no camera intrinsics: assuming a focal length of {view.intrinsics[0, 0]:.1f} px"
        notes += (Note("focal_assumed", text),)
    if view.state.anchor.turned and view.state.index == 0:
        text = f"{view.state.anchor.turned} triangles of the anchor mesh faced inwards and were turned"
        notes += (Note("anchor_turned", text),)
    return notes


def match_notes(matches: LandmarkMatches, moved: Animation) -> tuple[Note, ...]:
    """What the chain did not find."""
    notes: tuple[Note, ...] = ()
    if matches.empty_frames:
        text = f"no surface was generated for frames {list(matches.empty_frames)}: their motion is interpolated"
        notes += (Note("frames_without_surface", text),)
    if moved.dropped:
        text = f"{moved.dropped} landmarks were too unreliable so far and do not move the mesh"
        notes += (Note("landmarks_dropped", text),)
    return notes


def _first_rows(expand: np.ndarray, count: int) -> np.ndarray:
    """[count] int64: for each welded vertex, the first of the vertices handed out that stands for it."""
    rows = np.zeros(count, np.int64)
    rows[expand[::-1]] = np.arange(len(expand))[::-1]
    return rows
