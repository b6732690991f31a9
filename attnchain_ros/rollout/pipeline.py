"""The whole method on one page: a window of frames in, an animated mesh with tracks and cameras out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..backbone import Backbone
from ..config import RolloutConfig
from ..conventions import ANCHOR_FRAME
from ..mesh.types import Mesh
from ..options import check_options, resolve
from .alone import guess_alone, motion_alone, start_alone, view_alone, with_outlines
from .anchor import canonical_anchor, encode_mesh, given_anchor, image_anchor
from .animating import Animation, animate
from .cameras import estimate_cameras
from .describing import Cameras, Facts, describe, match_notes
from .following import (
    ChainMotion,
    Guesser,
    chain_motion,
    choose_keyframe,
    follow_window,
    guess_by_attention,
    keep_keyframe,
    pose_window,
)
from .matching import Chain, window_seed
from .moving import window_motion
from .sight import Sight, Sources
from .state import Anchor, RolloutState
from .trace import (
    Trace,
    View,
    check_window,
    encode_frames,
    first_picture,
    object_square,
    patch_square,
    skipped_frames,
)
from .watch import Progress, Watch
from .window import Window, WindowLatents, WindowResult

Finish = Callable[[], WindowResult]
"""Makes a window's result; see ``Rollout.begin``."""


@dataclass
class Seen:
    """Of one chain: the state after the last window whose result was made, for what it knows from pictures."""

    last: RolloutState | None = None


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
        self._seen = Seen()
        self._topology = 0

    def beside(self) -> Rollout:
        """Another object's rollout, at its start, with the same networks, options and given anchor."""
        other = Rollout(self.backbone, self.config, keep_latents=self._keep_latents)
        other._given, other._size_m = self._given, self._size_m
        return other

    def reset(self) -> None:
        """Forget anchor pose, tracks and history; the next window starts anew with a new topology id."""
        if self._state is not None:
            self._topology += 1
        self._state = None
        self._seen = Seen()

    def take_anchor(self, anchor: Anchor | None, size_m: float = 0.0) -> None:
        """Go on with another anchor; the next window starts anew with it.

        Args:
            anchor: as ``anchor.finish_anchor`` makes it; None = generated from the next first image.
            size_m: longest side of the object in metres while this anchor lasts; 0 = ``camera.object_size_m``.
        """
        self._given, self._size_m = anchor, size_m
        self.reset()

    def configure(self, config: RolloutConfig) -> None:
        """Take other options from the next window on; landmarks and skinning keep theirs until a reset.

        A chain with networks and one without have different things to go on: another ``readout.source`` begins anew.
        """
        if config.readout.source != self.config.readout.source:
            self.reset()
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
            Cancelled; ConfigError: too many frames, or no mesh where no network is asked; MaskError: nothing to see;
            SurfaceError: Stage 0 found no surface.
        """
        watch = Watch(self.backbone.device, progress, cancelled)
        if self.config.readout.source == "none":
            return self._alone(window, watch)
        return self.finish(self.trace(window, watch=watch), watch)

    def begin(
        self, window: Window, progress: Progress | None = None, cancelled: Callable[[], bool] | None = None
    ) -> Finish:
        """The part of ``run`` that the next window waits for: the networks, and the mesh that moves.

        Returns:
            what makes the result: cameras, tracks and the rest. It needs neither networks nor device, and may be called
            in another thread while the next window begins: once, and in the order of the windows. Results are the same
            bytes as those of ``run``. With the preset "full" the next window needs it all, and everything is done here.
            If it fails the chain is to be started anew (``reset``).
        Raises:
            As ``run``; the state stays what it was.
        """
        watch = Watch(self.backbone.device, progress, cancelled)
        if self.config.readout.source == "none":
            result = self._alone(window, watch)
            return lambda: result
        return self._advance(self.trace(window, watch=watch), watch, watch.aside)

    @torch.no_grad()
    def trace(self, window: Window, start: RolloutState | None = None, watch: Watch | None = None) -> Trace:
        """Everything up to the matches: pictures, Stage I with its attention, and the chain (Sec. 3 and 4.1).

        Args:
            window: as for ``run``.
            start: where it starts; None goes on from the window before, or from the anchor (``start``).
            watch: progress and times.
        Raises:
            As ``run``. Nothing of the rollout changes.   ConfigError: no network is to be asked.
        """
        self.config.readout.check_network()
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
        sight = Sight(Sources(stage.maps, matches, chain.field, state.vertices))
        return Trace(window, state, crop, grid, sight, chain.field, stage, chain.landmarks, matches)

    @torch.no_grad()
    def finish(self, trace: Trace, watch: Watch | None = None) -> WindowResult:
        """From matches to a result: animation, cameras, tracks; then the rollout stands at the window's last frame.

        Raises:
            Cancelled: asked to stop; the rollout stands where it stood.
        """
        watch = Watch(self.backbone.device) if watch is None else watch
        before, seen = self._state, self._seen
        try:
            return self._advance(trace, watch, lambda: watch)()
        except BaseException:
            self._state, self._seen = before, seen
            raise

    @torch.no_grad()
    def _advance(self, trace: Trace, watch: Watch, rest: Callable[[], Watch]) -> Finish:
        """Move the mesh and stand at the window's last frame; ``rest`` gives the watch for what is left then."""
        if self.config.preset == "full" and trace.frames > 1:
            result = self._on_parts(trace, watch)
            return lambda: result
        config, state, seen = self.config, trace.state.copy(), self._seen
        watch.report("animation")
        moved = animate(state, trace.matches, trace.frames, config)  # Sec. 4.2, App. C, D
        watch.lap("animation")
        watch.report("sight")
        trace.sight.fetch(config, state.tracks is None)  # Eq. 6, 7: what attention says about pictures
        watch.lap("sight")
        self._hand_over(trace, state, moved)  # Sec. 4.3, App. C
        watch.lap("hand-over")
        facts = self._facts(trace, moved)
        start = trace.state
        view = trace.view(start)
        self._state = state

        def finish() -> WindowResult:
            own = rest()
            before = view if seen.last is None else replace(view, state=start.seen_like(seen.last))
            after = state.seen_like(before.state)
            own.report("camera")
            motion, unknown = window_motion(before, config.camera)
            seed = window_seed(config, start)
            camera, refusals = estimate_cameras(before, moved, config.camera, seed, motion)  # Eq. 7, 8
            own.lap("camera")
            result = describe(before, after, moved, Cameras(camera, (*unknown, *refusals)), facts, own)
            seen.last = after
            return result

        return finish

    def _on_parts(self, trace: Trace, watch: Watch) -> WindowResult:
        """A window with the preset "full": the next one starts from what its pixels say."""
        state = trace.state.copy()
        chain = self._chain_motion(trace, watch)
        watch.report("animation")
        watch.lap("animation")
        moved, cameras = follow(trace, state, chain, self.config, watch)
        result = describe(trace, state, moved, cameras, self._facts(trace, moved), watch)
        self._hand_over(trace, state, moved)  # Sec. 4.3, App. C
        return self._stand(trace, state, cameras, result, watch)

    def _alone(self, window: Window, watch: Watch) -> WindowResult:
        """A window with ``readout.source: none``: pixels and outlines say it all (``rollout.alone``)."""
        config = with_outlines(self.config)
        check_window(window, config.frames)
        view = view_alone(self.backbone, config, window, self.start(window, watch))
        state, chain = view.state.copy(), motion_alone(view, config)
        moved, cameras = follow(view, state, chain, config, watch, guess_alone)
        result = describe(view, state, moved, cameras, self._facts(None, moved), watch)
        _go_on(view, state, moved)
        return self._stand(view, state, cameras, result, watch)

    def _stand(
        self, view: View, state: RolloutState, cameras: Cameras, result: WindowResult, watch: Watch
    ) -> WindowResult:
        """Make ``state`` the one that the next window starts from; gives the result back."""
        keep_keyframe(view, state, cameras.followed, self.config)
        watch.lap("hand-over")
        self._state = self._seen.last = state
        return result

    @torch.no_grad()
    def start(self, window: Window, watch: Watch | None = None) -> RolloutState:
        """Where the next window starts: a copy of the kept state, or a fresh one with its anchor made (Sec. 3)."""
        if self._state is not None:
            last = self._seen.last
            return self._state.copy() if last is None else self._state.seen_like(last)
        watch = Watch(self.backbone.device) if watch is None else watch
        self.config.readout.check_mesh(self._given is not None)
        if self._given is not None and self.config.readout.source == "none":
            return start_alone(self._given, self._size_m)
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

    def _facts(self, trace: Trace | None, moved: Animation) -> Facts:
        """What the result says besides what is seen; ``trace``: None where no network was asked."""
        notes, latents = self.backbone.passes.take_notes(), None
        if trace is not None:
            latents = _window_latents(trace) if self._keep_latents else None
            notes = (*notes, *match_notes(trace.matches, moved))
        return Facts(self.config, self._topology, self._given is not None, notes, latents)

    def _hand_over(self, trace: Trace, state: RolloutState, moved: Animation) -> None:
        """Make the last frame the anchor of the next window (Sec. 4.3, App. C)."""
        _go_on(trace, state, moved)
        if self.config.anchor_handover == "latent":
            state.latent = trace.stage.latents[trace.frames - 1]
        else:
            faces = state.anchor.mesh.faces
            state.latent = encode_mesh(self.backbone, state.vertices, faces, self.config, state.index)


