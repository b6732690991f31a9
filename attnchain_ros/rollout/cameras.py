"""A camera pose for every frame of a window (Eq. 7, 8), and what the posed mesh hides."""

from __future__ import annotations

import numpy as np

from ..camera.crop import Crop
from ..camera.motion import CameraMotion
from ..camera.one_pose import fit_one_pose, match_pull, middle_of, outline_pull
from ..camera.outline import fit_to_outlines
from ..camera.pnp import estimate_pose
from ..camera.raycast import RasterBuffer, rasterize
from ..camera.silhouette import fit_to_mask
from ..camera.tracks3d import to_camera
from ..config import CameraConfig
from ..notes import Note
from .animating import Animation
from .trace import View
from .window import CameraTrack

RASTER_SIZE = 128
"""Side in pixels of the z-buffers for visibility: they only decide what hides what."""

OUTLINE_SIZE = 256
"""Side in pixels of the masks whose outlines refine the cameras."""


def estimate_cameras(
    trace: View, moved: Animation, config: CameraConfig, seed: int, motion: CameraMotion | None = None
) -> tuple[CameraTrack, tuple[Note, ...]]:
    """A pose for every frame from the patches that its landmarks look at (Eq. 7, 8).

    Args:
        trace: the window; the last pose of earlier windows is kept where a pose is refused.
        moved: where landmarks and mesh are in every frame.
        config: thresholds.   seed: of RANSAC.
        motion: of the camera, where it is known: then all poses follow from one of the object's frame.
    Returns:
        poses, and a note for every reason of refusal.
    """
    window, crop, intrinsics, frames = trace.window, trace.crop, trace.intrinsics, trace.frames
    threshold = max(config.reprojection_px, config.reprojection_patches * crop.patch_side_full(trace.grid))
    poses = np.tile(np.eye(4), (frames, 1, 1))
    accepted = np.zeros(frames, bool)
    inliers = np.zeros(frames, np.int32)
    error = np.full(frames, np.nan, np.float32)
    matches = np.zeros(frames, np.int32)
    refusals: dict[str, list[int]] = {}
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    last = trace.state.pose
    before = last if trace.shared_first else None
    for frame in range(frames):
        if config.estimate:
            pixels = crop.patch_to_full(trace.sight.places[frame].astype(np.float64), trace.grid)
            chosen = np.flatnonzero(moved.valid[frame])
            matches[frame] = len(chosen)
            pairs.append((moved.landmarks[frame][chosen].astype(np.float64), pixels[chosen]))
            found = estimate_pose(
                moved.landmarks[frame][chosen], pixels[chosen], intrinsics, config, threshold, seed + frame
            )
            if found.valid:
                last = found.camera_from_object
                if config.refine != "none":
                    filling = fit_to_mask(last, moved.vertices[frame], intrinsics, window.masks[frame])
                    last = last if filling is None else filling
                accepted[frame], inliers[frame] = True, int(found.inliers.sum())
                error[frame] = found.reprojection_px
            else:
                refusals.setdefault(found.reason, []).append(frame)
        if last is not None:
            poses[frame] = last
    if motion is not None and accepted.any():
        first = int(accepted.argmax())
        starts = _from_first(poses, first, before)
        if config.refine == "outline":
            poses = bind_to_motion(trace, moved.vertices, starts, first, motion, before)
        else:
            middle = middle_of(moved.vertices)
            pull = match_pull(pairs, intrinsics, middle, threshold)
            poses = fit_one_pose(starts, first, motion, pull, middle, before)
        accepted[:] = True
    elif config.refine == "outline" and accepted.any():
        poses = _lay_on_outlines(trace, moved, poses, accepted, config.turn_deg, before)
    notes = tuple(
        Note("camera_refused", f"camera pose refused in frames {', '.join(map(str, where))}: {reason}")
        for reason, where in refusals.items()
    )
    given = window.intrinsics is not None
    return CameraTrack(intrinsics, given, poses, accepted, inliers, error, matches=matches), notes


def bind_to_motion(
    trace: View, vertices: np.ndarray, starts: np.ndarray, first: int, motion: CameraMotion, before: np.ndarray | None
) -> np.ndarray:
    """Poses [F, 4, 4] of a camera that is known to move so, laid onto the masks' outlines (``camera.one_pose``).

    Args:
        trace: the window.   vertices: [F, V, 3] of the mesh.
        starts: [F, 4, 4] of every frame by itself; first: the frame whose pose is started from.
        motion: of the camera.   before: [4, 4] pose of frame 0 in the window before; None = unknown.
    """
    small, masks = _small_masks(trace)
    pull = outline_pull((vertices, trace.state.anchor.mesh.faces), small.intrinsics(trace.intrinsics), masks)
    return fit_one_pose(starts, first, motion, pull, middle_of(vertices), before)


def _lay_on_outlines(
    trace: View, moved: Animation, poses: np.ndarray, accepted: np.ndarray, turn_deg: float, before: np.ndarray | None
) -> np.ndarray:
    """The poses after ``fit_to_outlines``; frames before the first accepted one start from it."""
    starts = _from_first(poses, int(accepted.argmax()), before)
    small, masks = _small_masks(trace)
    surface = (moved.vertices, trace.state.anchor.mesh.faces)
    return fit_to_outlines(starts, surface, small.intrinsics(trace.intrinsics), masks, turn_deg, before)


def _from_first(poses: np.ndarray, first: int, before: np.ndarray | None) -> np.ndarray:
    """Poses [F, 4, 4] to start from: frames before the first accepted one have its pose, or an earlier window's."""
    return poses if before is not None else np.concatenate([poses[[first] * first], poses[first:]])


def _small_masks(trace: View) -> tuple[Crop, np.ndarray]:
    """The crop at the size of outlines, and the window's masks in it [F, OUTLINE_SIZE, OUTLINE_SIZE]."""
    small = trace.crop.at_size(OUTLINE_SIZE)
    return small, np.stack([sample_crop(mask, small) for mask in trace.window.masks])


def draw_frames(vertices: np.ndarray, faces: np.ndarray, camera: CameraTrack, crop: Crop) -> list[RasterBuffer]:
    """Small z-buffers [RASTER_SIZE, RASTER_SIZE] of the posed mesh, seen through the crop."""
    intrinsics = crop.at_size(RASTER_SIZE).intrinsics(camera.intrinsics)
    posed = to_camera(vertices, camera.camera_from_object)
    return [rasterize(points, faces, intrinsics, RASTER_SIZE, RASTER_SIZE) for points in posed]


def sample_crop(image: np.ndarray, crop: Crop) -> np.ndarray:
    """A full-frame mask or depth image [H, W] at the pixel centres of a crop; False or 0 outside.

    Returns:
        [size, size], dtype of ``image``; the nearest pixel's value.
    """
    rows, columns = np.mgrid[0 : crop.size, 0 : crop.size]
    place = np.rint(crop.crop_to_full(np.stack([columns, rows], axis=-1))).astype(np.int64)
    height, width = image.shape
    inside = (place >= 0).all(-1) & (place[..., 0] < width) & (place[..., 1] < height)
    place = np.where(inside[..., None], place, 0)
    return np.where(inside, image[place[..., 1], place[..., 0]], np.zeros((), image.dtype))
