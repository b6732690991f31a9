"""The whole method on one page: a window of frames in, an animated mesh with tracks and cameras out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from .. import config as options
from ..backbone import Backbone, Reinforcement, StageOne, TokenMaps, TokenPairs
from ..backbone.readout import check_readout
from ..camera.crop import Crop
from ..camera.raycast import RasterBuffer, silhouette_iou
from ..camera.scale import metric_scale
from ..config import RolloutConfig
from ..errors import Cancelled
from ..mesh.surface import grid_levels
from ..mesh.types import Mesh
from ..notes import Note
from .anchor import canonical_anchor, encode_mesh, given_anchor, image_anchor, rotation_from_degrees
from .animating import Animation, animate
from .matching import LandmarkMatches, match_landmarks, trace_window_pairs
from .painting import PLAIN_COLOR, paint_vertices
from .pictures import ANCHOR_FRAME, WindowPictures, check_window, first_picture, look_at
from .state import Anchor, RolloutState
from .tracking import (
    RASTER_SIZE,
    WindowView,
    draw_frames,
    estimate_cameras,
    sample_crop,
    start_tracks,
    track_points,
    window_intrinsics,
)
from .window import CameraTrack, PointTracks, Window, WindowLatents, WindowResult

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total)."""


def config_for(backbone: Backbone, changes: dict[str, Any] | None = None) -> RolloutConfig:
    """The options for a checkpoint: package defaults, then what the checkpoint was made for, then the user's own.

    Args:
        backbone: its ``recommended`` options stand in the checkpoint's attnchain.json (published weights have none).
        changes: dotted options given by the user; they win.
    Raises:
        ConfigError: an option is unknown or out of range.
    """
    base = replace(RolloutConfig(), frames=backbone.frames)
    merged: RolloutConfig = options.replace(base, {**backbone.recommended, **(changes or {})})
    return merged


def check_options(backbone: Backbone, config: RolloutConfig) -> None:
    """Whether options fit one another and the backbone, before a window is spent on finding out.

    Raises:
        ConfigError: a layer, head or step that is not there, grids that do not fit, or a rotation that is none.
    """
    check_readout(backbone.stage_one.sizes, config.sampling.steps, config.readout)
    for cells in (config.surface.grid, config.surface.candidate_grid):
        grid_levels(replace(config.surface, grid=cells))
    rotation_from_degrees(config.anchor_rotation_deg)


@dataclass(frozen=True)
class _Latents:
    """Stage I's outcome with what it was computed from."""

    view: WindowView
    stage: StageOne
    matches: LandmarkMatches
    anchor_vertex_rows: torch.Tensor


