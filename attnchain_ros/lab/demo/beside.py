"""Several clips in one picture, each seen by one camera at its true angle: for showing several objects at once.

A camera that only turns sees the same rays, so that a clip's picture is carried into a wider one exactly: every pixel
of the wide picture looks up the pixel of the clip in whose direction it looks. The clips' cameras stand still; objects
that moved past one another would hide one another, so that each keeps to its own part of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..synthetic import Clip

ZOOM = 0.75
"""Focal length of the wide picture relative to a clip's: what is seen at an angle is drawn larger there."""


@dataclass(frozen=True)
class Together:
    """Two clips in one picture; object ids are 1 and 2.

    Attributes:
        images: [F, H, W, 3] uint8.   ids: [F, H, W] uint8, 0 = no object.   depth: [F, H, W] float32 object units,
            0 = none.
        intrinsics: [3, 3] K in pixels.
        camera_from_object: for each clip [F, 4, 4], in the one camera's optical frame.
    """

    images: np.ndarray
    ids: np.ndarray
    depth: np.ndarray
    intrinsics: np.ndarray
    camera_from_object: tuple[np.ndarray, ...]


def beside(clips: Sequence[Clip]) -> Together:
    """Two clips of equal size and frames with still cameras, the first one's object left of the second one's."""
    first = clips[0]
    side, focal = first.config.image_size, float(first.intrinsics[0, 0])
    wide = 2 * side
    intrinsics = np.array([[ZOOM * focal, 0, (wide - 1) / 2], [0, ZOOM * focal, (side - 1) / 2], [0, 0, 1]], np.float64)
    # As far as half a clip's angle of view, so that the inner edges meet in the middle.
    angle = np.arctan(0.5 * side / focal)
    images = np.empty((first.config.frames, side, wide, 3), np.uint8)
    images[:] = first.config.background
    ids = np.zeros(images.shape[:3], np.uint8)
    depth = np.zeros(images.shape[:3], np.float32)
    poses = []
    for number, (clip, turn_rad) in enumerate(zip(clips, (-angle, angle), strict=True), 1):
        turn = np.eye(4)
        turn[0, 0] = turn[2, 2] = np.cos(turn_rad)
        turn[0, 2], turn[2, 0] = np.sin(turn_rad), -np.sin(turn_rad)
        poses.append(turn @ clip.camera_from_object)
        half = slice(0, side) if number == 1 else slice(side, wide)
        across, ahead = _look_up(clip.intrinsics, intrinsics, turn[:3, :3], (side, wide))
        pictures = clip.pictures
        for frame in range(len(images)):
            picture = cv2.remap(
                pictures.images[frame], *across, cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_CONSTANT, borderValue=clip.config.background,
            )  # fmt: skip
            mask = cv2.remap(pictures.masks[frame].astype(np.uint8), *across, cv2.INTER_NEAREST) > 0
            near = cv2.remap(pictures.depth[frame].astype(np.float32), *across, cv2.INTER_NEAREST) / ahead
            images[frame, :, half] = picture[:, half]
            ids[frame, :, half] = number * mask[:, half]
            depth[frame, :, half] = np.where(mask, near, 0)[:, half]
    return Together(images, ids, depth, intrinsics, tuple(poses))


def _look_up(
    clip_intrinsics: np.ndarray, intrinsics: np.ndarray, turn: np.ndarray, size: tuple[int, int]
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Where the wide picture's pixels lie in a clip's: x and y [H, W] float32, and the depth there of one unit here.

    ``turn``: [3, 3] from the clip's camera to the wide one's.
    """
    y, x = np.mgrid[: size[0], : size[1]]
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(intrinsics).T @ turn  # turn's inverse, on rows
    ahead = np.maximum(rays[..., 2], 1e-6)
    pixels = (rays / ahead[..., None]) @ clip_intrinsics.T
    behind = rays[..., 2] <= 1e-6
    pixels[behind] = -1e6
    return (pixels[..., 0].astype(np.float32), pixels[..., 1].astype(np.float32)), ahead.astype(np.float32)
