"""Exact pictures of posed capsules: closed-form ray intersections, Lambert shading, a checker fixed to each part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .creature import PART_COUNT, Creature
from .motion import Pose

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
    """

    images: np.ndarray
    masks: np.ndarray
    depth: np.ndarray
    parts: np.ndarray
    xyz: np.ndarray


def orbit_cameras(yaw_rad: np.ndarray, elevation_rad: float, distance: float) -> np.ndarray:
    """Cameras on an orbit about the y axis, looking at the origin.

    Args:
        yaw_rad: [F] angle about y from the side view (camera on +z); positive moves the camera towards +x.
        elevation_rad: angle above the xz plane.
        distance: of the camera from the origin, object units.
    Returns:
        [F, 4, 4] float64 ``camera_from_object``, optical frame (x right, y down, z forward).
    """
    yaw = np.asarray(yaw_rad, dtype=np.float64)
    cos_e, sin_e = np.cos(elevation_rad), np.sin(elevation_rad)
    forward = -np.stack([np.sin(yaw) * cos_e, np.full_like(yaw, sin_e), np.cos(yaw) * cos_e], axis=1)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    pose = np.zeros((len(yaw), 4, 4))
    pose[:, 0, :3], pose[:, 1, :3], pose[:, 2, :3] = right, np.cross(forward, right), forward
    pose[:, 2, 3] = distance
    pose[:, 3, 3] = 1.0
    return pose


def fitting_distance(pose: Pose, yaw_rad: np.ndarray, elevation_rad: float, fov_rad: float) -> float:
    """Smallest distance of ``orbit_cameras`` from which every capsule is wholly in a square picture.

    Args:
        pose: frames that have to fit; yaw_rad: [n] yaws of the camera, each of which has to see all of them.
        elevation_rad: of the camera; fov_rad: angle of view across the picture.
    """
    turn = orbit_cameras(yaw_rad, elevation_rad, 0.0)[:, :3, :3]
    centres = np.concatenate([pose.starts, pose.ends], axis=1)
    reach = np.concatenate([pose.radii, pose.radii])[:, None]
    seen = np.einsum("yij,fpj->yfpi", turn, centres)
    half = 0.5 * fov_rad
    # A sphere fits where it lies inside the four planes through the picture's edges.
    needed = (np.abs(seen[..., :2]) * np.cos(half) + reach) / np.sin(half) - seen[..., 2:]
    return float(needed.max())


def pinhole_intrinsics(size: int, fov_rad: float) -> np.ndarray:
    """[3, 3] float64 K of a square picture with pixel centres at whole numbers."""
    focal = 0.5 * size / np.tan(0.5 * fov_rad)
    centre = 0.5 * (size - 1)
    return np.array([[focal, 0, centre], [0, focal, centre], [0, 0, 1.0]])


