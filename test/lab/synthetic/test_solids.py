"""attnchain_ros.lab.synthetic.solids against its twin and hand-computed distances."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from attnchain_ros.lab.reference import solids as twin
from attnchain_ros.lab.synthetic.solids import (
    Solids,
    axis_ends,
    corner_points,
    nearest_surface,
    solid_distances,
    union_distance,
)


def random_solids(rng: np.random.Generator, kinds: str = "cpbcpb") -> Solids:
    """Capsules (c), plates (p) and boxes (b) in random places."""
    count = len(kinds)
    half = rng.uniform(0.1, 0.4, (count, 3))
    radii = rng.uniform(0.05, 0.25, count)
    for row, kind in enumerate(kinds):
        half[row, {"c": 1, "p": 2, "b": 3}[kind] :] = 0.0
        radii[row] *= kind != "b"
    axes = Rotation.random(count, random_state=int(rng.integers(2**31))).as_matrix()
    return Solids(rng.uniform(-0.6, 0.6, (count, 3)), axes, half, radii)


def arrays(solids: Solids) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What the twin takes."""
    return solids.centers, solids.axes, solids.half, solids.radii


def single(half: list[float], radius: float) -> Solids:
    """One solid at the origin along the axes."""
    return Solids(np.zeros((1, 3)), np.eye(3)[None], np.array([half]), np.array([radius]))


def test_distances_agree_with_the_twin() -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        solids = random_solids(rng)
        points = rng.uniform(-1, 1, (200, 3)).astype(np.float32)
        wanted = twin.solid_distances(points, *arrays(solids))
        # Worst seen over 30 seeds 1.1e-5, next to the axis of a capsule, where the float32 root of a cancelled sum is
        # taken; plates and boxes 3e-7.
        np.testing.assert_allclose(solid_distances(points, solids), wanted, atol=4e-5)
        np.testing.assert_allclose(solid_distances(points, solids)[[1, 2, 4, 5]], wanted[[1, 2, 4, 5]], atol=2e-6)
        np.testing.assert_allclose(union_distance(points, solids), wanted.min(axis=0), atol=4e-5)


@pytest.mark.parametrize(
    ("half", "radius", "points", "wanted"),
    [
        ([0.5, 0, 0], 0.25, [[0, 1, 0], [-1.5, 0, 0], [0, 0, 0], [0.2, 0, 0.25]], [0.75, 0.75, -0.25, 0]),
        ([0.5, 0.3, 0], 0.1, [[0, 0, 1], [0.5, 0.3, 0.1], [0.8, 0.7, 0], [0.1, 0.1, 0]], [0.9, 0, 0.4, -0.1]),
        ([0.5, 0.3, 0.2], 0, [[0, 0, 1], [0.5, 0, 0], [0.8, 0.7, 0.2], [0.4, 0, 0]], [0.8, 0, 0.5, -0.1]),
    ],
)
def test_known_distances(half: list[float], radius: float, points: list[list[float]], wanted: list[float]) -> None:
    np.testing.assert_allclose(union_distance(np.array(points), single(half, radius)), wanted, atol=1e-6)


def test_nearest_surface_agrees_with_the_twin() -> None:
    for seed in range(3):
        rng = np.random.default_rng(10 + seed)
        solids = random_solids(rng)
        points = rng.uniform(-1, 1, (300, 3)).astype(np.float32)
        distances = np.sort(twin.solid_distances(points, *arrays(solids)), axis=0)
        # Where two solids or two faces are equally near, either answer is right.
        clear = distances[1] - distances[0] > 1e-3
        feet, normals = nearest_surface(points, solids)
        wanted_feet, wanted_normals = twin.nearest_surface(points, *arrays(solids))
        smooth = clear & (np.abs(np.linalg.norm(wanted_normals, axis=1) - 1) < 1e-6)
        assert smooth.mean() > 0.9
        # Difference quotients of step 1e-6 and float32 rounding: worst seen 4e-6, next to the axis of a capsule.
        np.testing.assert_allclose(normals[smooth], wanted_normals[smooth], atol=5e-5)
        np.testing.assert_allclose(feet[smooth], wanted_feet[smooth], atol=5e-5)


@pytest.mark.parametrize("kind", ["c", "p", "b"])
def test_feet_lie_on_the_surface_at_the_distance(kind: str) -> None:
    rng = np.random.default_rng(1)
    solids = random_solids(rng, kind)
    points = rng.uniform(-1, 1, (500, 3)).astype(np.float32)
    feet, normals = nearest_surface(points, solids)
    distance = union_distance(points, solids)
    np.testing.assert_allclose(union_distance(feet, solids), 0.0, atol=5e-6)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(points - distance[:, None] * normals, feet, atol=2e-5)


def test_a_part_may_be_asked_for_by_name() -> None:
    solids = random_solids(np.random.default_rng(2), "bb")
    points = np.random.default_rng(3).uniform(-1, 1, (50, 3)).astype(np.float32)
    feet, _ = nearest_surface(points, solids, np.ones(50, dtype=int))
    np.testing.assert_allclose(solid_distances(feet, solids)[1], 0.0, atol=2e-6)


def test_corners_and_axis_ends() -> None:
    solids = random_solids(np.random.default_rng(4))
    corners = corner_points(solids.centers, solids.axes, solids.half)
    # A corner of the core is at depth r of a rounded solid, and on the surface of a box.
    for part in range(6):
        inside = solid_distances(corners[part], solids)[part]
        # On the very axis of a capsule the root of a cancelled sum is taken: 2.4e-4 seen.
        np.testing.assert_allclose(inside, -solids.radii[part], atol=5e-4)
    start, end = axis_ends(solids.centers, solids.axes, solids.half)
    np.testing.assert_allclose(np.linalg.norm(end - start, axis=1), 2 * solids.half.max(axis=1), atol=1e-12)
    np.testing.assert_allclose(0.5 * (start + end), solids.centers, atol=1e-12)
    frames = axis_ends(solids.centers[None], solids.axes[None], solids.half)[1]
    np.testing.assert_array_equal(frames[0], end)


def test_empty_points() -> None:
    solids = random_solids(np.random.default_rng(5))
    assert union_distance(np.zeros((0, 3)), solids).shape == (0,)
    assert nearest_surface(np.zeros((0, 3)), solids)[0].shape == (0, 3)
