"""The rollout: windows of frames in, animated meshes with tracks and cameras out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..config import RolloutConfig
from .window import CameraTrack, PointTracks, Window, WindowResult

if TYPE_CHECKING:
    from .pipeline import Rollout

__all__ = ["CameraTrack", "PointTracks", "Rollout", "RolloutConfig", "Window", "WindowResult"]


def __getattr__(name: str) -> Any:
    """Load the networks' libraries only when a rollout is asked for: they take seconds, the data classes do not."""
    if name == "Rollout":
        from .pipeline import Rollout

        return Rollout
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
