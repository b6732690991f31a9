"""A window with everything that the networks and the chain say about it, before anything moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..backbone import Backbone, DecodedLatents, StageOne
from ..camera.crop import Crop, prepare_images, union_crop
from ..camera.intrinsics import default_intrinsics
from ..config import RolloutConfig
from ..conventions import ANCHOR_FRAME
from ..errors import ConfigError, MaskError
from .matching import LandmarkMatches
from .sight import Sight
from .state import RolloutState
from .window import Window


@dataclass(frozen=True)
class View:
    """One window with what cameras and tracks need of it.

    Attributes:
        window: full frames.
        state: where the window starts: the anchor, its pose and latent, tracks and histories.
        crop: the square of the full frames that the grid of patches covers.
        grid: patches along its side.
        sight: what attention says about pictures.
    """

    window: Window
    state: RolloutState
    crop: Crop
    grid: int
    sight: Sight

    @property
    def frames(self) -> int:
        """Real frames, without the padding."""
        return self.window.frames

    @property
    def shared_first(self) -> bool:
        """Whether the first frame is the last one of the window before."""
        return self.state.last_stamp_ns == int(self.window.stamps_ns[0])

    @property
    def intrinsics(self) -> np.ndarray:
        """[3, 3] K of the full frame; where none was given, the default focal length (App. C)."""
        given = self.window.intrinsics
        return default_intrinsics(*self.window.images.shape[1:3]) if given is None else given

    @property
    def diagonal(self) -> float:
        """Of the anchor mesh's bounding box, object units."""
        return self.state.anchor.mesh.diagonal


@dataclass(frozen=True)
class Trace(View):
    """One window, seen from inside.

    Attributes:
        anchor_field: the decoded latent of the anchor frame.
        stage: latents and attention maps of Stage I; a short window was padded for the networks.
        landmarks: [K, 3] places of the landmarks in the anchor frame, object frame.
        matches: where the chain finds them, before outliers are rejected.
    """

    anchor_field: DecodedLatents
    stage: StageOne
    landmarks: Tensor
    matches: LandmarkMatches

    def view(self, state: RolloutState) -> View:
        """The same window from another state, without what lies on the device."""
        return View(self.window, state, self.crop, self.grid, self.sight)


def check_window(window: Window, frames: int) -> None:
    """See that a window can be looked at.

    Raises:
        ConfigError: it has more than ``frames`` frames.   MaskError: there is nothing to see in its first frame.
    """
    if window.frames > frames:
        raise ConfigError(f"the window has {window.frames} frames, at most {frames} go into one: cut it first")
    if not window.masks[ANCHOR_FRAME].any():
        raise MaskError("the mask of the window's first frame is empty: the object must be seen where a window starts")


def object_square(backbone: Backbone, config: RolloutConfig, window: Window) -> Crop:
    """The square around the object in all frames of a window, at the size that Stage I's image encoder takes."""
    return union_crop(window.masks, config.crop_padding, backbone.encoder_one.input_size)


def patch_square(backbone: Backbone, square: Crop) -> Crop:
    """The part of ``object_square`` that the grid of patches covers, after the processor's centre crop."""
    encoder = backbone.encoder_one
    cut = (encoder.input_size - encoder.crop_size) // 2
    step = square.side / encoder.input_size
    return Crop(square.x0 + cut * step, square.y0 + cut * step, encoder.crop_size * step, encoder.crop_size)


@torch.no_grad()
def encode_frames(backbone: Backbone, config: RolloutConfig, window: Window, square: Crop) -> Tensor:
    """Image tokens [config.frames, P + 1, C]: the object on white; a shorter window is padded with its last frame."""
    prepared = prepare_images(window.images, window.masks, square)
    missing = config.frames - window.frames
    return backbone.encode_images(np.concatenate([prepared, np.repeat(prepared[-1:], missing, axis=0)]))


def first_picture(backbone: Backbone, window: Window, square: Crop) -> np.ndarray:
    """[S, S, 3] the window's first frame, cut out by ``square``, at the size that Stage 0's encoder takes."""
    first = square.at_size(backbone.encoder_zero.input_size)
    picture: np.ndarray = prepare_images(window.images[:1], window.masks[:1], first)[0]
    return picture


def skipped_frames(config: RolloutConfig, frames: int) -> tuple[int, ...]:
    """Frames of a window in which landmarks are not looked for: the padding, and ``parts.match_every``.

    The anchor frame and the last real one are looked at always. None with the preset "paper".
    """
    if config.preset == "paper":
        return ()
    every = range(frames - 1, 0, -config.parts.match_every)
    return tuple(frame for frame in range(1, config.frames) if frame not in every)
