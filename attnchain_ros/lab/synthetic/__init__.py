"""Synthetic articulated things in motion with exact ground truth; needs numpy and scikit-image, no ROS and no torch."""

from .clip import (
    CAMERAS,
    SURROUNDINGS,
    Camera,
    Clip,
    ClipConfig,
    CroppedPictures,
    Surrounding,
    make_clip,
    render_cropped,
)
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
    "SURROUNDINGS",
    "TRAINED_FAMILIES",
    "TRAINED_PARTS",
    "Camera",
    "Clip",
    "ClipConfig",
    "CroppedPictures",
    "Pictures",
    "Split",
    "Surrounding",
    "make_clip",
    "part_offset",
    "render_cropped",
    "split_clip",
    "split_family",
    "split_seed",
]
