"""The mesh of a thing: made once of the neutral pose and carried by the parts.

A soft thing is one skin: marching cubes of the union, linear blend of the parts' motions, then laid onto the posed
solids. A rigid thing is one closed piece a part, moved exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from skimage.measure import marching_cubes

from .model import Model
from .motion import Pose
from .solids import Solids, corner_points, nearest_surface, solid_distances, union_distance

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
        weights: [V, P] float32, rows sum to 1; of a soft thing only the vertex's part, its parent and its children have
            weight, of a rigid thing only its part.
        soft: one skin that is laid onto the posed solids, or rigid pieces.
    """

    vertices: np.ndarray
    faces: np.ndarray
    part: np.ndarray
    weights: np.ndarray
    soft: bool


def build_mesh(model: Model, spacing: float) -> Mesh:
    """Make the mesh of the neutral pose.

    Args:
        model: the thing, scaled to object units.
        spacing: edge of a grid cell of a skin or of a round piece, object units; flat faces have cells twice as long.
    """
    if not model.soft:
        return _build_pieces(model, spacing)
    vertices, faces = _extract(model.solids, spacing)
    distances = solid_distances(vertices, model.solids)
    part = distances.argmin(axis=0).astype(np.int32)
    near = _adjacency(model.parents)[:, part]
    hold = np.where(near, np.exp(-(distances - distances.min(axis=0)) / _BLEND_WIDTH), 0.0)
    weights = (hold / hold.sum(axis=0)).T.astype(np.float32)
    return Mesh(vertices, faces, part, weights, True)


def _extract(solids: Solids, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [V, 3] float32 and faces [T, 3] int32 of the solids' union by marching cubes."""
    corners = corner_points(solids.centers, solids.axes, solids.half)
    reach = solids.radii[:, None, None] + 2 * spacing
    low, high = (corners - reach).min(axis=(0, 1)), (corners + reach).max(axis=(0, 1))
    axes = [np.arange(low[i], high[i] + spacing, spacing, dtype=np.float32) for i in range(3)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    field = union_distance(grid.reshape(-1, 3), solids).reshape(grid.shape[:3])
    # A value of exactly zero would make triangles without area.
    field[np.abs(field) < 1e-5] = 1e-5
    # "descent" is the winding that leaves triangles counter-clockwise from outside for a field negative inside.
    vertices, faces, _, _ = marching_cubes(  # type: ignore[no-untyped-call, unused-ignore]
        field, 0.0, spacing=(spacing,) * 3, gradient_direction="descent"
    )
    return (vertices + low).astype(np.float32), faces.astype(np.int32)


def _build_pieces(model: Model, spacing: float) -> Mesh:
    """Every part as a closed piece of its own, vertices exactly on its surface."""
    vertices: list[np.ndarray] = []
    faces: list[np.ndarray] = []
    sizes: list[int] = []
    for part in range(len(model.parents)):
        solid = model.solids.take(np.array([part]))
        if solid.radii[0] == 0:
            local, triangles = box_mesh(solid.half[0], 2 * spacing)
            points = (local @ solid.axes[0].T + solid.centers[0]).astype(np.float32)
        else:
            points, triangles = _extract(solid, spacing)
            points, _ = nearest_surface(points, solid)
        vertices.append(points)
        faces.append(triangles + np.int32(sum(sizes)))
        sizes.append(len(points))
    part_of = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    weights = np.eye(len(sizes), dtype=np.float32)[part_of]
    return Mesh(np.concatenate(vertices), np.concatenate(faces), part_of, weights, False)


def box_mesh(half: np.ndarray, edge: float) -> tuple[np.ndarray, np.ndarray]:
    """A closed mesh of a box about the origin, its faces cut into cells.

    Args:
        half: [3] half extents; edge: longest side of a cell.
    Returns:
        vertices [V, 3] float64 and faces [T, 3] int32, counter-clockwise from outside.
    """
    cells = np.maximum(1, np.ceil(2 * half / edge - 1e-9)).astype(int)
    corners, quads = [], []
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        grid = np.stack(np.meshgrid(np.arange(cells[u]), np.arange(cells[v]), indexing="ij"), axis=-1).reshape(-1, 2)
        for end in (0, cells[axis]):
            # Around the quad counter-clockwise as seen from the positive side of the axis.
            steps = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
            place = np.empty((len(grid), 4, 3), dtype=int)
            place[..., axis] = end
            place[..., u], place[..., v] = (grid[:, None] + steps).transpose(2, 0, 1)
            quads.append(place if end else place[:, ::-1])
    lattice, index = np.unique(np.concatenate(quads).reshape(-1, 3), axis=0, return_inverse=True)
    corners = lattice / cells * 2 * half - half
    square = index.reshape(-1, 4)
    faces = np.concatenate([square[:, [0, 1, 2]], square[:, [0, 2, 3]]])
    return corners, faces.astype(np.int32)


def _adjacency(parents: tuple[int, ...]) -> np.ndarray:
    """[P, P] bool: the part itself, its parent and its children."""
    near = np.eye(len(parents), dtype=bool)
    for part, parent in enumerate(parents):
        if parent >= 0:
            near[part, parent] = near[parent, part] = True
    return near


def pose_mesh(mesh: Mesh, pose: Pose) -> np.ndarray:
    """Carry the mesh through the motion.

    Args:
        mesh: neutral pose.
        pose: F frames.
    Returns:
        [F, V, 3] float32. Rigid pieces move with their part. A skin is a linear blend of the parts' motions, then laid
        onto the nearest posed solid, which takes away the blend's loss of volume at bent joints.
    """
    frames = len(pose)
    motions = np.concatenate([pose.rotations, pose.shifts[..., None]], axis=-1).astype(np.float32)
    if mesh.soft:
        # One product a frame: the bits of a larger one would depend on how many frames there are.
        moves = np.stack([mesh.weights @ motion.reshape(-1, 12) for motion in motions]).reshape(frames, -1, 3, 4)
    else:
        moves = motions[:, mesh.part]
    posed: np.ndarray = np.einsum("fvij,vj->fvi", moves[..., :3], mesh.vertices) + moves[..., 3]
    if mesh.soft:
        for frame in range(frames):
            for _ in range(_LAY_STEPS):
                posed[frame], _ = nearest_surface(posed[frame], pose.solids(frame))
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
