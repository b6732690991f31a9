from __future__ import annotations

import numpy as np
import pytest

from attnchain_ros.errors import MeshError
from attnchain_ros.lab.evaluation.nearest import nearest_on_surface
from attnchain_ros.lab.reference import nearest as reference

TRIANGLE = np.array([[0.0, 0, 0], [4, 0, 0], [0, 3, 0]])
FACE = np.array([[0, 1, 2]])


@pytest.mark.parametrize(
    ("point", "foot", "distance"),
    [
        ([1.0, 1, 2], [1, 1, 0], 2),  # inside: straight down
        ([-3, -4, 0], [0, 0, 0], 5),  # a corner
        ([2, -1, 0], [2, 0, 0], 1),  # the edge along x
        ([2 + 3, 1.5 + 4, 0], [2, 1.5, 0], 5),  # the long edge, at right angles to it
    ],
)
def test_one_triangle_by_hand(point: list[float], foot: list[float], distance: float) -> None:
    found = nearest_on_surface(np.array([point]), TRIANGLE, FACE)
    assert np.allclose(found.points[0], foot, atol=1e-14)
    assert found.distance[0] == pytest.approx(distance, abs=1e-14)
    assert np.allclose(found.barycentric[0] @ TRIANGLE, foot, atol=1e-14)


def test_against_twin() -> None:
    rng = np.random.default_rng(3)
    vertices, points = rng.normal(size=(9, 3)), 1.5 * rng.normal(size=(6, 3))
    faces = rng.permuted(np.tile(np.arange(9), (6, 1)), axis=1)[:, :3]
    faces[0, 2] = faces[0, 1]  # a triangle without area
    found = nearest_on_surface(points, vertices, faces)
    feet, distances = reference.nearest_on_surface(points, vertices, faces)
    # The twin's minimiser stops near 1e-7; worst seen 4e-8.
    assert np.abs(found.distance - distances).max() < 1e-6
    assert np.abs(found.points - feet).max() < 1e-4
    assert (found.barycentric >= 0).all()
    assert np.allclose(found.barycentric.sum(axis=1), 1, atol=1e-12)
    placed = np.einsum("nc,ncx->nx", found.barycentric, vertices[faces[found.face]])
    assert np.allclose(placed, found.points, atol=1e-12)


def test_pieces_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    vertices, points = rng.normal(size=(30, 3)), rng.normal(size=(20, 3))
    faces = rng.permuted(np.tile(np.arange(30), (40, 1)), axis=1)[:, :3]
    whole = nearest_on_surface(points, vertices, faces)
    monkeypatch.setattr("attnchain_ros.lab.evaluation.nearest._PAIRS", 7)
    pieces = nearest_on_surface(points, vertices, faces)
    assert np.array_equal(whole.points, pieces.points)
    assert np.array_equal(whole.face, pieces.face)


def test_points_on_the_surface_and_none() -> None:
    found = nearest_on_surface(TRIANGLE, TRIANGLE, FACE)
    assert np.array_equal(found.points, TRIANGLE)
    assert nearest_on_surface(np.zeros((0, 3)), TRIANGLE, FACE).points.shape == (0, 3)
    with pytest.raises(MeshError, match="0 faces"):
        nearest_on_surface(TRIANGLE, TRIANGLE, np.zeros((0, 3), int))
