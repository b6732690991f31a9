from __future__ import annotations

import numpy as np
import pytest
from made_up import turn

from attnchain_ros.errors import InputError
from attnchain_ros.lab.evaluation import baselines as fast
from attnchain_ros.lab.reference import baselines as slow

VERTICES = np.random.default_rng(0).uniform(-1, 1, (12, 3)).astype(np.float32) * [1, 0.6, 0.3]


def moved(degrees: float, shift: list[float]) -> np.ndarray:
    return VERTICES @ turn(2, degrees).T + shift


def test_still() -> None:
    found = fast.still_vertices(VERTICES, 3)
    assert found.shape == (3, 12, 3) and (found == VERTICES).all()


def test_nearest_point_of_a_plane_that_moves() -> None:
    """It sees the plane lift by 2 and never that it slides by 1."""
    square = np.array([[-9.0, -9, 0], [9, -9, 0], [9, 9, 0], [-9, 9, 0]])
    start = np.array([[0.5, -1, 0], [2, 3, 0.5]])
    planes = np.stack([square, square + np.array([1, 0, 2])])
    found = fast.nearest_vertices(start, planes, np.array([[0, 1, 2], [0, 2, 3]]))
    assert np.allclose(found[0], [[0.5, -1, 0], [2, 3, 0]]) and np.allclose(found[1], [[0.5, -1, 2], [2, 3, 2]])


def test_rigid_motion_is_found_from_frame_to_frame() -> None:
    """20 degrees a frame: too far from rest after some frames, but not from the frame before."""
    truth = [moved(20 * frame, [0.05 * frame, 0, 0]) for frame in range(6)]
    found = fast.rigid_vertices(VERTICES, truth)
    assert np.abs(found - np.stack(truth)).max() < 1e-6
    alone = fast.rigid_vertices(VERTICES, truth[-1:])
    assert np.abs(alone[0] - truth[-1]).max() > 0.1


def test_rigid_against_twin() -> None:
    rng = np.random.default_rng(1)
    clouds = [moved(10, [0.1, 0, 0])[:9] + rng.normal(size=(9, 3)) * 0.02, rng.uniform(-1, 1, (15, 3))]
    found = fast.rigid_vertices(VERTICES, clouds)
    assert np.allclose(found, slow.rigid_vertices(VERTICES, clouds), atol=1e-6)
    edges = np.linalg.norm(np.diff(found, axis=1), axis=2)
    assert np.allclose(edges, edges[0], atol=1e-6)  # rigid


def test_empty_cloud() -> None:
    with pytest.raises(InputError, match="points in every frame"):
        fast.rigid_vertices(VERTICES, [VERTICES, VERTICES[:0]])
