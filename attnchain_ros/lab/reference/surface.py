"""Twin of ``mesh/surface.py``: every node of the finest grid evaluated, cells and edges visited one by one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from skimage.measure import marching_cubes

from ...config import SurfaceConfig
from ...conventions import OBJECT_HALF_EXTENT
from ...mesh.types import Mesh

Field = Callable[[torch.Tensor], torch.Tensor]


def dense_grid(field: Field, frame: int, frames: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Node coordinates [R+1] along an axis and logits [R+1, R+1, R+1] float64 of one frame."""
    axis = np.linspace(-OBJECT_HALF_EXTENT, OBJECT_HALF_EXTENT, cells + 1)
    values = np.empty((cells + 1,) * 3)
    for i, x in enumerate(axis):
        plane = np.stack(np.meshgrid([x], axis, axis, indexing="ij"), axis=-1).reshape(1, -1, 3)
        points = torch.tensor(plane, dtype=torch.float32).repeat(frames, 1, 1)
        values[i] = field(points)[frame].double().cpu().numpy().reshape(cells + 1, cells + 1)
    return axis, values


def extract_mesh(field: Field, config: SurfaceConfig) -> Mesh:
    """Marching cubes over the dense grid: all components, not decimated, open where it meets the cube's sides."""
    axis, values = dense_grid(field, 0, 1, config.grid)
    vertices, faces, _, _ = marching_cubes(values.astype(np.float32), level=0.0, gradient_direction="ascent")
    vertices = vertices * (axis[1] - axis[0]) + axis[0]
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32))


def surface_points(field: Field, frames: int, config: SurfaceConfig) -> list[np.ndarray]:
    """For every frame all zero crossings [U, 3] float64 along grid edges, ordered by axis, then by node."""
    found = []
    for frame in range(frames):
        axis, values = dense_grid(field, frame, frames, config.grid)
        points = []
        for direction in np.eye(3, dtype=int):
            for node in np.ndindex(*(config.grid + 1 - direction)):
                other = tuple(node + direction)
                a, b = values[node], values[other]
                if (a > 0) != (b > 0):
                    start = np.array([axis[i] for i in node])
                    end = np.array([axis[i] for i in other])
                    points.append(start + a / (a - b) * (end - start))
        found.append(np.array(points).reshape(-1, 3))
    return found
