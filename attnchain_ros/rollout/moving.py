"""How the camera moved through a window, as far as it is known: from TF, or from what stands still behind it all."""

from __future__ import annotations

import numpy as np

from ..camera.background import Surroundings, background_turns
from ..camera.motion import CameraMotion
from ..config import CameraConfig
from ..notes import Note
from .state import RolloutState
from .trace import View


def window_motion(trace: View, config: CameraConfig) -> tuple[CameraMotion | None, tuple[Note, ...]]:
    """The camera's motion through a window (``camera.motion``), and why it is not known.

    Returns:
        None with ``free``, for a single frame, and where the motion of any frame is not known: half a window that is
        bound to a motion and half that is not would tear the object's frame apart.
    """
    if config.motion == "free" or not config.estimate or trace.frames < 2:
        return None, ()
    if config.motion == "background":
        window = trace.window
        seen = background_turns(Surroundings(window.images, window.masks, trace.intrinsics))
        return (None, (_note(seen.reason),)) if seen.turns is None else (CameraMotion(seen.turns), ())
    poses = trace.window.fixed_from_camera
    if poses is None:
        return None, (_note("nothing tells where the camera stood; set fixed_frame (--fixed-frame) to a frame of TF"),)
    missing = np.flatnonzero(~np.isfinite(poses).all(axis=(1, 2)))
    if len(missing):
        return None, (_note(f"TF does not tell where the camera stood in {len(missing)} of {len(poses)} frames"),)
    return CameraMotion.of(poses, _metres_per_unit(trace.state, config)), ()


def sized_scale(state: RolloutState, config: CameraConfig) -> float | None:
    """Metres per object unit where the object's size was given; None where it was not."""
    size_m = state.size_m or config.object_size_m
    return size_m / float(np.ptp(state.anchor.mesh.vertices, axis=0).max()) if size_m > 0 else None


def _metres_per_unit(state: RolloutState, config: CameraConfig) -> float | None:
    """The scale as it is known before the window: depth tells it only after the first one's pose was found."""
    sized = sized_scale(state, config)
    return state.scale if sized is None and state.metric else sized


def _note(reason: str) -> Note:
    return Note("motion_unknown", f"a window is posed as with camera.motion free, its motion is not known: {reason}")
