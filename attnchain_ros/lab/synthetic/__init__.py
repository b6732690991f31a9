"""Synthetic articulated things in motion with exact ground truth; needs numpy and scikit-image, no ROS and no torch."""

from .clip import CAMERAS, Camera, Clip, ClipConfig, CroppedPictures, make_clip, render_cropped
from .families import (
    FAMILIES,
    HELD_OUT_FAMILIES,
    MOST_PARTS,
    TRAINED_FAMILIES,
    TRAINED_PARTS,
    part_offset,
)
from .render import Pictures
from .splits import SPLITS, Split, split_clip, split_family, split_seed

__all__ = [
    "CAMERAS",
    "FAMILIES",
    "HELD_OUT_FAMILIES",
    "MOST_PARTS",
    "SPLITS",
    "TRAINED_FAMILIES",
    "TRAINED_PARTS",
    "Camera",
    "Clip",
    "ClipConfig",
    "CroppedPictures",
    "Pictures",
    "Split",
    "make_clip",
    "part_offset",
    "render_cropped",
    "split_clip",
    "split_family",
    "split_seed",
]
