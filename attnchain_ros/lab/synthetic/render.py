"""Exact pictures of posed solids: closed-form ray intersections, Lambert shading, a checker fixed to each part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .model import Model
from .motion import Pose
from .rays import camera_shapes

_CHUNK_PIXELS = 1 << 18
"""Pixels rendered at once, so that large pictures stay in the cache and in memory."""

_CHECK_SIZE = 0.13
"""Edge of a checker field on the surface, object units: four pixels of a 64-pixel picture."""

_CHECK_DARK = 0.68
_AMBIENT = 0.55
_EYE_COLOR = (20, 20, 25)
_EYE_RADIUS = 0.38
"""Radius of an eye relative to the head's radius."""


@dataclass(frozen=True)
class Pictures:
    """What the camera sees in F frames of S x S pixels.

    Attributes:
        images: [F, S, S, 3] uint8 RGB.
        masks: [F, S, S] bool.
        depth: [F, S, S] float32 camera z, 0 on the background.
        parts: [F, S, S] int16 part index, -1 on the background.
        xyz: [F, S, S, 3] float32 visible surface in the object frame, 0 on the background.
        normals: [F, S, S, 3] float32 outward unit normals of the visible surface, object frame, 0 on the background.
    """

    images: np.ndarray
    masks: np.ndarray
    depth: np.ndarray
    parts: np.ndarray
    xyz: np.ndarray
    normals: np.ndarray

    @property
    def instance_ids(self) -> np.ndarray:
        """[F, S, S] uint16: 0 on the background, 1 on the object."""
        return self.masks.astype(np.uint16)


def render_pictures(
    model: Model,
    pose: Pose,
    intrinsics: np.ndarray,
    camera_from_object: np.ndarray,
    size: int,
    background: tuple[int, int, int],
    light: np.ndarray,
) -> Pictures:
    """Render every frame, one ray through each pixel's centre.

    Args:
        model: the scaled thing, for its colours.
        pose: F frames; intrinsics: [3, 3]; camera_from_object: [F, 4, 4]; size: S.
        background: RGB of the pixels the object does not cover.
        light: [3] unit direction towards the light, object frame.
    """
    frames = len(pose)
    focal, centre = np.diag(intrinsics)[:2], intrinsics[:2, 2]
    ray_x = (np.arange(size) - centre[0]) / focal[0]
    ray_y = (np.arange(size) - centre[1]) / focal[1]
    depth, parts = cast_rays(pose, focal, centre, camera_from_object, size)

    masks = parts >= 0
    depth[~masks] = 0.0
    frame, row, column = np.nonzero(masks)
    seen_part, z = parts[masks], depth[masks].astype(np.float64)
    in_camera = np.stack([ray_x[column] * z, ray_y[row] * z, z], axis=1)
    in_camera -= camera_from_object[frame, :3, 3]
    points = np.empty_like(in_camera)
    ends_of_frame = np.searchsorted(frame, np.arange(frames + 1))
    for index in range(frames):
        rows = slice(ends_of_frame[index], ends_of_frame[index + 1])
        points[rows] = in_camera[rows] @ camera_from_object[index, :3, :3]
    xyz, normals = (np.zeros((frames, size, size, 3), dtype=np.float32) for _ in range(2))
    xyz[masks] = points
    images = np.empty((frames, size, size, 3), dtype=np.uint8)
    images[:] = np.asarray(background, dtype=np.uint8)
    images[masks], normals[masks] = _shade(model, pose, frame, seen_part, points.astype(np.float32), light)
    return Pictures(images, masks, depth, parts, xyz, normals)


