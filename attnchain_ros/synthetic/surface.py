"""The animal's mesh: extracted once from the neutral pose, carried by the bones, laid onto the posed capsules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from skimage.measure import marching_cubes

from .capsules import capsule_distances, nearest_surface, union_distance
from .creature import PART_COUNT, PART_PARENTS, Creature
from .motion import Pose

_BLEND_WIDTH = 0.03
"""Distance, in object units, over which the hold of one bone passes to the next."""

_LAY_STEPS = 2
"""Projections onto the posed surface: the second brings points that landed inside a neighbour back out."""


@dataclass(frozen=True)
class Mesh:
    """A closed mesh of the neutral pose and its bone weights.

    Attributes:
        vertices: [V, 3] float32.
        faces: [T, 3] int32, counter-clockwise from outside.
        part: [V] int32 part that the vertex belongs to.
        weights: [V, 13] float32, rows sum to 1; only the vertex's part, its parent and its children have weight.
    """

    vertices: np.ndarray
    faces: np.ndarray
    part: np.ndarray
    weights: np.ndarray


def build_mesh(creature: Creature, spacing: float) -> Mesh:
    """Extract the neutral pose's surface by marching cubes.

    Args:
        creature: the animal, scaled to object units.
        spacing: edge of a grid cell, object units.
    """
    reach = creature.radii[:, None] + 2 * spacing
    low = np.minimum(creature.starts - reach, creature.ends - reach).min(axis=0)
    high = np.maximum(creature.starts + reach, creature.ends + reach).max(axis=0)
    axes = [np.arange(low[i], high[i] + spacing, spacing, dtype=np.float32) for i in range(3)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    capsules = (creature.starts, creature.ends, creature.radii)
    field = union_distance(grid.reshape(-1, 3), *capsules).reshape(grid.shape[:3])
    # A value of exactly zero would make triangles without area.
    field[np.abs(field) < 1e-5] = 1e-5
    # "descent" is the winding that leaves triangles counter-clockwise from outside for a field negative inside.
    vertices, faces, _, _ = marching_cubes(  # type: ignore[no-untyped-call, unused-ignore]
        field, 0.0, spacing=(spacing,) * 3, gradient_direction="descent"
    )
    vertices = (vertices + low).astype(np.float32)
    distances = capsule_distances(vertices, *capsules)
    part = distances.argmin(axis=0).astype(np.int32)
    near = _adjacency()[:, part]
    hold = np.where(near, np.exp(-(distances - distances.min(axis=0)) / _BLEND_WIDTH), 0.0)
    weights = (hold / hold.sum(axis=0)).T.astype(np.float32)
    return Mesh(vertices, faces.astype(np.int32), part, weights)


def _adjacency() -> np.ndarray:
    """[13, 13] bool: the part itself, its parent and its children."""
    near = np.eye(PART_COUNT, dtype=bool)
    for part, parent in enumerate(PART_PARENTS):
        if parent >= 0:
            near[part, parent] = near[parent, part] = True
    return near


def pose_mesh(mesh: Mesh, pose: Pose) -> np.ndarray:
    """Carry the mesh through the motion.

    Args:
        mesh: neutral pose.
        pose: F frames.
    Returns:
        [F, V, 3] float32: linear blend of the bones' motions, then laid onto the nearest posed capsule, which takes
        away the blend's loss of volume at bent joints.
    """
    frames, count = len(pose.starts), len(mesh.vertices)
    motions = np.concatenate([pose.rotations, pose.shifts[..., None]], axis=-1)
    table = motions.transpose(1, 0, 2, 3).reshape(PART_COUNT, -1).astype(np.float32)
    blended = (mesh.weights @ table).reshape(count, frames, 3, 4)
    posed: np.ndarray = np.einsum("vfij,vj->fvi", blended[..., :3], mesh.vertices) + blended[..., 3].transpose(1, 0, 2)
    for frame in range(frames):
        for _ in range(_LAY_STEPS):
            posed[frame], _ = nearest_surface(posed[frame], pose.starts[frame], pose.ends[frame], pose.radii)
    return posed


def sample_triangles(
    vertices: np.ndarray, faces: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw points on a mesh with equal chance per area.

    Args:
        vertices: [V, 3]; faces: [T, 3]; count: points to draw; rng: source of all randomness.
    Returns:
        ``(triangle [count] int64, barycentric [count, 3] float32)``; triangles are in ascending order.
    """
    corners = vertices[faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    total = np.cumsum(areas, dtype=np.float64)
    # One point per equal slice of the area: even cover with the same expectation as independent draws.
    marks = (np.arange(count) + rng.uniform(size=count)) / count * total[-1]
    triangle = np.minimum(np.searchsorted(total, marks, side="right"), len(faces) - 1)
    root, second = np.sqrt(rng.uniform(size=count)), rng.uniform(size=count)
    return triangle, np.stack([1 - root, root * (1 - second), root * second], axis=1).astype(np.float32)
