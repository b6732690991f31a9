"""The first window of a rollout with everything it went through, for measuring the parts of the method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..backbone import Backbone, DecodedLatents, StageOne
from ..camera.crop import prepare_images, union_crop
from ..config import RolloutConfig
from ..errors import ConfigError, MaskError
from ..mesh.types import Mesh
from .anchor import canonical_anchor, encode_mesh, given_anchor, image_anchor
from .animating import Animation, animate
from .matching import LandmarkMatches, match_landmarks
from .pipeline import ANCHOR_FRAME, patch_crop
from .state import Anchor, RolloutState
from .tracking import WindowView, window_intrinsics
from .window import Window


@dataclass(frozen=True)
class Start:
    """Where a window starts: its anchor and the anchor's latent [N, c]."""

    anchor: Anchor
    latent: Tensor


@dataclass(frozen=True)
class Inspection:
    """One window, seen from inside.

    Attributes:
        anchor: the anchor mesh with its landmarks.
        anchor_field: decoded latent of the anchor frame.
        view: the window as the image encoder saw it, with the attention maps.
        stage: latents and attention maps of Stage I.
        landmarks: [K, 3] places in the anchor frame.
        matches: what the chain found, before outliers are rejected.
        animation: the animated mesh.
    """

    anchor: Anchor
    anchor_field: DecodedLatents
    view: WindowView
    stage: StageOne
    landmarks: Tensor
    matches: LandmarkMatches
    animation: Animation


@torch.no_grad()
def start_window(
    backbone: Backbone, config: RolloutConfig, window: Window, mesh: Mesh | None = None, canonical: bool = False
) -> Start:
    """The anchor of a window that starts a rollout.

    Args:
        backbone, config: of the rollout.
        window: of which the first frame is read where no mesh is given.
        mesh: the anchor; None makes one from the first image (Stage 0).
        canonical: the mesh is in the canonical frame already.
    Raises:
        MaskError: nothing to see.   MeshError, ConfigError: the mesh cannot be used.
        SurfaceError: Stage 0 found no surface.
    """
    if mesh is None:
        _check_mask(window)
        square = union_crop(window.masks, config.crop_padding, backbone.encoder_one.input_size)
        first = square.at_size(backbone.encoder_zero.input_size)
        image = prepare_images(window.images[:1], window.masks[:1], first)[0]
        return Start(*image_anchor(backbone, image, config, lambda stage, done, total: None))
    anchor = (canonical_anchor if canonical else given_anchor)(mesh, config)
    return Start(anchor, encode_mesh(backbone, anchor.mesh.vertices, anchor.mesh.faces, config, 0))


@torch.no_grad()
def inspect_window(backbone: Backbone, config: RolloutConfig, window: Window, start: Start) -> Inspection:
    """Run the first window of a rollout as ``Rollout.run`` does, up to the animated mesh.

    Args:
        backbone: the frozen networks.
        config: options; reinforcement must be off.
        window: at most ``config.frames`` frames; a shorter one is padded.
        start: from ``start_window``.
    Raises:
        ConfigError: too many frames, or reinforcement is on.   MaskError: nothing to see.
    """
    frames = config.frames
    if window.frames > frames:
        raise ConfigError(f"the window has {window.frames} frames, at most {frames} go into one: cut it first")
    if config.reinforce.mode != "off":
        raise ConfigError(f"reinforce.mode is {config.reinforce.mode!r}: a window is inspected without: set it to off")
    _check_mask(window)
    encoder = backbone.encoder_one
    square = union_crop(window.masks, config.crop_padding, encoder.input_size)
    prepared = prepare_images(window.images, window.masks, square)
    context = encoder.encode(np.concatenate([prepared, np.repeat(prepared[-1:], frames - window.frames, axis=0)]))
    anchor = start.anchor
    seed = config.sampling.seed
    stage = backbone.denoise(start.latent, context, ANCHOR_FRAME, config.sampling, config.readout, seed)
    field = backbone.decode(start.latent[None])
    pose = torch.from_numpy(anchor.mesh.vertices).to(backbone.device)
    landmarks = pose[torch.from_numpy(anchor.landmark_vertices).to(backbone.device)]
    diagonal = anchor.mesh.diagonal
    matches = match_landmarks(
        backbone, field, stage.latents, stage.maps, landmarks, ANCHOR_FRAME, diagonal, config, seed
    )
    state = RolloutState(anchor=anchor, latent=start.latent, vertices=anchor.mesh.vertices)
    moved = animate(state, matches, ANCHOR_FRAME, window.frames, config.animation, diagonal)
    crop = patch_crop(square, encoder.input_size, encoder.crop_size)
    view = WindowView(window, crop, encoder.grid, stage.maps, window_intrinsics(window)[0])
    return Inspection(anchor, field, view, stage, landmarks, matches, moved)


def _check_mask(window: Window) -> None:
    if not window.masks[ANCHOR_FRAME].any():
        raise MaskError("the mask of the window's first frame is empty: the object must be seen where a window starts")
