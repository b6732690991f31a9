"""Synthetic animals in motion with exact ground truth; needs numpy and scikit-image, no ROS and no torch."""

from .clip import Clip, ClipConfig, CroppedPictures, Split, make_clip, render_cropped, split_seed
from .creature import PART_COUNT, PART_NAMES, PART_PARENTS
from .render import Pictures

__all__ = [
    "PART_COUNT",
    "PART_NAMES",
    "PART_PARENTS",
    "Clip",
    "ClipConfig",
    "CroppedPictures",
    "Pictures",
    "Split",
    "make_clip",
    "render_cropped",
    "split_seed",
]
