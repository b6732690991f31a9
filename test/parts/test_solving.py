"""Gauss-Newton on rigid parts: its Jacobian, and where it ends, against scipy's least squares."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from attnchain_ros.lab.reference import parts as twin
from attnchain_ros.parts.solving import (
    PartMotions,
    PartShapes,
    Sightings,
    mean_square,
    motions_of,
    pixel_misses,
    solve_parts,
)

INTRINSICS = np.array([[260.0, 0, 127.5], [0, 250.0, 120.0], [0, 0, 1]])


class Scene:
    """Three parts that moved, as a camera saw them; part 2 stands still."""

    def __init__(self, seed: int = 0, noise_px: float = 0.3, outliers: float = 0.1) -> None:
        rng = np.random.default_rng(seed)
        self.part = np.repeat([0, 1, 2], [30, 25, 20])
        self.rest = rng.uniform(-0.4, 0.4, (75, 3)) + np.array([[-0.5, 0, 0], [0.5, 0, 0], [0, 0.7, 0]])[self.part]
        self.shapes = PartShapes.of(self.rest, self.part)
        turn = Rotation.from_rotvec([[0.2, 0.1, -0.1], [-0.1, 0.15, 0.1], [0, 0, 0]]).as_matrix()
        self.true = PartMotions(
            turn, self.shapes.centre + np.array([[0.05, -0.03, 0.1], [0.02, 0.1, -0.05], [0, 0, 0]])
        )
        self.pose = np.eye(4)
        self.pose[:3, :3] = Rotation.from_rotvec([0.3, -0.2, 3.0]).as_matrix()
        self.pose[:3, 3] = [0.05, 0.1, 3.0]
        seen = (
            self.true.move(self.rest, self.part, self.shapes) @ self.pose[:3, :3].T + self.pose[:3, 3]
        ) @ INTRINSICS.T
        self.pixels = seen[:, :2] / seen[:, 2:] + noise_px * rng.normal(size=(75, 2))
        wrong = rng.uniform(size=75) < outliers
        self.pixels[wrong] += rng.uniform(-40, 40, (wrong.sum(), 2))
        self.weight = rng.choice([0.3, 1.0], 75)
        shake = Rotation.from_rotvec(0.08 * rng.normal(size=(3, 3))).as_matrix()
        self.chain = PartMotions(shake @ turn, self.true.place + 0.03 * rng.normal(size=(3, 3)))

    def sightings(self, rows: np.ndarray | None = None) -> Sightings:
        rows = np.arange(75) if rows is None else rows
        arm = self.rest[rows] - self.shapes.centre[self.part[rows]]
        return Sightings(arm, self.part[rows], self.pixels[rows], self.weight[rows], self.pose, INTRINSICS)


def nudged(motions: PartMotions, step: np.ndarray) -> PartMotions:
    """All parts by the same turn vector and shift [6]."""
    turn = Rotation.from_rotvec(step[:3]).as_matrix()
    return PartMotions(turn @ motions.turn, motions.place + step[3:])


def test_jacobian_against_finite_differences() -> None:
    scene = Scene()
    tracks = scene.sightings()
    _, jacobian = pixel_misses(scene.chain, tracks)
    for axis in range(6):
        step = np.zeros(6)
        step[axis] = 1e-6
        ahead, behind = (pixel_misses(nudged(scene.chain, sign * step), tracks)[0] for sign in (1, -1))
        assert np.allclose((ahead - behind) / 2e-6, jacobian[:, :, axis], atol=1e-4)


def test_what_is_behind_the_camera_says_nothing() -> None:
    scene = Scene()
    scene.pose[:3, 3] = [0, 0, -5.0]
    miss, jacobian = pixel_misses(scene.chain, scene.sightings())
    assert not miss.any() and not jacobian.any()


def test_mean_square_is_a_mean_over_landmarks() -> None:
    scene = Scene()
    one = scene.true.move(scene.rest, scene.part, scene.shapes)
    other = scene.chain.move(scene.rest, scene.part, scene.shapes)
    wanted = [((one - other)[scene.part == p] ** 2).sum(axis=1).mean() for p in range(3)]
    assert np.allclose(mean_square(scene.shapes, scene.true, scene.chain), wanted, rtol=1e-10)


@pytest.mark.parametrize("still", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_ends_where_least_squares_ends(seed: int, still: bool) -> None:
    scene = Scene(seed)
    flags = np.array([False, False, still])
    found, share = solve_parts(scene.shapes, scene.chain, flags, scene.sightings(), rounds=60)
    assert (share > 0.5).all()
    for part in range(3):
        rows = np.flatnonzero(scene.part == part)
        arms = scene.rest[rows] - scene.shapes.centre[part]
        tracks = [(k, scene.pixels[row], scene.weight[row]) for k, row in enumerate(rows)]
        chain = (scene.chain.turn[part], scene.chain.place[part])
        start = (found.turn[part], found.place[part])

        def residuals(step: np.ndarray) -> np.ndarray:
            motion = (Rotation.from_rotvec(step[:3]).as_matrix() @ start[0], start[1] + step[3:])  # noqa: B023
            centre = scene.shapes.centre[part] if flags[part] else None  # noqa: B023
            return twin.part_residuals(arms, motion, chain, centre, tracks, (scene.pose, INTRINSICS))  # noqa: B023

        # Beside the solution, so that an optimum of another place is not missed.
        best = least_squares(residuals, np.full(6, 0.01), xtol=1e-14, ftol=1e-14, gtol=1e-12, jac="3-point")
        assert np.abs(best.x).max() < 2e-5


def test_parts_are_found_in_spite_of_outliers() -> None:
    scene = Scene(5, outliers=0.2)
    found, _ = solve_parts(scene.shapes, scene.chain, np.zeros(3, bool), scene.sightings())
    before = np.sqrt(mean_square(scene.shapes, scene.chain, scene.true))
    after = np.sqrt(mean_square(scene.shapes, found, scene.true))
    assert (after < 0.6 * before).all()


def test_few_or_contradicting_tracks_leave_the_chain_alone() -> None:
    scene = Scene()
    rows = np.concatenate([np.flatnonzero(scene.part == 0)[:5], np.flatnonzero(scene.part == 1)])
    scene.pixels[scene.part == 1] = np.random.default_rng(0).uniform(0, 256, (25, 2))
    found, share = solve_parts(scene.shapes, scene.chain, np.zeros(3, bool), scene.sightings(rows))
    assert np.isnan(share[[0, 2]]).all() and share[1] < 0.5
    assert np.allclose(found.turn, scene.chain.turn, atol=1e-9) and np.allclose(
        found.place, scene.chain.place, atol=1e-9
    )


def test_a_still_part_comes_to_rest() -> None:
    scene = Scene()
    flags = np.array([False, False, True])
    free, _ = solve_parts(scene.shapes, scene.chain, np.zeros(3, bool), scene.sightings())
    held, _ = solve_parts(scene.shapes, scene.chain, flags, scene.sightings())
    errors = [np.sqrt(mean_square(scene.shapes, found, scene.true))[2] for found in (free, held)]
    assert errors[1] < 0.5 * errors[0]


def test_motions_of_places() -> None:
    scene = Scene()
    places = scene.true.move(scene.rest, scene.part, scene.shapes)
    found = motions_of(places, scene.part, scene.shapes, scene.rest)
    assert np.allclose(found.turn, scene.true.turn, atol=1e-9) and np.allclose(found.place, scene.true.place, atol=1e-9)
