from __future__ import annotations

import numpy as np
import pytest
from made_up import turn

from attnchain_ros.errors import InputError
from attnchain_ros.lab.evaluation.alignment import align_surfaces, apply_similarity, chamfer_distance, fit_similarity


def similarity(scale: float, rotation: np.ndarray, shift: list[float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = scale * rotation, shift
    return matrix


def test_fit_recovers_a_similarity() -> None:
    points = np.random.default_rng(0).normal(size=(20, 3))
    wanted = similarity(1.7, turn(0, 100) @ turn(2, -65), [3, -2, 0.5])
    assert np.allclose(fit_similarity(points, apply_similarity(wanted, points)), wanted, atol=1e-12)


def test_fit_never_mirrors() -> None:
    points = np.random.default_rng(1).normal(size=(20, 3))
    found = fit_similarity(points, points * [1, 1, -1])
    assert np.linalg.det(found[:3, :3]) > 0


def test_fit_is_the_best_one() -> None:
    rng = np.random.default_rng(2)
    source, target = rng.normal(size=(15, 3)), rng.normal(size=(15, 3))
    best = fit_similarity(source, target)
    least = ((apply_similarity(best, source) - target) ** 2).sum()
    for axis in range(3):
        for change in (similarity(1, turn(axis, 0.5), [0, 0, 0]), similarity(1.002, np.eye(3), [0.002, 0, 0])):
            assert ((apply_similarity(best @ change, source) - target) ** 2).sum() > least


def test_fit_refuses_what_fixes_nothing() -> None:
    with pytest.raises(InputError, match="2 pairs"):
        fit_similarity(np.zeros((2, 3)), np.zeros((2, 3)))
    with pytest.raises(InputError, match="one place"):
        fit_similarity(np.ones((4, 3)), np.zeros((4, 3)))


def test_surfaces_are_aligned_from_nearby() -> None:
    rng = np.random.default_rng(5)
    box = rng.uniform(-1, 1, size=(1500, 3)) * [1.0, 0.6, 0.3]
    box[np.arange(1500), rng.integers(0, 3, 1500)] = np.nan  # put each point on a face of the box
    signs = np.where(rng.random(1500) < 0.5, -1, 1)
    source = np.where(np.isnan(box), signs[:, None] * np.array([1.0, 0.6, 0.3]), box)
    wanted = similarity(1.15, turn(1, 8), [0.05, -0.04, 0.03])
    found = align_surfaces(source, apply_similarity(wanted, source))
    assert np.abs(found - wanted).max() < 1e-3
    assert np.array_equal(align_surfaces(source, source), np.eye(4))


def test_chamfer_against_loops() -> None:
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=(11, 3)), rng.normal(size=(7, 3))
    there = sum(min(np.linalg.norm(p - q) for q in b) for p in a) / 11
    back = sum(min(np.linalg.norm(p - q) for q in a) for p in b) / 7
    assert chamfer_distance(a, b) == pytest.approx(there + back, rel=1e-12)
