"""The rollout: windows of frames in, animated meshes with tracks and cameras out."""

from ..config import RolloutConfig
from .pipeline import Rollout, config_for
from .window import CameraTrack, PointTracks, Window, WindowResult

__all__ = ["CameraTrack", "PointTracks", "Rollout", "RolloutConfig", "Window", "WindowResult", "config_for"]
