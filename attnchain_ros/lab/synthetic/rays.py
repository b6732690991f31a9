"""Closed-form meetings of camera rays with capsules, plates and boxes.

Rays are (x, y, 1) t in the camera's frame, so that t is the camera's z. They are given by arrays of x and y that
broadcast to [F, h, w].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .cameras import ball_bounds
from .motion import Pose
from .solids import corner_points


@dataclass(frozen=True)
class Shape:
    """A capsule or a box in the camera frames of F frames.

    Attributes:
        part: number of the part it belongs to.
        centers: [F, 3] float64; axes: [F, 3, 3] float64 columns are its own x, y, z.
        half: [3] half extents; of a capsule only the first is not 0.
        radius: of a capsule; 0 for a box.
    """

    part: int
    centers: np.ndarray
    axes: np.ndarray
    half: np.ndarray
    radius: float

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Box of the outline: smallest and largest x / z and y / z, each [F, 2]."""
        corners = corner_points(self.centers[:, None], self.axes[:, None], self.half[None])[:, 0]
        low, high = ball_bounds(corners, self.radius)
        return low.min(axis=1), high.max(axis=1)

    def meet(self, rows: slice, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Camera z of the first hit, infinite where a ray misses: [F, h, w] float32 for the frames of ``rows``."""
        centers, axes = self.centers[rows], self.axes[rows]
        if self.radius == 0:
            return meet_box(centers, axes, self.half, x, y)
        reach = self.half[0] * axes[..., 0]
        return meet_capsule(centers - reach, centers + reach, self.radius, x, y)


def camera_shapes(pose: Pose, camera_from_object: np.ndarray) -> Iterator[Shape]:
    """The capsules and boxes whose union is the posed object: a plate is a box with a capsule along each edge.

    Args:
        pose: F frames; camera_from_object: [F, 4, 4].
    """
    turn, shift = camera_from_object[:, :3, :3], camera_from_object[:, :3, 3]
    centers = np.einsum("fij,fpj->fpi", turn, pose.centers) + shift[:, None]
    axes = turn[:, None] @ pose.axes
    for part, (half, radius) in enumerate(zip(pose.half, pose.radii, strict=True)):
        place, own = centers[:, part], axes[:, part]
        if radius == 0 or half[1] == 0:
            yield Shape(part, place, own, half, float(radius))
            continue
        yield Shape(part, place, own, np.array([half[0], half[1], radius]), 0.0)
        for along, across in ((0, 1), (1, 0)):
            edge = np.roll(own, -along, axis=2)
            reach = half[across] * own[..., across]
            for side in (-1, 1):
                yield Shape(part, place + side * reach, edge, np.array([half[along], 0.0, 0.0]), float(radius))


def meet_box(centers: np.ndarray, axes: np.ndarray, half: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """First hit of rays with one box: [F, h, w] float32, infinite where they miss.

    Args:
        centers: [F, 3] camera frame; axes: [F, 3, 3]; half: [3], above 0; x, y: broadcast to [F, h, w].
    Twin: ``lab.reference.rays.meet_box``.
    """
    origin = -np.einsum("fji,fj->fi", axes, centers).astype(np.float32)
    x, y = x.astype(np.float32), y.astype(np.float32)
    enter: np.ndarray | None = None
    leave: np.ndarray | None = None
    with np.errstate(divide="ignore", invalid="ignore"):
        for axis in range(3):
            across = axes[:, :, axis].astype(np.float32)[:, :, None, None]
            slope = 1.0 / ((across[:, 0] * x + across[:, 2]) + across[:, 1] * y)
            start = origin[:, axis, None, None]
            one, other = (-np.float32(half[axis]) - start) * slope, (np.float32(half[axis]) - start) * slope
            near, far = np.minimum(one, other), np.maximum(one, other)
            enter = near if enter is None else np.maximum(enter, near, out=enter)
            leave = far if leave is None else np.minimum(leave, far, out=leave)
        assert enter is not None and leave is not None
        # A comparison with what is not a number is false: a ray along a face misses.
        return np.where((enter <= leave) & (enter > 0), enter, np.float32(np.inf))


def meet_capsule(start: np.ndarray, end: np.ndarray, radius: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """First hit of rays with one capsule: [F, h, w] float32, infinite where they miss.

    The cylinder about the axis is met first; where the meeting point lies beyond an end, that end's ball decides.
    A ray that misses the infinite cylinder misses the capsule.

    Args:
        start, end: [F, 3] camera frame; x, y: broadcast to [F, h, w].
    Twin: ``lab.reference.rays.meet_capsule``.
    """
    axis = end - start
    axis2 = (axis**2).sum(axis=1)[:, None, None]
    start2 = (start**2).sum(axis=1)[:, None, None]
    axis_start = -(axis * start).sum(axis=1)[:, None, None]

    def along_rays(vector: np.ndarray) -> np.ndarray:
        across = vector[:, :, None, None]
        product: np.ndarray = (across[:, 0] * x + across[:, 2]) + across[:, 1] * y
        return product

    ray2 = (x**2 + 1.0) + y**2
    axis_ray = along_rays(axis)
    start_ray = along_rays(start)
    a = axis2 * ray2 - axis_ray**2
    b = -axis2 * start_ray - axis_start * axis_ray
    c = axis2 * (start2 - radius**2) - axis_start**2
    h = b * b - a * c
    hit = np.full(h.shape, np.inf, dtype=np.float32)
    met = np.nonzero(h >= 0.0)
    frame = met[0]
    b, h, a, axis_ray = b[met], h[met], a[met], axis_ray[met]
    t = -(b + np.sqrt(h)) / a
    place = axis_start[frame, 0, 0] + t * axis_ray
    beyond = np.nonzero((place < 0.0) | (place > axis2[frame, 0, 0]))[0]
    there = tuple(index[beyond] for index in met)
    centre = np.where((place[beyond] < 0.0)[:, None], start[there[0]], end[there[0]])
    x_b, y_b, ray2_b = (np.broadcast_to(value, hit.shape)[there] for value in (x, y, ray2))
    b = centre[:, 0] * x_b + centre[:, 1] * y_b + centre[:, 2]
    h = b * b - ray2_b * ((centre**2).sum(axis=1) - radius**2)
    t[beyond] = np.where(h >= 0.0, (b - np.sqrt(np.maximum(h, 0.0))) / ray2_b, np.inf)
    hit[met] = t
    return hit


def hidden_points(points: np.ndarray, pose: Pose, camera_from_object: np.ndarray) -> np.ndarray:
    """Whether something is between the camera and each point.

    Args:
        points: [F, n, 3] object frame, in front of the camera.
        pose: F frames; camera_from_object: [F, 4, 4].
    Returns:
        [F, n] bool: the ray through the point meets a solid nearer than the point, by more than 1e-5 in camera z
        (rounding of the meeting points); a point inside a solid is hidden.
    """
    seen = np.einsum("fij,fnj->fni", camera_from_object[:, :3, :3], points) + camera_from_object[:, None, :3, 3]
    depth = seen[..., 2]
    x, y = (seen[:, None, :, axis] / depth[:, None] for axis in range(2))
    first = np.full(depth.shape, np.inf)
    for shape in camera_shapes(pose, camera_from_object):
        np.minimum(first, shape.meet(slice(None), x, y)[:, 0], out=first)
    hidden: np.ndarray = first < depth - 1e-5
    return hidden
