"""The whole method on one page: a window of frames in, an animated mesh with tracks and cameras out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from ..backbone import Backbone
from ..camera.raycast import RasterBuffer, silhouette_iou
from ..camera.scale import metric_scale
from ..config import CameraConfig, RolloutConfig
from ..conventions import ANCHOR_FRAME
from ..mesh.types import Mesh
from ..notes import Note
from ..options import check_options, resolve
from .anchor import canonical_anchor, encode_mesh, given_anchor, image_anchor
from .animating import Animation, animate
from .cameras import RASTER_SIZE, draw_frames, estimate_cameras, sample_crop
from .following import (
    ChainMotion,
    chain_motion,
    choose_keyframe,
    follow_window,
    keep_keyframe,
    lay_on_pixels,
    pose_window,
)
from .judging import judged
from .matching import Chain, window_seed
from .moving import sized_scale, window_motion
from .painting import PLAIN_COLOR, paint_vertices
from .state import Anchor, RolloutState
from .trace import (
    Trace,
    check_window,
    encode_frames,
    first_picture,
    object_square,
    patch_square,
    skipped_frames,
)
from .tracking import start_tracks, track_points
from .trusting import trust_cameras
from .watch import Progress, Watch
from .window import CameraTrack, PointTracks, Window, WindowLatents, WindowResult, hide_untrusted


class Rollout:
    """Runs windows one after another, keeping the anchor mesh, its landmarks and the track ids until a reset.

    Memory is constant in the number of windows. Not thread-safe: one owner calls it.

    Args:
        backbone: the frozen networks.
        config: options; None takes ``options.resolve(backbone)``.
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
        self.config = resolve(backbone) if config is None else config
        check_options(backbone, self.config)
        self._given: Anchor | None = None
        if anchor is not None:
            make = canonical_anchor if anchor_is_canonical else given_anchor
            self._given = make(anchor, self.config)
        self._size_m = 0.0
        self._keep_latents = keep_latents
        self._state: RolloutState | None = None
        self._topology = 0

    def reset(self) -> None:
        """Forget anchor pose, tracks and history; the next window starts anew with a new topology id."""
        if self._state is not None:
            self._topology += 1
        self._state = None

    def take_anchor(self, anchor: Anchor | None, size_m: float = 0.0) -> None:
        """Go on with another anchor; the next window starts anew with it.

        Args:
            anchor: as ``anchor.finish_anchor`` makes it; None = generated from the next first image.
            size_m: longest side of the object in metres while this anchor lasts; 0 = ``camera.object_size_m``.
        """
        self._given, self._size_m = anchor, size_m
        self.reset()

    def configure(self, config: RolloutConfig) -> None:
        """Take other options from the next window on; landmarks and skinning keep theirs until a reset."""
        self.config = config

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
        watch = Watch(self.backbone.device, progress, cancelled)
        return self.finish(self.trace(window, watch=watch), watch)

    @torch.no_grad()
    def trace(self, window: Window, start: RolloutState | None = None, watch: Watch | None = None) -> Trace:
        """Everything up to the matches: pictures, Stage I with its attention, and the chain (Sec. 3 and 4.1).

        Args:
            window: as for ``run``.
            start: where it starts; None goes on from the window before, or from the anchor (``start``).
            watch: progress and times.
        Raises:
            As ``run``. Nothing of the rollout changes.
        """
        config, backbone = self.config, self.backbone
        watch = Watch(backbone.device) if watch is None else watch
        check_window(window, config.frames)
        watch.report("images")
        square = object_square(backbone, config, window)
        context = encode_frames(backbone, config, window, square)  # Sec. 3: the images' tokens
        watch.lap("images")
        state = self.start(window, watch) if start is None else start  # Sec. 3, Stage 0, or Sec. 4.3, the last frame
        chain = Chain.of(backbone, state, config)  # Sec. 4.1 (1): A_{Va->Za}
        stage = backbone.denoise(  # Stage I, Eq. 1; Sec. 4.1 (2): A_{Za->Zf}; Eq. 5 where it is on
            state.latent, context, config, chain.seed,
            chain.pairs, lambda done, total: watch.report("denoising", done, total),
        )  # fmt: skip
        watch.lap("denoising")
        watch.report("correspondence")
        matches = chain.match(
            stage.latents, stage.maps, skipped_frames(config, window.frames)
        )  # Sec. 4.1 (3): A_{Zf->Vf}; Eq. 2, 3, 4
        watch.lap("correspondence")
        crop = patch_square(backbone, square)
        grid = backbone.encoder_one.grid
        return Trace(window, state, crop, grid, chain.field, stage, chain.landmarks, matches)

    @torch.no_grad()
    def finish(self, trace: Trace, watch: Watch | None = None) -> WindowResult:
        """From matches to a result: animation, cameras, tracks; then the rollout stands at the window's last frame.

        Raises:
            Cancelled: asked to stop; the rollout stands where it stood.
        """
        config = self.config
        watch = Watch(self.backbone.device) if watch is None else watch
        state = trace.state.copy()
        full = config.preset == "full"
        chain = self._chain_motion(trace, watch) if full and trace.frames > 1 else None
        watch.report("animation")
        if chain is None:
            moved = animate(state, trace.matches, trace.frames, config)  # Sec. 4.2, App. C, D
        else:
            moved = chain.animation
        watch.lap("animation")
        watch.report("camera")
        followed = None
        motion, unknown = window_motion(trace, config.camera)
        if chain is None:
            seed = window_seed(config, state)
            camera, refusals = estimate_cameras(trace, moved, config.camera, seed, motion)  # Eq. 7, 8
            watch.lap("camera")
        else:
            posed = pose_window(trace, state, chain, config, motion)
            camera, refusals = posed.camera, posed.notes
            watch.lap("camera")
            watch.report("pixels")
            moved, followed = follow_window(trace, state, chain, posed, config)
            watch.lap("pixels")
        watch.report("tracks")
        buffers = self._draw(trace, moved, camera)
        if state.tracks is None:
            state.tracks = start_tracks(trace, moved, camera, config.tracks)  # Eq. 9, the rays of the queries
        tracks, routes = track_points(trace, moved, camera, buffers, state.tracks, config.tracks)  # Eq. 6, 9
        if followed is not None and config.parts.tracks:
            tracks = lay_on_pixels(tracks, followed, config)
        state.tracks.last_px = tracks.points_px[-1]
        if camera.valid.any():
            state.pose = camera.camera_from_object[np.flatnonzero(camera.valid)[-1]]
        overlap = float("nan")
        if camera.valid[ANCHOR_FRAME]:
            overlap = self._overlap(trace, buffers)
            if state.anchor.colors is None:
                colors = paint_vertices(trace, moved, camera, buffers)
                state.anchor = replace(state.anchor, colors=colors[state.anchor.expand])
        trusted, doubts = trust_cameras(
            trace, state, moved, camera, buffers, config.camera, anchor_given=self._given is not None
        )
        tracks, camera = hide_untrusted(tracks, camera, trusted), trusted
        fix_scale(state, trace, camera, buffers, config.camera)
        watch.lap("tracks")
        result = self._result(trace, state, moved, tracks, camera)
        self._hand_over(trace, state, moved)  # Sec. 4.3, App. C
        if full:
            keep_keyframe(trace, state, followed, config)
        watch.lap("hand-over")
        self._state = state
        return judged(
            replace(
                result,
                silhouette_iou=overlap,
                notes=(*_assumptions(trace), *_match_notes(trace, moved), *unknown, *refusals, *doubts, *routes),
                timings_s=watch.laps,
                latents=_window_latents(trace) if self._keep_latents else None,
            ),
            depth_given=trace.window.depth_m is not None,
        )

    @torch.no_grad()
    def start(self, window: Window, watch: Watch | None = None) -> RolloutState:
        """Where the next window starts: a copy of the kept state, or a fresh one with its anchor made (Sec. 3)."""
        if self._state is not None:
            return self._state.copy()
        watch = Watch(self.backbone.device) if watch is None else watch
        if self._given is not None:
            anchor, latent = self._given, None
        else:
            picture = first_picture(self.backbone, window, object_square(self.backbone, self.config, window))
            anchor, latent = image_anchor(self.backbone, picture, self.config, watch.report)
            watch.lap("image to 3D")
        mesh = anchor.mesh
        if latent is None:
            latent = encode_mesh(self.backbone, mesh.vertices, mesh.faces, self.config, 0)
        watch.lap("anchor")
        return RolloutState(anchor=anchor, latent=latent, vertices=mesh.vertices, size_m=self._size_m)

    def _chain_motion(self, trace: Trace, watch: Watch) -> ChainMotion:
        """The second read, from a keyframe, where it is due; then both on rigid parts."""
        options, memory, index = self.config.parts, trace.state.memory, trace.state.index
        second = None
        if options.reads == "both" and memory is not None and memory.keyframes and index % options.read_every == 0:
            key, variance = choose_keyframe(memory, trace.state)
            window = trace.window
            again = Window(
                np.concatenate([key.image[None], window.images[1:]]),
                np.concatenate([key.mask[None], window.masks[1:]]),
                np.concatenate([[key.stamp_ns], window.stamps_ns[1:]]).astype(np.int64),
                window.intrinsics,
            )
            start = replace(trace.state, latent=key.latent, vertices=key.vertices)
            second = (self.trace(again, start, watch), variance)
        return chain_motion(trace, second, self.config)

    def _draw(self, trace: Trace, moved: Animation, camera: CameraTrack) -> list[RasterBuffer]:
        """Z-buffers of all frames; none while there never was a pose."""
        if trace.state.pose is None and not camera.valid.any():
            return []
        return draw_frames(moved.vertices, trace.state.anchor.mesh.faces, camera, trace.crop)

    def _overlap(self, trace: Trace, buffers: list[RasterBuffer]) -> float:
        """Overlap of the posed anchor's silhouette with the first mask."""
        mask = sample_crop(trace.window.masks[ANCHOR_FRAME], trace.crop.at_size(RASTER_SIZE))
        return silhouette_iou(mask, buffers[ANCHOR_FRAME])

    def _result(
        self, trace: Trace, state: RolloutState, moved: Animation, tracks: PointTracks, camera: CameraTrack
    ) -> WindowResult:
        anchor = state.anchor
        colors = anchor.colors
        if colors is None:
            colors = np.full((len(anchor.expand), 3), PLAIN_COLOR, np.uint8)
        return WindowResult(
            index=state.index,
            topology_id=self._topology,
            stamps_ns=trace.window.stamps_ns,
            shared_first=trace.shared_first,
            vertices=np.ascontiguousarray(moved.vertices[:, anchor.expand]),
            faces=anchor.faces,
            vertex_colors=colors,
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
            fixed_from_camera=trace.window.fixed_from_camera,
        )

    def _hand_over(self, trace: Trace, state: RolloutState, moved: Animation) -> None:
        """Make the last frame the anchor of the next window (Sec. 4.3, App. C)."""
        state.index += 1
        state.vertices = moved.vertices[-1]
        state.last_stamp_ns = int(trace.window.stamps_ns[-1])
        if self.config.anchor_handover == "latent":
            state.latent = trace.stage.latents[trace.frames - 1]
        else:
            faces = state.anchor.mesh.faces
            state.latent = encode_mesh(self.backbone, state.vertices, faces, self.config, state.index)


