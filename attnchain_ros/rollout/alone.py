"""A window with ``readout.source: none``: no network is asked, a given mesh follows pixels and outlines.

For objects that the weights do not know. Of every frame the frame before is what is known: what rests tells the
camera, patches of the mesh go where their pixels and the outline are and hold each other (``parts.coupled``).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ..backbone import Backbone
from ..camera.first_pose import directions, lay_on_mask
from ..camera.motion import CameraMotion
from ..camera.silhouette import fit_to_mask
from ..config import RolloutConfig
from ..conventions import ANCHOR_FRAME
from .cameras import OUTLINE_SIZE, bind_to_motion, sample_crop
from .first_look import look_around
from .following import ChainMotion, Guess, join_frames, start_memory
from .holding import LOST_OVERLAP
from .sight import Sight
from .state import Anchor, RolloutState
from .trace import View, object_square, patch_square
from .window import CameraTrack, Window

FIRST_DISTANCE = 3.5
"""Camera to object of the first direction that is tried, object units; the mask then says it."""


def with_outlines(config: RolloutConfig) -> RolloutConfig:
    """The options as a window without network takes them: outlines are always asked."""
    return replace(config, camera=replace(config.camera, refine="outline"))


def start_alone(anchor: Anchor, size_m: float) -> RolloutState:
    """Where a chain without network starts; it has no latent."""
    return RolloutState(anchor=anchor, latent=torch.zeros(0), vertices=anchor.mesh.vertices, size_m=size_m)


def view_alone(backbone: Backbone, config: RolloutConfig, window: Window, state: RolloutState) -> View:
    """A window of which no attention is read, in the square that the encoder would see."""
    crop, grid = patch_square(backbone, object_square(backbone, config, window)), backbone.encoder_one.grid
    return View(window, state, crop, grid, Sight.blind(window.frames, grid))


def motion_alone(view: View, config: RolloutConfig) -> ChainMotion:
    """What is known of a window before its pixels are asked: the mesh stays as it is, its patches hold each other."""
    state, new = view.state, view.frames - 1
    memory = start_memory(state.anchor, config.parts) if state.memory is None else state.memory
    patches = memory.patches
    landmarks = np.repeat(state.vertices[state.anchor.landmark_vertices][None], new, axis=0).astype(np.float64)
    valid = np.ones((view.frames, len(patches.of)), bool)
    animation = join_frames(state, landmarks, np.repeat(state.vertices[None], new, axis=0), valid)
    return ChainMotion(animation, landmarks, patches.of, memory.variance, memory, patches.links)


def guess_alone(view: View, chain: ChainMotion, config: RolloutConfig, motion: CameraMotion | None = None) -> Guess:
    """Cameras from the frame before; after a gap from the last pose, laid onto the outline; where neither is known, or
    fits, from all directions tried in the first frame."""
    vertices = chain.animation.vertices
    before = view.state.pose if view.shared_first else None
    pose = _first_pose(view, vertices, config) if before is None else before
    poses = np.repeat(pose[None], view.frames, axis=0)
    if motion is not None:
        poses = bind_to_motion(view, vertices, _filled(view, vertices, pose), ANCHOR_FRAME, motion, before)
    return Guess(_cameras(view, poses), alone=True)


def _first_pose(view: View, vertices: np.ndarray, config: RolloutConfig) -> np.ndarray:
    """[4, 4] of the first frame, which no window before has seen."""
    last = view.state.pose
    near = None if last is None else _laid_near(view, vertices[ANCHOR_FRAME], last)
    if near is not None:
        return near
    start = directions(vertices[ANCHOR_FRAME], FIRST_DISTANCE)[0] if last is None else last
    camera, _ = look_around(view, vertices, _cameras(view, _filled(view, vertices, start)), config)
    found: np.ndarray = camera.camera_from_object[ANCHOR_FRAME]
    return found


def _cameras(view: View, poses: np.ndarray) -> CameraTrack:
    """Poses [F, 4, 4] that no correspondences speak for."""
    frames = view.frames
    return CameraTrack(
        view.intrinsics, view.window.intrinsics is not None, poses, np.ones(frames, bool),
        np.zeros(frames, np.int32), np.full(frames, np.nan, np.float32),
    )  # fmt: skip


def _laid_near(view: View, vertices: np.ndarray, pose: np.ndarray) -> np.ndarray | None:
    """The last pose before a gap, laid onto the first frame's outline; None where the mesh does not fill it then."""
    small = view.crop.at_size(OUTLINE_SIZE)
    mask = sample_crop(view.window.masks[ANCHOR_FRAME], small)
    surface = (vertices, view.state.anchor.mesh.faces)
    found = lay_on_mask(pose, surface, small.intrinsics(view.intrinsics), mask)
    return found.pose if found.overlap >= LOST_OVERLAP else None


def _filled(view: View, vertices: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """[F, 4, 4] a pose moved until the mesh fills each frame's mask, where that is possible."""
    found = [
        fit_to_mask(pose, frame, view.intrinsics, mask) for frame, mask in zip(vertices, view.window.masks, strict=True)
    ]
    return np.stack([pose if filled is None else filled for filled in found])