def cast_rays(
    pose: Pose, focal: np.ndarray, centre: np.ndarray, camera_from_object: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Depth [F, S, S] float32, infinite on the background, and part [F, S, S] int16, -1 there.

    Args:
        pose: F frames; focal, centre: [2] pixels; camera_from_object: [F, 4, 4]; size: S.
    """
    frames = len(pose)
    ray_x = ((np.arange(size) - centre[0]) / focal[0])[None, None, :]
    ray_y = ((np.arange(size) - centre[1]) / focal[1])[None, :, None]
    depth = np.full((frames, size, size), np.inf, dtype=np.float32)
    parts = np.full((frames, size, size), -1, dtype=np.int16)
    chunk = max(1, _CHUNK_PIXELS // (size * size))
    for shape in camera_shapes(pose, camera_from_object):
        low, high = shape.bounds()
        first = np.clip(np.ceil(low * focal + centre), 0, size).astype(int)
        last = np.clip(np.floor(high * focal + centre) + 1, 0, size).astype(int)
        for begin in range(0, frames, chunk):
            rows = slice(begin, min(begin + chunk, frames))
            x0, y0 = first[rows].min(axis=0)
            x1, y1 = last[rows].max(axis=0)
            if x1 <= x0 or y1 <= y0:
                continue
            hit = shape.meet(rows, ray_x[:, :, x0:x1], ray_y[:, y0:y1])
            window = depth[rows, y0:y1, x0:x1]
            nearer = hit < window
            np.copyto(window, hit, where=nearer)
            np.copyto(parts[rows, y0:y1, x0:x1], np.int16(shape.part), where=nearer)
    return depth, parts


def _shade(
    model: Model, pose: Pose, frame: np.ndarray, part: np.ndarray, points: np.ndarray, light: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Colours [n, 3] uint8 and normals [n, 3] float32 of surface points [n, 3] of the given frames and parts [n]."""
    select = frame * len(model.parents) + part
    axes = pose.axes.reshape(-1, 3, 3).astype(np.float32)[select]
    local = np.einsum("nji,nj->ni", axes, points - pose.centers.reshape(-1, 3).astype(np.float32)[select])
    half, radius = pose.half.astype(np.float32)[part], pose.radii.astype(np.float32)[part, None]
    boxes = radius[:, 0] == 0
    normal = (local - np.clip(local, -half, half)) / np.where(boxes[:, None], np.float32(1), radius)
    face = np.where(boxes[:, None], np.abs(local) - half, np.abs(normal)).argmax(axis=1)
    flat = np.flatnonzero(boxes)
    normal[flat] = 0.0
    normal[flat, face[flat]] = np.sign(local[flat, face[flat]])
    outward = np.einsum("nij,nj->ni", axes, normal)
    shade = _AMBIENT + (1.0 - _AMBIENT) * np.maximum(outward @ light.astype(np.float32), 0.0)
    shade *= np.where(_checker(pose, part, local, half, face) % 2 == 0, 1.0, _CHECK_DARK)

    base = model.colors[part].astype(np.float32)
    if model.eyes >= 0:
        base[(part == model.eyes) & _near_eye(pose, model.eyes, local)] = _EYE_COLOR
    return np.clip(base * shade[:, None], 0, 255).astype(np.uint8), outward


def _checker(pose: Pose, part: np.ndarray, local: np.ndarray, half: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Number of the checker field, even or odd: along and around a capsule, in the plane of the others' faces."""
    cells = np.floor((local + half) / np.float32(_CHECK_SIZE))
    field = cells.sum(axis=1) - cells[np.arange(len(face)), face]
    capsule = (pose.half[:, 1:] == 0).all(axis=1)
    round_ = np.flatnonzero(capsule[part])
    # An even number of fields around the axis, so that the checker closes on itself.
    around = 2 * np.maximum(2, np.round(np.pi * pose.radii / _CHECK_SIZE)).astype(np.float32)[part[round_]]
    turn = np.arctan2(local[round_, 2], local[round_, 1]) / (2 * np.pi)
    field[round_] = cells[round_, 0] + np.floor((turn + 0.5) * around)
    return field


def _near_eye(pose: Pose, head: int, local: np.ndarray) -> np.ndarray:
    """Whether points [n, 3] in the head's own frame are in one of its two eyes: [n] bool."""
    length, radius = 2 * pose.half[head, 0], pose.radii[head]
    # The head's own z is up or down in the side view; eyes sit above the axis on both sides.
    height = 0.45
    eye = np.array([(0.35 - 0.5) * length, np.sqrt(1 - height**2) * radius, -height * radius])
    mirrored = np.stack([local[:, 0], np.abs(local[:, 1]), local[:, 2]], axis=1)
    near: np.ndarray = ((mirrored - eye) ** 2).sum(axis=1) < (_EYE_RADIUS * radius) ** 2
    return near
