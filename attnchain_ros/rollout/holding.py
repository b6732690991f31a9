"""Poses that followed pixels away from the object are brought back by the masks' outlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from ..camera.crop import Crop
from ..camera.outline import fit_to_outlines
from ..camera.raycast import RasterBuffer, rasterize, silhouette_iou
from ..camera.tracks3d import to_camera
from ..config import CameraConfig
from .cameras import OUTLINE_SIZE, RASTER_SIZE, sample_crop
from .first_look import look_anew
from .trace import View
from .window import CameraTrack

LOOK_EVERY = 5
"""Frames between two looks at whether the mesh covers its mask; the last frame is always looked at."""

MOST_BARE = 0.05
"""A mean share of the masks above this that the mesh leaves bare says that the poses are off. What an occluder hides is
not in a mask and leaves nothing bare."""

MOST_SPILL = 0.45
"""So does a mesh of which a larger share lies beside its masks: an occluder seldom hides that much."""

LEAST_GAIN = 0.02
"""Poses from outlines are taken if they raise the overlap by so much."""

LOST_OVERLAP, LOST_BARE = 0.8, 0.1
"""If the last frame overlaps less and more of it is bare, all directions are tried anew."""

FOUND_GAIN = 0.08
"""A direction found anew is taken if it raises the overlap of the last frame by so much."""


def hold_by_outlines(trace: View, vertices: np.ndarray, camera: CameraTrack, config: CameraConfig) -> CameraTrack:
    """The cameras, laid onto the masks' outlines where the mesh under them no longer covers its masks.

    Poses from pixels are exact from frame to frame and err in sum: nothing else leads back to where the object is.

    Args:
        trace: the window.   vertices: [F, V, 3] as the chain moves them.
        camera: poses from pixels.   config: only heard with ``refine: outline``.
    """
    if config.refine != "outline":
        return camera
    faces, masks = trace.state.anchor.mesh.faces, trace.window.masks
    looks = sorted({*range(LOOK_EVERY, trace.frames, LOOK_EVERY), trace.frames - 1})
    small = trace.crop.at_size(RASTER_SIZE)
    wanted = [sample_crop(masks[frame], small) for frame in looks]

    def drawn(poses: np.ndarray) -> list[RasterBuffer]:
        intrinsics = small.intrinsics(trace.intrinsics)
        posed = to_camera(vertices[looks], poses[looks])
        return [rasterize(places, faces, intrinsics, RASTER_SIZE, RASTER_SIZE) for places in posed]

    before = drawn(camera.camera_from_object)
    if not looks or not astray(wanted, before, MOST_BARE):
        return camera
    poses = _fitted(trace, vertices, camera.camera_from_object, trace.crop.at_size(OUTLINE_SIZE), config.turn_deg)
    after = drawn(poses)
    gain = [
        silhouette_iou(mask, new) - silhouette_iou(mask, old)
        for mask, new, old in zip(wanted, after, before, strict=True)
    ]
    if np.nanmean(gain) < LEAST_GAIN:
        poses, after = camera.camera_from_object, before
    overlap = silhouette_iou(wanted[-1], after[-1])
    if overlap < LOST_OVERLAP and astray(wanted[-1:], after[-1:], LOST_BARE):
        found = look_anew(trace, vertices[-1], poses[-1], trace.frames - 1)
        if found is not None and found[1] > overlap + FOUND_GAIN:
            poses = lead_to(poses, found[0])
    return replace(camera, camera_from_object=poses)


def lead_to(poses: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Poses [F, 4, 4] of which the last becomes ``last`` [4, 4] and the first stays, corrected evenly in between."""
    change = last @ np.linalg.inv(poses[-1])
    turn = Rotation.from_matrix(change[:3, :3]).as_rotvec()
    share = np.linspace(0.0, 1.0, len(poses))
    # About the object's own place, so that it does not swing through the camera.
    start, end = poses[-1][:3, 3], last[:3, 3]
    led = poses.copy()
    for number, part in enumerate(share):
        led[number, :3, :3] = Rotation.from_rotvec(part * turn).as_matrix() @ poses[number, :3, :3]
        led[number, :3, 3] = poses[number, :3, 3] + part * (end - start)
    return led


def astray(masks: Sequence[np.ndarray], drawn: Sequence[RasterBuffer], most_bare: float) -> bool:
    """Whether the mesh leaves too much of the masks [S, S] bare, or lies beside them, in the mean over frames."""
    bare = np.mean([bare_share(mask, buffer) for mask, buffer in zip(masks, drawn, strict=True)])
    spill = np.mean([spill_share(mask, buffer) for mask, buffer in zip(masks, drawn, strict=True)])
    return bool(bare > most_bare or spill > MOST_SPILL)


def spill_share(mask: np.ndarray, drawn: RasterBuffer) -> float:
    """Share of the drawn mesh that lies beside a mask [S, S]; 0 where nothing is drawn or the mask is empty."""
    shown = drawn.face >= 0
    return float((shown & ~mask).sum() / max(int(shown.sum()), 1)) if mask.any() else 0.0


def bare_share(mask: np.ndarray, drawn: RasterBuffer) -> float:
    """Share of a mask [S, S] that the mesh leaves bare; 0 of an empty mask."""
    return float((mask & (drawn.face < 0)).sum() / max(int(mask.sum()), 1))


def _fitted(trace: View, vertices: np.ndarray, poses: np.ndarray, small: Crop, turn_deg: float) -> np.ndarray:
    """The poses [F, 4, 4] on the outlines of the masks."""
    masks = np.stack([sample_crop(mask, small) for mask in trace.window.masks])
    surface = (vertices, trace.state.anchor.mesh.faces)
    return fit_to_outlines(poses, surface, small.intrinsics(trace.intrinsics), masks, turn_deg)
