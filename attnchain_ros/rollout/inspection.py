"""The first window of a rollout with everything it went through, for measuring the parts of the method."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..backbone import Backbone, DecodedLatents, StageOne
from ..camera.crop import union_crop
from ..config import RolloutConfig
from ..errors import ConfigError
from ..mesh.types import Mesh
from .anchor import canonical_anchor, encode_mesh, given_anchor, image_anchor
from .animating import Animation, animate
from .matching import LandmarkMatches, match_landmarks
from .pictures import ANCHOR_FRAME, check_window, first_picture, look_at
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
        check_window(window, config.frames)
        square = union_crop(window.masks, config.crop_padding, backbone.encoder_one.input_size)
        picture = first_picture(backbone, window, square)
        return Start(*image_anchor(backbone, picture, config, lambda stage, done, total: None))
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
    if config.reinforce.mode != "off":
        raise ConfigError(f"reinforce.mode is {config.reinforce.mode!r}: a window is inspected without: set it to off")
    check_window(window, config.frames)
    pictures = look_at(backbone, config, window)
    anchor = start.anchor
    seed = config.sampling.seed
    stage = backbone.denoise(start.latent, pictures.context, ANCHOR_FRAME, config.sampling, config.readout, seed)
    field = backbone.decode(start.latent[None])
    pose = torch.from_numpy(anchor.mesh.vertices).to(backbone.device)
    landmarks = pose[torch.from_numpy(anchor.landmark_vertices).to(backbone.device)]
    diagonal = anchor.mesh.diagonal
    matches = match_landmarks(
        backbone, field, stage.latents, stage.maps, landmarks, ANCHOR_FRAME, diagonal, config, seed
    )
    state = RolloutState(anchor=anchor, latent=start.latent, vertices=anchor.mesh.vertices)
    limit = config.match.self_limit
    moved = animate(state, matches, ANCHOR_FRAME, window.frames, config.animation, diagonal, limit)
    view = WindowView(window, pictures.patches, pictures.grid, stage.maps, window_intrinsics(window)[0])
    return Inspection(anchor, field, view, stage, landmarks, matches, moved)
