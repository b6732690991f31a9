"""Which of a window's camera poses are trusted, and how far each may be off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..camera.gate import Gated, PoseSeen, gate_poses
from ..camera.raycast import RasterBuffer, silhouette_iou
from ..camera.uncertainty import FirstError, anchor_kind, pose_covariances, pose_sigmas
from ..config import CameraConfig
from ..notes import Note
from .animating import Animation
from .cameras import RASTER_SIZE, sample_crop
from .state import RolloutState
from .trace import View
from .window import CameraTrack


def trust_cameras(
    trace: View,
    state: RolloutState,
    moved: Animation,
    camera: CameraTrack,
    buffers: list[RasterBuffer],
    config: CameraConfig,
    *,
    anchor_given: bool,
) -> tuple[CameraTrack, tuple[Note, ...]]:
    """The cameras with covariances, and without poses that are not to be trusted; updates ``state``.

    Args:
        trace: the window.
        state: of the rollout; its ``recent`` and ``first_error`` are replaced.
        moved: landmarks and mesh in every frame.
        camera: poses as they were found.
        buffers: z-buffers of the frames under these poses.
        config: limits.
        anchor_given: the anchor is a mesh that was given, not made from the first image.
    Returns:
        the cameras (a pose that is not trusted stays what it is, but is not ``valid``), and what is said about them.
    """
    if not camera.valid.any():
        return camera, ()
    first = int(camera.valid.argmax())
    lost = 1.0 - _overlap(trace, buffers, first)
    kind = anchor_kind(config.refine, trace.state.index == 0, anchor_given)
    error = FirstError.of(lost, kind, state.first_error)
    if state.first_error is None:
        state.first_error = error
    sigmas = pose_sigmas(error, trace.frames, config.turn_deg, trace.diagonal)
    middles = moved.vertices.mean(axis=1, dtype=np.float64)
    covariance = pose_covariances(camera.camera_from_object, middles, sigmas)
    camera = replace(camera, covariance=covariance)
    if not config.gate.enabled:
        return camera, ()
    seen = PoseSeen.of(camera.camera_from_object, middles, trace.window.stamps_ns)
    gated = gate_poses(seen, camera.valid, camera.shares, config.gate, state.recent)
    off = error.turn_deg
    if not gated.whole and off > config.gate.error_deg:
        text = (
            f"the mesh and the mask overlap by {1.0 - lost:.2f} in frame {first}, so that the direction of view may be "
            f"off by {off:.0f} degrees (standard deviation), trusted up to {config.gate.error_deg:g} "
            "(camera.gate.error_deg)"
        )
        # Poses that are doubted by themselves are nothing that the next window could be compared with.
        gated = Gated(np.zeros(trace.frames, bool), {}, text, state.recent)
    state.recent = gated.recent
    return replace(camera, valid=gated.trusted), _notes(gated, trace.frames)


def _overlap(trace: View, buffers: list[RasterBuffer], frame: int) -> float:
    """Overlap of the posed mesh with a frame's mask; 0 where both are empty."""
    mask = sample_crop(trace.window.masks[frame], trace.crop.at_size(RASTER_SIZE))
    return float(np.nan_to_num(silhouette_iou(mask, buffers[frame])))


def _notes(gated: Gated, frames: int) -> tuple[Note, ...]:
    """What is said about poses that are not trusted."""
    if gated.whole:
        text = f"no camera pose of this window is trusted (not valid, no TF): {gated.whole}"
        return (Note("poses_doubtful", text),)
    if not gated.reasons:
        return ()
    frame, reason = min(gated.reasons.items())
    named = ", ".join(map(str, sorted(gated.reasons)))
    text = (
        f"{len(gated.reasons)} of {frames} camera poses are not trusted (not valid, no TF), frames {named}; "
        f"frame {frame}: {reason}"
    )
    return (Note("poses_gated", text),)