class Rollout:
    """Runs windows one after another, keeping the anchor mesh, its landmarks and the track ids until a reset.

    Memory is constant in the number of windows. Not thread-safe: one owner calls it.

    Args:
        backbone: the frozen networks.
        config: options; None takes ``config_for(backbone)``.
        anchor: an anchor mesh to animate instead of generating one from the first image (Stage 0).
        anchor_is_canonical: the anchor is in the canonical frame already and is used as it is; otherwise it is centred,
            scaled to ``config.anchor_longest_side`` and turned by ``config.anchor_rotation_deg``, once.
        keep_latents: hand out ``WindowResult.latents``.
    Raises:
        ConfigError: an option does not fit the backbone.   MeshError: the anchor mesh cannot be used.
    """

    def __init__(
        self,
        backbone: Backbone,
        config: RolloutConfig | None = None,
        anchor: Mesh | None = None,
        anchor_is_canonical: bool = False,
        keep_latents: bool = False,
    ) -> None:
        self.backbone = backbone
        self.config = config_for(backbone) if config is None else config
        check_options(backbone, self.config)
        self._given: Anchor | None = None
        if anchor is not None:
            make = canonical_anchor if anchor_is_canonical else given_anchor
            self._given = make(anchor, self.config)
        self._keep_latents = keep_latents
        self._state: RolloutState | None = None
        self._topology = 0

    def reset(self) -> None:
        """Forget anchor pose, tracks and history; the next window starts anew with a new topology id."""
        if self._state is not None:
            self._topology += 1
        self._state = None

    def configure(self, config: RolloutConfig) -> None:
        """Take other options from the next window on; landmarks and skinning keep theirs until a reset."""
        self.config = config

    def run_windows(
        self, windows: Iterable[Window], progress: Progress | None = None, cancelled: Callable[[], bool] | None = None
    ) -> Iterator[WindowResult]:
        """``run`` for every window in turn."""
        for window in windows:
            yield self.run(window, progress, cancelled)

    @torch.no_grad()
    def run(
        self, window: Window, progress: Progress | None = None, cancelled: Callable[[], bool] | None = None
    ) -> WindowResult:
        """Run one window.

        If anything goes wrong the state stays what it was, so that the same or the next window can be tried.

        Args:
            window: at most ``config.frames`` frames; a shorter one is padded with its last frame and trimmed again.
                Its first frame should be the previous window's last.
            progress: called with (stage, done, total).
            cancelled: polled between steps; True stops with ``Cancelled``.
        Raises:
            Cancelled; ConfigError: too many frames; MaskError: nothing to see; SurfaceError: Stage 0 found no surface.
        """
        clock = _Clock(self.backbone.device)

        def report(stage: str, done: int, total: int) -> None:
            if cancelled is not None and cancelled():
                raise Cancelled(f"stopped in {stage}")
            if progress is not None:
                progress(stage, done, total)

        check_window(window, self.config.frames)
        report("images", 0, 1)
        pictures = look_at(self.backbone, self.config, window)
        clock.lap("images")
        state = self._start(window, pictures.square, report, clock)
        notes: tuple[Note, ...] = ()
        shared = state.last_stamp_ns is not None and int(window.stamps_ns[0]) == state.last_stamp_ns
        if state.last_stamp_ns is not None and not shared:
            text = "the window does not start with the last frame of the one before: motion between them is lost"
            notes += (Note("motion_lost", text),)
        intrinsics, given = window_intrinsics(window)
        if not given and state.index == 0:
            text = f"no camera intrinsics: assuming a focal length of {intrinsics[0, 0]:.1f} px"
            notes += (Note("focal_assumed", text),)
        latents = self._latents(window, state, pictures, intrinsics, report, clock)
        diagonal = state.anchor.mesh.diagonal
        report("animation", 0, 1)
        moved = animate(
            state, latents.matches, ANCHOR_FRAME, window.frames, self.config.animation, diagonal,
            self.config.match.self_limit,
        )  # fmt: skip
        clock.lap("animation")
        report("camera", 0, 1)
        matches = _trim(latents.matches, window.frames)
        vertices = moved.vertices[: window.frames].cpu().numpy()
        landmarks = moved.landmarks[: window.frames].cpu().numpy()
        valid = moved.valid[: window.frames].cpu().numpy()
        seed = self.config.sampling.seed + 1000 * state.index
        camera, camera_notes = estimate_cameras(
            latents.view, matches, landmarks, valid, vertices, state.anchor.mesh.faces, state.pose, shared,
            self.config.camera, seed,
        )  # fmt: skip
        clock.lap("camera")
        report("tracks", 0, 1)
        faces = state.anchor.mesh.faces
        posed_before = state.pose is not None
        drawable = posed_before or bool(camera.valid.any())
        buffers = draw_frames(vertices, faces, camera, latents.view.crop) if drawable else []
        if state.tracks is None:
            rows = latents.anchor_vertex_rows
            state.tracks = start_tracks(latents.view, camera, vertices[0], faces, rows, self.config, ANCHOR_FRAME)
        tracks, track_notes = track_points(
            latents.view,
            camera,
            vertices,
            faces,
            state.tracks,
            buffers,
            matches,
            self.config,
            ANCHOR_FRAME,
            diagonal,
            posed_before,
        )
        state.tracks.last_px = tracks.points_px[-1]
        if camera.valid.any():
            state.pose = camera.camera_from_object[np.flatnonzero(camera.valid)[-1]]
        overlap = float("nan")
        if camera.valid[ANCHOR_FRAME]:
            overlap = silhouette_iou(sample_crop(window.masks[0], latents.view.crop.at_size(RASTER_SIZE)), buffers[0])
        if state.anchor.colors is None and camera.valid[ANCHOR_FRAME]:
            colors = paint_vertices(vertices[0], faces, camera, window, buffers, latents.view.crop)
            state.anchor = replace(state.anchor, colors=colors[state.anchor.expand])
        self._fix_scale(state, window, camera, buffers, latents.view.crop)
        clock.lap("tracks")
        result = self._result(window, state, shared, vertices, landmarks, valid, tracks, camera, overlap)
        notes += self._match_notes(latents, moved) + camera_notes + track_notes
        self._hand_over(window, state, latents.stage, vertices[-1])
        clock.lap("hand-over")
        self._state = state
        ends = _window_latents(latents.stage, window.frames) if self._keep_latents else None
        return replace(result, notes=notes, timings_s=clock.laps, latents=ends)

    def _start(self, window: Window, square: Crop, report: Progress, clock: _Clock) -> RolloutState:
        """The state to work on: a copy of the kept one, or a fresh one with its anchor made."""
        if self._state is not None:
            kept = replace(self._state)
            if kept.tracks is not None:
                kept.tracks = replace(kept.tracks)
            return kept
        if self._given is not None:
            anchor, latent = self._given, None
        else:
            picture = first_picture(self.backbone, window, square)
            anchor, latent = image_anchor(self.backbone, picture, self.config, report)
            clock.lap("image to 3D")
        mesh = anchor.mesh
        if latent is None:
            latent = encode_mesh(self.backbone, mesh.vertices, mesh.faces, self.config, 0)
        clock.lap("anchor")
        return RolloutState(anchor=anchor, latent=latent, vertices=mesh.vertices)

    def _latents(
        self,
        window: Window,
        state: RolloutState,
        pictures: WindowPictures,
        intrinsics: np.ndarray,
        report: Progress,
        clock: _Clock,
    ) -> _Latents:
        """Stage I with its attention, and the chain over all frames."""
        config, backbone = self.config, self.backbone
        anchor_field = backbone.decode(state.latent[None])
        pose = torch.from_numpy(state.vertices).to(backbone.device)
        places = pose[torch.from_numpy(state.anchor.landmark_vertices).to(backbone.device)]
        seed = config.sampling.seed + 1000 * state.index
        diagonal = state.anchor.mesh.diagonal

        def match(latents: torch.Tensor, maps: TokenMaps) -> LandmarkMatches:
            return match_landmarks(backbone, anchor_field, latents, maps, places, ANCHOR_FRAME, diagonal, config, seed)

        def trace(latents: torch.Tensor, maps: TokenMaps) -> TokenPairs:
            matches = match(latents, maps)
            return trace_window_pairs(matches, maps, matches.rows[ANCHOR_FRAME], ANCHOR_FRAME, diagonal, config)

        reinforcement = Reinforcement(config.reinforce, trace) if config.reinforce.mode != "off" else None
        stage = backbone.denoise(
            state.latent,
            pictures.context,
            ANCHOR_FRAME,
            config.sampling,
            config.readout,
            seed,
            reinforcement,
            lambda done, total: report("denoising", done, total),
        )
        clock.lap("denoising")
        report("correspondence", 0, 1)
        matches = match(stage.latents, stage.maps)
        rows = anchor_field.attention(pose[None])[0] if state.tracks is None else places.new_zeros((0, backbone.tokens))
        clock.lap("correspondence")
        view = WindowView(window, pictures.patches, pictures.grid, stage.maps, intrinsics)
        return _Latents(view, stage, matches, rows)

    def _match_notes(self, latents: _Latents, moved: Animation) -> tuple[Note, ...]:
        notes: tuple[Note, ...] = ()
        if latents.matches.empty_frames:
            where = list(latents.matches.empty_frames)
            text = f"no surface was generated for frames {where}: their motion is interpolated"
            notes += (Note("frames_without_surface", text),)
        if moved.dropped:
            text = f"{moved.dropped} landmarks were too unreliable so far and do not move the mesh"
            notes += (Note("landmarks_dropped", text),)
        return notes

    def _fix_scale(
        self, state: RolloutState, window: Window, camera: CameraTrack, buffers: list[RasterBuffer], crop: Crop
    ) -> None:
        """Metres per object unit: from the object's size, else once from depth; unitless without either."""
        if self.config.camera.object_size_m > 0:
            side = float(np.ptp(state.anchor.mesh.vertices, axis=0).max())
            state.scale, state.metric = self.config.camera.object_size_m / side, True
        elif not state.metric and window.depth_m is not None and camera.valid[ANCHOR_FRAME]:
            small = crop.at_size(RASTER_SIZE)
            mask = sample_crop(window.masks[0], small)
            found = metric_scale(sample_crop(window.depth_m[0], small), mask, buffers[0].depth)
            if found is not None:
                state.scale, state.metric = found, True

    def _result(
        self, window: Window, state: RolloutState, shared: bool, vertices: np.ndarray, landmarks: np.ndarray,
        valid: np.ndarray, tracks: PointTracks, camera: CameraTrack, overlap: float,
    ) -> WindowResult:  # fmt: skip
        anchor = state.anchor
        colors = anchor.colors
        if colors is None:
            colors = np.full((len(anchor.expand), 3), PLAIN_COLOR, np.uint8)
        return WindowResult(
            index=state.index,
            topology_id=self._topology,
            stamps_ns=window.stamps_ns,
            shared_first=shared,
            vertices=np.ascontiguousarray(vertices[:, anchor.expand]),
            faces=anchor.faces,
            vertex_colors=colors,
            confidence=valid.mean(axis=1).astype(np.float32),
            landmark_vertices=_first_rows(anchor.expand, len(anchor.mesh.vertices))[anchor.landmark_vertices],
            landmarks=landmarks,
            landmark_valid=valid,
            tracks=tracks,
            camera=camera,
            scale=state.scale,
            metric=state.metric,
            silhouette_iou=overlap,
            user_from_object=anchor.user_from_object,
        )

    def _hand_over(self, window: Window, state: RolloutState, stage: StageOne, pose: np.ndarray) -> None:
        """Make the last frame the anchor of the next window (Sec. 4.3, App. C)."""
        state.index += 1
        state.vertices = pose
        state.last_stamp_ns = int(window.stamps_ns[-1])
        if self.config.anchor_handover == "latent":
            state.latent = stage.latents[window.frames - 1]
        else:
            state.latent = encode_mesh(self.backbone, pose, state.anchor.mesh.faces, self.config, state.index)


