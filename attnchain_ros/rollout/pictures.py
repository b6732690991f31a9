"""What the image encoders see of a window: the square around the object, prepared and encoded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..backbone import Backbone
from ..camera.crop import Crop, prepare_images, union_crop
from ..config import RolloutConfig
from ..errors import ConfigError, MaskError
from .window import Window

ANCHOR_FRAME = 0
"""The last frame of a window is the anchor of the next, so the anchor is always the first frame."""


@dataclass(frozen=True)
class WindowPictures:
    """A window through the eyes of Stage I.

    Attributes:
        square: part of the frames around the object in all of them, at the encoder's input size.
        patches: the part of ``square`` that the grid of patches covers.
        grid: patches along a side.
        context: [config.frames, T, C] the encoder's tokens; a shorter window is padded with its last frame.
    """

    square: Crop
    patches: Crop
    grid: int
    context: Tensor


def check_window(window: Window, frames: int) -> None:
    """See that a window can be looked at.

    Raises:
        ConfigError: it has more than ``frames`` frames.   MaskError: there is nothing to see in its first frame.
    """
    if window.frames > frames:
        raise ConfigError(f"the window has {window.frames} frames, at most {frames} go into one: cut it first")
    if not window.masks[ANCHOR_FRAME].any():
        raise MaskError("the mask of the window's first frame is empty: the object must be seen where a window starts")


def look_at(backbone: Backbone, config: RolloutConfig, window: Window) -> WindowPictures:
    """Cut out the object, put it on white and encode all frames for Stage I.

    Args:
        window: one that ``check_window`` accepts.
    """
    encoder = backbone.encoder_one
    square = union_crop(window.masks, config.crop_padding, encoder.input_size)
    prepared = prepare_images(window.images, window.masks, square)
    missing = config.frames - window.frames
    context = encoder.encode(np.concatenate([prepared, np.repeat(prepared[-1:], missing, axis=0)]))
    return WindowPictures(square, patch_crop(square, encoder.input_size, encoder.crop_size), encoder.grid, context)


def first_picture(backbone: Backbone, window: Window, square: Crop) -> np.ndarray:
    """[S, S, 3] the window's first frame, cut out by ``square``, at the size that Stage 0's encoder takes."""
    first = square.at_size(backbone.encoder_zero.input_size)
    picture: np.ndarray = prepare_images(window.images[:1], window.masks[:1], first)[0]
    return picture


def patch_crop(square: Crop, input_size: int, crop_size: int) -> Crop:
    """The part of the prepared square that the patch grid covers, after the processor's centre crop."""
    cut = (input_size - crop_size) // 2
    step = square.side / input_size
    return Crop(square.x0 + cut * step, square.y0 + cut * step, crop_size * step, crop_size)