def _camera_capsules(pose: Pose, camera_from_object: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the capsules' axes in the camera frame, each [F, 13, 3]."""
    turn, shift = camera_from_object[:, :3, :3], camera_from_object[:, None, :3, 3]
    starts = np.einsum("fij,fpj->fpi", turn, pose.starts) + shift
    ends = np.einsum("fij,fpj->fpi", turn, pose.ends) + shift
    return starts, ends


def silhouette_bounds(pose: Pose, camera_from_object: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Exact box of every capsule's outline.

    Args:
        pose: F frames; camera_from_object: [F, 4, 4].
    Returns:
        ``(low, high)``, each [F, 13, 2]: smallest and largest x / z and y / z over the capsule, from the tangents to
        its two end spheres.
    """
    bounds = []
    for centre in _camera_capsules(pose, camera_from_object):
        depth = centre[..., 2:]
        middle = np.arctan2(centre[..., :2], depth)
        half = np.arcsin(pose.radii[:, None] / np.hypot(centre[..., :2], depth))
        bounds.append((np.tan(middle - half), np.tan(middle + half)))
    return np.minimum(bounds[0][0], bounds[1][0]), np.maximum(bounds[0][1], bounds[1][1])


def crop_intrinsics(pose: Pose, camera_from_object: np.ndarray, size: int, pad: float) -> np.ndarray:
    """K of the picture cropped to the animal, as an image pipeline crops a window.

    Args:
        pose: the F frames of the window; camera_from_object: [F, 4, 4]; size: pixels of the square crop's side.
        pad: margin on each side, relative to the longer side of the union box.
    Returns:
        [3, 3] float64, pixel centres at whole numbers; the crop's edges lie half a pixel outside the first and last.
    """
    low, high = silhouette_bounds(pose, camera_from_object)
    low, high = low.min(axis=(0, 1)), high.max(axis=(0, 1))
    side = (high - low).max() * (1 + 2 * pad)
    corner = 0.5 * (low + high) - 0.5 * side
    focal = size / side
    return np.array([[focal, 0, -focal * corner[0] - 0.5], [0, focal, -focal * corner[1] - 0.5], [0, 0, 1.0]])


def render_pictures(
    creature: Creature,
    pose: Pose,
    intrinsics: np.ndarray,
    camera_from_object: np.ndarray,
    size: int,
    background: tuple[int, int, int],
    light: np.ndarray,
) -> Pictures:
    """Render every frame, one ray through each pixel's centre.

    Args:
        creature: the scaled animal, for colours and the frames the checkers are fixed to.
        pose: F frames; intrinsics: [3, 3]; camera_from_object: [F, 4, 4]; size: S.
        background: RGB of the pixels the animal does not cover.
        light: [3] unit direction towards the light, object frame.
    """
    frames = len(pose.starts)
    starts, ends = _camera_capsules(pose, camera_from_object)
    low, high = silhouette_bounds(pose, camera_from_object)
    focal, centre = np.diag(intrinsics)[:2], intrinsics[:2, 2]
    first = np.clip(np.ceil(low * focal + centre), 0, size).astype(int)
    last = np.clip(np.floor(high * focal + centre) + 1, 0, size).astype(int)
    ray_x = (np.arange(size) - centre[0]) / focal[0]
    ray_y = (np.arange(size) - centre[1]) / focal[1]

    depth = np.full((frames, size, size), np.inf, dtype=np.float32)
    parts = np.full((frames, size, size), -1, dtype=np.int16)
    chunk = max(1, _CHUNK_PIXELS // (size * size))
    for begin in range(0, frames, chunk):
        rows = slice(begin, min(begin + chunk, frames))
        for part in range(PART_COUNT):
            x0, y0 = first[rows, part].min(axis=0)
            x1, y1 = last[rows, part].max(axis=0)
            if x1 <= x0 or y1 <= y0:
                continue
            hit = _intersect_capsule(
                starts[rows, part], ends[rows, part], float(pose.radii[part]), ray_x[x0:x1], ray_y[y0:y1]
            )
            window = depth[rows, y0:y1, x0:x1]
            nearer = hit < window
            np.copyto(window, hit, where=nearer)
            np.copyto(parts[rows, y0:y1, x0:x1], np.int16(part), where=nearer)

    masks = parts >= 0
    depth[~masks] = 0.0
    frame, row, column = np.nonzero(masks)
    seen_part, z = parts[masks], depth[masks].astype(np.float64)
    in_camera = np.stack([ray_x[column] * z, ray_y[row] * z, z], axis=1)
    in_camera -= camera_from_object[frame, :3, 3]
    turn = camera_from_object[:, :3, :3]
    points = np.empty_like(in_camera)
    ends_of_frame = np.searchsorted(frame, np.arange(frames + 1))
    for index in range(frames):
        rows = slice(ends_of_frame[index], ends_of_frame[index + 1])
        points[rows] = in_camera[rows] @ turn[index]
    xyz = np.zeros((frames, size, size, 3), dtype=np.float32)
    xyz[masks] = points
    images = np.empty((frames, size, size, 3), dtype=np.uint8)
    images[:] = np.asarray(background, dtype=np.uint8)
    images[masks] = _shade(creature, pose, frame, seen_part, points.astype(np.float32), light)
    return Pictures(images, masks, depth, parts, xyz)


def _intersect_capsule(
    start: np.ndarray, end: np.ndarray, radius: float, ray_x: np.ndarray, ray_y: np.ndarray
) -> np.ndarray:
    """Camera z of the first hit of rays (x, y, 1) t with one capsule: [F, h, w] float32, infinite where they miss.

    The cylinder about the axis is met first; where the meeting point lies beyond an end, that end's sphere decides.
    A ray that misses the infinite cylinder misses the capsule.
    """
    axis = end - start
    axis2 = (axis**2).sum(axis=1)[:, None, None]
    start2 = (start**2).sum(axis=1)[:, None, None]
    axis_start = -(axis * start).sum(axis=1)[:, None, None]

    def along_rays(vector: np.ndarray) -> np.ndarray:
        x, y, z = vector.T[:, :, None, None]
        product: np.ndarray = (x * ray_x + z) + y * ray_y[:, None]
        return product

    ray2 = (ray_x**2 + 1.0)[None] + (ray_y**2)[:, None]
    axis_ray = along_rays(axis)
    start_ray = along_rays(start)
    a = axis2 * ray2 - axis_ray**2
    b = -axis2 * start_ray - axis_start * axis_ray
    c = axis2 * (start2 - radius**2) - axis_start**2
    h = b * b - a * c
    hit = np.full(h.shape, np.inf, dtype=np.float32)
    frame, row, column = np.nonzero(h >= 0.0)
    b, h, a, axis_ray = (
        b[frame, row, column],
        h[frame, row, column],
        a[frame, row, column],
        axis_ray[frame, row, column],
    )
    t = -(b + np.sqrt(h)) / a
    place = axis_start[frame, 0, 0] + t * axis_ray
    beyond = np.nonzero((place < 0.0) | (place > axis2[frame, 0, 0]))[0]
    frame_b, row_b, column_b = frame[beyond], row[beyond], column[beyond]
    centre = np.where((place[beyond] < 0.0)[:, None], start[frame_b], end[frame_b])
    ray2_b = ray2[row_b, column_b]
    b = centre[:, 0] * ray_x[column_b] + centre[:, 1] * ray_y[row_b] + centre[:, 2]
    h = b * b - ray2_b * ((centre**2).sum(axis=1) - radius**2)
    t[beyond] = np.where(h >= 0.0, (b - np.sqrt(np.maximum(h, 0.0))) / ray2_b, np.inf)
    hit[frame, row, column] = t
    return hit


def _part_frames(creature: Creature) -> np.ndarray:
    """[13, 3, 3] float64 rows: the part's axis, the direction nearest to +z across it, and their cross product."""
    axis = creature.ends - creature.starts
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    side = np.array([0.0, 0.0, 1.0]) - axis[:, 2:] * axis
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    return np.stack([axis, side, np.cross(axis, side)], axis=1)


def _shade(
    creature: Creature, pose: Pose, frame: np.ndarray, part: np.ndarray, points: np.ndarray, light: np.ndarray
) -> np.ndarray:
    """Colours [n, 3] uint8 of surface points [n, 3] of the given frames and parts [n]."""
    basis = _part_frames(creature)
    into_part = np.einsum("pij,fpkj->fpik", basis, pose.rotations)
    start = np.einsum("fpij,fpj->fpi", into_part, pose.starts)
    lit = (into_part @ light).astype(np.float32)
    select = frame * PART_COUNT + part
    local = np.einsum("nij,nj->ni", into_part.reshape(-1, 3, 3).astype(np.float32)[select], points)
    local -= start.reshape(-1, 3).astype(np.float32)[select]

    length = np.linalg.norm(creature.ends - creature.starts, axis=1)
    radius = creature.radii.astype(np.float32)[part]
    normal = local.copy()
    normal[:, 0] -= np.clip(local[:, 0], 0.0, length.astype(np.float32)[part])
    normal /= radius[:, None]
    shade = _AMBIENT + (1.0 - _AMBIENT) * np.maximum((normal * lit.reshape(-1, 3)[select]).sum(axis=1), 0.0)

    # An even number of fields around the axis, so that the checker closes on itself.
    around = 2 * np.maximum(2, np.round(np.pi * creature.radii / _CHECK_SIZE)).astype(np.float32)[part]
    turn = np.arctan2(local[:, 2], local[:, 1]) / (2 * np.pi)
    field = np.floor(local[:, 0] / _CHECK_SIZE) + np.floor((turn + 0.5) * around)
    shade *= np.where(field % 2 == 0, 1.0, _CHECK_DARK)

    base = creature.colors[part].astype(np.float32)
    head = 2
    eye_height = 0.45 * np.sign(basis[head, 2, 1])
    eye = np.array([0.35 * length[head], 0.0, 0.0]) + creature.radii[head] * np.array(
        [0.0, np.sqrt(1 - eye_height**2), eye_height]
    )
    mirrored = np.stack([local[:, 0], np.abs(local[:, 1]), local[:, 2]], axis=1)
    near_eye = (part == head) & (((mirrored - eye) ** 2).sum(axis=1) < (_EYE_RADIUS * creature.radii[head]) ** 2)
    base[near_eye] = _EYE_COLOR
    colors: np.ndarray = np.clip(base * shade[:, None], 0, 255).astype(np.uint8)
    return colors
