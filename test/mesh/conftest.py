"""Shapes with known geometry for the mesh tests."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors: more threads only cost."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def sphere():
    """subdivisions -> unit icosphere (vertices float32, faces int32); 642 vertices at 3."""

    def make(subdivisions: int = 3) -> tuple[np.ndarray, np.ndarray]:
        mesh = trimesh.creation.icosphere(subdivisions=subdivisions)
        return np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32)

    return make


@pytest.fixture(scope="session")
def plane():
    """cells -> square [0, 1]^2 at z = 0, cells x cells squares cut along one diagonal."""

    def make(cells: int = 10) -> tuple[np.ndarray, np.ndarray]:
        axis = np.linspace(0, 1, cells + 1)
        x, y = np.meshgrid(axis, axis, indexing="ij")
        vertices = np.stack([x, y, np.zeros_like(x)], axis=-1).reshape(-1, 3).astype(np.float32)
        i, j = np.meshgrid(np.arange(cells), np.arange(cells), indexing="ij")
        a = (i * (cells + 1) + j).ravel()
        b, c, d = a + cells + 1, a + cells + 2, a + 1
        faces = np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
        return vertices, faces.astype(np.int32)

    return make


@pytest.fixture(scope="session")
def bar():
    """Closed square bar along x: 0 <= x <= length, half width 0.1, ``steps`` rings of 8 vertices and two caps."""

    def make(length: float = 2.0, steps: int = 41) -> tuple[np.ndarray, np.ndarray]:
        ring = 0.1 * np.array([[-1, -1], [0, -1], [1, -1], [1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0]])
        rows = [np.column_stack([np.full(8, x), ring]) for x in np.linspace(0, length, steps)]
        vertices = np.concatenate([*rows, [[0, 0, 0], [length, 0, 0]]]).astype(np.float32)
        faces = []
        for s in range(steps - 1):
            for i in range(8):
                a, b = 8 * s + i, 8 * s + (i + 1) % 8
                faces += [[a, b + 8, b], [a, a + 8, b + 8]]
        last, first_cap, last_cap = 8 * (steps - 1), 8 * steps, 8 * steps + 1
        for i in range(8):
            faces.append([first_cap, i, (i + 1) % 8])
            faces.append([last_cap, last + (i + 1) % 8, last + i])
        return vertices, np.array(faces, np.int32)[:, [0, 2, 1]]

    return make


@pytest.fixture(scope="session")
def rotation():
    """axis, angle -> [3, 3] float64 rotation (Rodrigues)."""

    def make(axis: np.ndarray, angle: float) -> np.ndarray:
        x, y, z = np.asarray(axis, np.float64) / np.linalg.norm(axis)
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross

    return make
