from __future__ import annotations

import numpy as np
import pytest
from made_up import turn

from attnchain_ros.errors import MeshError
from attnchain_ros.lab.evaluation import normals as fast
from attnchain_ros.lab.reference import normals as slow

# Two triangles on the floor and two standing on their common edge's ends.
VERTICES = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 0, 1]])
FACES = np.array([[0, 1, 2], [0, 2, 3], [1, 4, 2]])


def units(count: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(count, 3))
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_adjacent_faces_by_hand() -> None:
    # Shared edges: 0-2 between two floor faces (cosine 1), 1-2 between floor and wall (cosine 0).
    assert fast.face_normal_consistency(VERTICES, FACES) == pytest.approx(0.5, abs=1e-15)
    assert slow.face_normal_consistency(VERTICES, FACES) == pytest.approx(0.5, abs=1e-15)


def test_edges_of_three_faces_and_empty_faces_have_no_say() -> None:
    faces = np.concatenate([FACES, [[0, 4, 2]], [[1, 1, 2]]])
    # Edge 0-2 has three faces now, edge 2-4 two; the last face has no area.
    found = fast.face_normal_consistency(VERTICES, faces)
    assert found == pytest.approx(slow.face_normal_consistency(VERTICES, faces), abs=1e-15)
    with pytest.raises(MeshError, match="share an edge"):
        fast.face_normal_consistency(VERTICES, FACES[:1])


def test_adjacent_faces_against_twin() -> None:
    rng = np.random.default_rng(0)
    vertices = rng.normal(size=(12, 3))
    faces = np.array([rng.permutation(12)[:3] for _ in range(25)])
    found = fast.face_normal_consistency(vertices, faces)
    assert found == pytest.approx(slow.face_normal_consistency(vertices, faces), abs=1e-13)
    moved = vertices @ turn(1, 40).T + 3
    assert fast.face_normal_consistency(moved, faces) == pytest.approx(found, abs=1e-12)


def test_nearest_normals_by_hand() -> None:
    first = np.array([[0.0, 0, 0], [10, 0, 0]]), np.array([[0.0, 0, 1], [1, 0, 0]])
    second = np.array([[0.0, 0, 1]]), np.array([[0.0, 0, 1]])
    # There: |cos| 1 and 0, mean 0.5; back: the nearest of the one point is the first, 1. Mean 0.75.
    assert fast.nearest_normal_consistency(first, second, 9, 0) == pytest.approx(0.75)
    # The side that a normal points to does not matter, nor do the other cloud's points that nobody is near to.
    flipped = second[0], -second[1]
    assert fast.nearest_normal_consistency(first, flipped, 9, 0) == pytest.approx(0.75)
    assert fast.nearest_normal_consistency(first, first, 1, 0) == pytest.approx(1)


def test_normals_through_scales_and_rotation() -> None:
    matrix = np.eye(4)
    matrix[:3, :3] = turn(0, 30) @ np.diag([2.0, 0.5, 1.3])
    normals = units(20, 4)
    found = fast.carry_normals(matrix, normals)
    written_out = (normals / [2.0, 0.5, 1.3]) @ turn(0, 30).T
    assert np.allclose(found, written_out / np.linalg.norm(written_out, axis=1, keepdims=True), atol=1e-14)


def test_queries_are_different_rows() -> None:
    assert fast.choose_rows(5, 7, 0).tolist() == [0, 1, 2, 3, 4]
    chosen = fast.choose_rows(50, 20, 1)
    assert len(set(chosen.tolist())) == 20 and not np.array_equal(chosen, fast.choose_rows(50, 20, 2))
