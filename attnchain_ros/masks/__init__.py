"""The object's mask in every image of a stream, from a click: SAM 2's video model."""

from .prompt import Prompt
from .tracker import MaskTracker, TrackedMask, load_tracker

__all__ = ["MaskTracker", "Prompt", "TrackedMask", "load_tracker"]