class _Clock:
    """Seconds by stage; waits for the device so that a stage pays for its own work."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        self.laps[stage] = self.laps.get(stage, 0.0) + now - self._last
        self._last = now


def _window_latents(stage: StageOne, frames: int) -> WindowLatents:
    """Both ends of a window of ``frames`` frames, however far it was padded."""
    last = frames - 1
    return WindowLatents(
        anchor=stage.latents[ANCHOR_FRAME].float().cpu().numpy(),
        last=stage.latents[last].float().cpu().numpy(),
        match=stage.maps.token_tokens[last].argmax(dim=1).cpu().numpy(),
    )


def _trim(matches: LandmarkMatches, frames: int) -> LandmarkMatches:
    """The first frames of a window's matches."""
    empty = tuple(frame for frame in matches.empty_frames if frame < frames)
    return LandmarkMatches(
        points=matches.points[:frames],
        confidence=matches.confidence[:frames],
        rows=matches.rows[:frames],
        best_tokens=matches.best_tokens[:frames],
        empty_frames=empty,
        own=matches.own,
    )


def _first_rows(expand: np.ndarray, count: int) -> np.ndarray:
    """[count] int64: for each welded vertex, the first of the vertices handed out that stands for it."""
    rows = np.zeros(count, np.int64)
    rows[expand[::-1]] = np.arange(len(expand))[::-1]
    return rows
