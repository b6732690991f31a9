"""attnchain_ros.synthetic.capsules against a literal loop and a fine sampling of the surface."""

from __future__ import annotations

import numpy as np

from attnchain_ros.synthetic.capsules import capsule_distances, nearest_surface, union_distance


def _random_capsules(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return rng.uniform(-0.8, 0.8, (count, 3)), rng.uniform(-0.8, 0.8, (count, 3)), rng.uniform(0.05, 0.25, count)


def _distance_literal(point: np.ndarray, start: np.ndarray, end: np.ndarray, radius: float) -> float:
    axis = end - start
    fraction = min(max(float((point - start) @ axis) / float(axis @ axis), 0.0), 1.0)
    return float(np.linalg.norm(point - (start + fraction * axis))) - radius


def test_distances_agree_with_literal_loop() -> None:
    rng = np.random.default_rng(0)
    starts, ends, radii = _random_capsules(rng, 5)
    points = rng.uniform(-1, 1, (300, 3))
    literal = np.array([[_distance_literal(p, *c) for p in points] for c in zip(starts, ends, radii, strict=True)])
    # Worst seen over 30 seeds 1.1e-5, next to an axis, where the float32 root of a cancelled sum is taken.
    np.testing.assert_allclose(capsule_distances(points, starts, ends, radii), literal, atol=4e-5)
    np.testing.assert_allclose(union_distance(points, starts, ends, radii), literal.min(axis=0), atol=4e-5)


def test_known_distances() -> None:
    starts, ends, radii = np.array([[0.0, 0, 0]]), np.array([[1.0, 0, 0]]), np.array([0.25])
    points = np.array([[0.5, 1, 0], [-1, 0, 0], [2, 0, 0], [0.5, 0, 0], [0.5, 0.25, 0]])
    np.testing.assert_allclose(union_distance(points, starts, ends, radii), [0.75, 0.75, 0.75, -0.25, 0], atol=1e-6)


def test_nearest_surface_lies_on_surface_at_the_distance() -> None:
    rng = np.random.default_rng(1)
    starts, ends, radii = _random_capsules(rng, 1)
    points = rng.uniform(-1, 1, (500, 3)).astype(np.float32)
    feet, normals = nearest_surface(points, starts, ends, radii)
    distance = union_distance(points, starts, ends, radii)
    np.testing.assert_allclose(union_distance(feet, starts, ends, radii), 0.0, atol=5e-6)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(points - distance[:, None] * normals, feet, atol=2e-5)


def test_empty_points() -> None:
    assert union_distance(np.zeros((0, 3)), *_random_capsules(np.random.default_rng(2), 3)).shape == (0,)