def _go_on(view: View, state: RolloutState, moved: Animation) -> None:
    """Stand at a window's last frame."""
    state.index += 1
    state.vertices = moved.vertices[-1]
    state.last_stamp_ns = int(view.window.stamps_ns[-1])


def follow(
    view: View,
    state: RolloutState,
    chain: ChainMotion,
    config: RolloutConfig,
    watch: Watch,
    guesser: Guesser = guess_by_attention,
) -> tuple[Animation, Cameras]:
    """From what is known of a window to what its pixels say: cameras, then the mesh; updates ``state``."""
    watch.report("camera")
    motion, unknown = window_motion(view, config.camera)
    posed = pose_window(view, state, chain, config, motion, guesser)
    watch.lap("camera")
    watch.report("pixels")
    moved, followed = follow_window(view, state, chain, posed, config)
    watch.lap("pixels")
    return moved, Cameras(posed.camera, (*unknown, *posed.notes), followed)


def _window_latents(trace: Trace) -> WindowLatents:
    """Both ends of a window, however far it was padded."""
    last, stage = trace.frames - 1, trace.stage
    return WindowLatents(
        anchor=stage.latents[ANCHOR_FRAME].float().cpu().numpy(),
        last=stage.latents[last].float().cpu().numpy(),
        match=stage.maps.token_tokens[last].argmax(dim=1).cpu().numpy(),
    )
