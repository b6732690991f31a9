"""The pose of the first frame that nothing is known about: all directions tried, near ties told apart."""

from __future__ import annotations

import functools
import itertools
from dataclasses import replace

import cv2
import numpy as np

from ..camera.crop import Crop, union_crop
from ..camera.first_pose import find_first_pose
from ..camera.side import colour_agreement
from ..config import RolloutConfig
from ..conventions import ANCHOR_FRAME
from ..parts.flow import cut_view, flow_both_ways, step_points, working_crop
from ..parts.keyframes import turn_between
from ..parts.sides import PixelTracks, track_agreement
from .cameras import OUTLINE_SIZE, sample_crop
from .trace import View
from .tracking import grid_queries
from .window import CameraTrack

TURNED_DEG = 5.0
"""A first pose this far from what attention and outline said makes the other frames' poses worthless, too."""

TRACKED = 200
"""Pixels that are followed to tell sides apart."""

COLOUR_WEIGHT, TRACK_WEIGHT = 0.1, 0.1
"""What full agreement of colours, and of tracks, is worth beside the overlap of the outlines."""


def look_around(
    trace: View, vertices: np.ndarray, camera: CameraTrack, config: RolloutConfig
) -> tuple[CameraTrack, bool]:
    """The first frame's pose after all directions were tried, and whether that turned it away from the others.

    Args:
        trace: the window; its mesh's colours, where they were given, and its pictures decide between equal outlines.
        vertices: [F, V, 3] the mesh as the chain moves it.
        camera: poses so far.   config: crop and working size.
    """
    small = trace.crop.at_size(OUTLINE_SIZE)
    intrinsics = small.intrinsics(trace.intrinsics)
    mask, picture = _cut(trace, ANCHOR_FRAME, small)
    anchor = trace.state.anchor
    surface = (trace.state.vertices, anchor.mesh.faces)
    colors = welded_colors(anchor.colors, anchor.expand, len(anchor.mesh.vertices))

    @functools.cache
    def tracks() -> PixelTracks:
        return follow_pixels(trace, config)

    def evidence(pose: np.ndarray) -> float:
        found = TRACK_WEIGHT * track_agreement(vertices, anchor.mesh.faces, tracks(), pose)
        if colors is not None:
            found += COLOUR_WEIGHT * colour_agreement(surface, colors, (picture, mask), intrinsics, pose)
        return found

    poses = camera.camera_from_object
    found = find_first_pose(surface, intrinsics, mask, (poses[ANCHOR_FRAME],), evidence)
    if found is None:
        return camera, False
    apart = turn_between(found[0][:3, :3], poses[ANCHOR_FRAME, :3, :3])
    turned = bool(np.degrees(apart) > TURNED_DEG)
    poses = np.repeat(found[0][None], len(poses), axis=0) if turned else poses.copy()
    poses[ANCHOR_FRAME] = found[0]
    return replace(camera, camera_from_object=poses), turned


def look_anew(trace: View, vertices: np.ndarray, pose: np.ndarray, frame: int) -> tuple[np.ndarray, float] | None:
    """The pose of a frame in which the object was lost: all directions tried against its mask and colours.

    Args:
        trace: the window.   vertices: [V, 3] the mesh in that frame.   pose: [4, 4] where it was believed to be.
        frame: which one.
    Returns:
        [4, 4] and its overlap; None if the mask is empty.
    """
    small = trace.crop.at_size(OUTLINE_SIZE)
    intrinsics, anchor = small.intrinsics(trace.intrinsics), trace.state.anchor
    mask, picture = _cut(trace, frame, small)
    colors = welded_colors(anchor.colors, anchor.expand, len(anchor.mesh.vertices))
    surface = (vertices, anchor.mesh.faces)

    def evidence(pose: np.ndarray) -> float:
        if colors is None:
            return 0.0
        return COLOUR_WEIGHT * colour_agreement(surface, colors, (picture, mask), intrinsics, pose)

    return find_first_pose(surface, intrinsics, mask, (pose,), evidence)


def _cut(trace: View, frame: int, small: Crop) -> tuple[np.ndarray, np.ndarray]:
    """Mask [S, S] and image [S, S, 3] of a frame in a crop."""
    mask, image = trace.window.masks[frame], trace.window.images[frame]
    rows = sample_crop(np.arange(mask.size).reshape(mask.shape), small)
    return sample_crop(mask, small), image.reshape(-1, 3)[rows]


def welded_colors(colors: np.ndarray | None, expand: np.ndarray, count: int) -> np.ndarray | None:
    """[V, 3] uint8 colours of the welded mesh's vertices, from those of the vertices handed out [V_user, 3]."""
    if colors is None:
        return None
    welded = np.zeros((count, 3), np.uint8)
    # Of several that stand for one vertex, the first.
    welded[expand[::-1]] = colors[::-1]
    return welded


def follow_pixels(trace: View, config: RolloutConfig) -> PixelTracks:
    """Some pixels of the object in the first frame, followed by optical flow through the window."""
    window = trace.window
    crop = working_crop(union_crop(window.masks, config.crop_padding, 1), config.parts.work_px)
    views = [cut_view(image, mask, crop) for image, mask in zip(window.images, window.masks, strict=True)]
    inner = cv2.erode(window.masks[ANCHOR_FRAME].astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    asked = inner if inner.any() else window.masks[ANCHOR_FRAME]
    points = [crop.full_to_crop(grid_queries(asked, TRACKED).astype(np.float64))]
    alive = [np.ones(len(points[0]), bool)]
    for before, after in itertools.pairwise(views):
        onward, held = step_points(points[-1], *flow_both_ways(before, after), after.mask)
        points.append(onward)
        alive.append(alive[-1] & held)
    return PixelTracks(np.stack(points), np.stack(alive), crop.intrinsics(trace.intrinsics))