def fix_scale(
    state: RolloutState, trace: Trace, camera: CameraTrack, buffers: list[RasterBuffer], config: CameraConfig
) -> None:
    """Metres per object unit: from the object's size, else once from depth; unitless without either."""
    depth = trace.window.depth_m
    sized = sized_scale(state, config)
    if sized is not None:
        state.scale, state.metric = sized, True
    elif not state.metric and depth is not None and camera.valid[ANCHOR_FRAME]:
        small = trace.crop.at_size(RASTER_SIZE)
        mask = sample_crop(trace.window.masks[ANCHOR_FRAME], small)
        found = metric_scale(sample_crop(depth[ANCHOR_FRAME], small), mask, buffers[ANCHOR_FRAME].depth)
        if found is not None:
            state.scale, state.metric = found, True


def _assumptions(trace: Trace) -> tuple[Note, ...]:
    """What a window had to do without."""
    notes: tuple[Note, ...] = ()
    if trace.state.last_stamp_ns is not None and not trace.shared_first:
        text = "the window does not start with the last frame of the one before: motion between them is lost"
        notes += (Note("motion_lost", text),)
    if trace.window.intrinsics is None and trace.state.index == 0:
        text = f"no camera intrinsics: assuming a focal length of {trace.intrinsics[0, 0]:.1f} px"
        notes += (Note("focal_assumed", text),)
    if trace.state.anchor.turned and trace.state.index == 0:
        text = f"{trace.state.anchor.turned} triangles of the anchor mesh faced inwards and were turned"
        notes += (Note("anchor_turned", text),)
    return notes


def _match_notes(trace: Trace, moved: Animation) -> tuple[Note, ...]:
    """What the chain did not find."""
    notes: tuple[Note, ...] = ()
    if trace.matches.empty_frames:
        text = f"no surface was generated for frames {list(trace.matches.empty_frames)}: their motion is interpolated"
        notes += (Note("frames_without_surface", text),)
    if moved.dropped:
        text = f"{moved.dropped} landmarks were too unreliable so far and do not move the mesh"
        notes += (Note("landmarks_dropped", text),)
    return notes


def _window_latents(trace: Trace) -> WindowLatents:
    """Both ends of a window, however far it was padded."""
    last, stage = trace.frames - 1, trace.stage
    return WindowLatents(
        anchor=stage.latents[ANCHOR_FRAME].float().cpu().numpy(),
        last=stage.latents[last].float().cpu().numpy(),
        match=stage.maps.token_tokens[last].argmax(dim=1).cpu().numpy(),
    )


def _first_rows(expand: np.ndarray, count: int) -> np.ndarray:
    """[count] int64: for each welded vertex, the first of the vertices handed out that stands for it."""
    rows = np.zeros(count, np.int64)
    rows[expand[::-1]] = np.arange(len(expand))[::-1]
    return rows
