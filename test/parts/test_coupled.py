"""Patches that hold each other: where Gauss-Newton ends against scipy's least squares, links, and what outlines ask."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from attnchain_ros.camera.raycast import rasterize
from attnchain_ros.lab.reference import coupled as twin
from attnchain_ros.parts.contour import Contours, Pulls
from attnchain_ros.parts.coupled import solve_coupled
from attnchain_ros.parts.links import JOINTS, Links, join_pieces, make_links
from attnchain_ros.parts.solving import PartMotions, PartShapes, Sightings

INTRINSICS = np.array([[260.0, 0, 127.5], [0, 250.0, 120.0], [0, 0, 1]])
SIZE = 256


def posed() -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec([0.3, -0.2, 3.0]).as_matrix()
    pose[:3, 3] = [0.05, 0.1, 3.0]
    return pose


class Chain:
    """Four patches in a row, as a camera saw them; nothing is seen of the last one."""

    def __init__(self, seed: int = 0, rigid: bool = False) -> None:
        rng = np.random.default_rng(seed)
        self.part = np.repeat(np.arange(4), [30, 25, 20, 22])
        self.rest = rng.uniform(-0.3, 0.3, (97, 3)) + 0.6 * self.part[:, None] * np.array([1.0, 0.1, 0]) - [0.9, 0, 0]
        self.shapes = PartShapes.of(self.rest, self.part)
        self.links = make_links(self.rest, self.part, np.array([[0, 1], [1, 2], [2, 3]]))
        vectors = np.tile([0.1, -0.08, 0.12], (4, 1)) if rigid else 0.15 * rng.normal(size=(4, 3))
        turn = Rotation.from_rotvec(vectors).as_matrix()
        place = self.shapes.centre + 0.03 * rng.normal(size=(4, 3))
        if rigid:
            place = self.shapes.centre @ turn[0].T + [0.05, -0.02, 0.03]
        self.true = PartMotions(turn, place)
        self.before = PartMotions(np.tile(np.eye(3), (4, 1, 1)), self.shapes.centre)
        self.pose = posed()
        self.rows = np.flatnonzero(self.part < 3)
        self.pixels = self.seen(self.true, self.rows) + 0.3 * rng.normal(size=(len(self.rows), 2))
        self.weight = rng.choice([0.3, 1.0], len(self.rows))

    def seen(self, motions: PartMotions, rows: np.ndarray) -> np.ndarray:
        """[n, 2] pixels of some landmarks under motions."""
        places = motions.move(self.rest, self.part, self.shapes)[rows]
        flat = (places @ self.pose[:3, :3].T + self.pose[:3, 3]) @ INTRINSICS.T
        return np.asarray(flat[:, :2] / flat[:, 2:])

    @property
    def sightings(self) -> Sightings:
        part = self.part[self.rows]
        arm = self.rest[self.rows] - self.shapes.centre[part]
        return Sightings(arm, part, self.pixels, self.weight, self.pose, INTRINSICS)


@pytest.mark.parametrize("seed", [0, 1])
def test_ends_where_least_squares_ends(seed: int) -> None:
    scene, rng = Chain(seed), np.random.default_rng(seed + 100)
    still = np.array([False, True, False, False])
    shake = Rotation.from_rotvec(0.02 * rng.normal(size=3)).as_matrix()
    before = PartMotions(shake @ scene.before.turn, scene.before.place + 0.01)
    # Lines near places of the last two patches, as an outline asks: the same ones whatever the motions.
    rows = np.flatnonzero(scene.part >= 2)[::5]
    normals = rng.normal(size=(len(rows), 2))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    weights = np.full(len(rows), 1 / len(rows))
    distances = (scene.seen(before, rows) * normals).sum(axis=1) + rng.normal(size=len(rows))

    def outline(motions: PartMotions) -> Pulls:
        pixels = scene.seen(motions, rows)
        places = motions.move(scene.rest, scene.part, scene.shapes)[rows]
        misses = (pixels * normals).sum(axis=1) - distances
        return Pulls(places, scene.part[rows], pixels, normals, misses, weights)

    found, share = solve_coupled(scene.shapes, scene.links, before, still, scene.sightings, outline, rounds=80)
    assert np.isnan(share[3]) and (share[:3] > 0.3).all()
    lines = [
        (int(scene.part[row]), scene.rest[row], normal, distance, weight)
        for row, normal, distance, weight in zip(rows, normals, distances, weights, strict=True)
    ]
    rest = [scene.rest[scene.part == p] for p in range(4)]
    links = [(a, b, twin.common_places(rest[a], rest[b], JOINTS)) for a, b in ((0, 1), (1, 2), (2, 3))]
    tracks = [
        (int(scene.part[row]), scene.rest[row], pixel, weight)
        for row, pixel, weight in zip(scene.rows, scene.pixels, scene.weight, strict=True)
    ]
    earlier = list(zip(before.turn, before.place, strict=True))

    def residuals(steps: np.ndarray) -> np.ndarray:
        motions = [
            (Rotation.from_rotvec(step[:3]).as_matrix() @ turn, place + step[3:])
            for step, turn, place in zip(steps.reshape(4, 6), found.turn, found.place, strict=True)
        ]
        return twin.coupled_residuals(
            rest, motions, earlier, still.tolist(), links, tracks, lines, (scene.pose, INTRINSICS)
        )

    best = least_squares(residuals, np.full(24, 0.005), xtol=1e-14, ftol=1e-14, gtol=1e-12, jac="3-point")
    assert np.abs(best.x).max() < 5e-5


def test_what_nothing_is_seen_of_is_carried_by_its_neighbours() -> None:
    scene = Chain(3, rigid=True)
    found, share = solve_coupled(scene.shapes, scene.links, scene.before, np.zeros(4, bool), scene.sightings)
    true = scene.true.move(scene.rest, scene.part, scene.shapes)
    away = np.linalg.norm(found.move(scene.rest, scene.part, scene.shapes) - true, axis=1)
    moved = np.linalg.norm(scene.rest - true, axis=1)
    assert np.isnan(share[3]) and away[scene.part == 3].mean() < 0.3 * moved[scene.part == 3].mean()
    assert away[scene.part < 3].mean() < 0.02


def test_without_links_and_tracks_nothing_moves() -> None:
    scene = Chain()
    none = np.zeros(0, np.int64)
    alone = Links(none, none, np.zeros((0, 3)), np.zeros(0))
    found, _ = solve_coupled(scene.shapes, alone, scene.before, np.zeros(4, bool), scene.sightings)
    assert np.allclose(found.turn[3], np.eye(3)) and np.allclose(found.place[3], scene.shapes.centre[3])


@pytest.mark.parametrize("seed", range(5))
def test_pieces_hang_together_and_share_their_nearest_places(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = 9
    of = np.concatenate([np.arange(count), rng.integers(0, count, 40)])
    rest = rng.normal(size=(len(of), 3)) + 3.0 * rng.normal(size=(count, 3))[of]
    touching = np.unique(np.sort(rng.integers(0, count, (5, 2)), axis=1), axis=0)
    touching = touching[touching[:, 0] != touching[:, 1]]
    pairs = [tuple(pair) for pair in join_pieces(rest, of, touching).tolist()]
    assert {tuple(pair) for pair in touching.tolist()} <= set(pairs)
    assert twin.hangs_together(count, pairs)
    links = make_links(rest, of, touching)
    for a, b in pairs:
        rows = (links.one == a) & (links.other == b)
        wanted = twin.common_places(rest[of == a], rest[of == b], JOINTS)
        assert np.array_equal(links.place[rows], np.array(wanted)) and np.isclose(links.share[rows].sum(), 1.0)


def drawn(mesh: trimesh.Trimesh, shift: np.ndarray) -> np.ndarray:
    pose = posed()
    places = (np.asarray(mesh.vertices) + shift) @ pose[:3, :3].T + pose[:3, 3]
    return np.asarray(rasterize(places, mesh.faces.astype(np.int32), INTRINSICS, SIZE, SIZE).face >= 0)


def test_an_outline_moves_a_part_that_has_no_tracks_onto_it() -> None:
    ball = trimesh.creation.icosphere(3, 0.6)
    rest = np.asarray(ball.vertices, np.float64)
    part = np.zeros(len(rest), np.int64)
    shapes = PartShapes.of(rest, part)
    before = PartMotions(np.eye(3)[None], shapes.centre)
    shift = np.array([0.06, -0.04, 0.0])
    contours = Contours(ball.faces.astype(np.int32), part, drawn(ball, shift)[None], INTRINSICS)

    def outline(motions: PartMotions) -> Pulls:
        return contours.pulls(0, motions.move(rest, part, shapes), posed())

    asked = outline(before)
    assert np.abs(asked.miss).max() > 4.0 and asked.weight.sum() > 0.1
    nothing = Sightings(np.zeros((0, 3)), np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros(0), posed(), INTRINSICS)
    links = make_links(rest, part, np.zeros((0, 2), np.int64))
    found, _ = solve_coupled(shapes, links, before, np.zeros(1, bool), nothing, outline, rounds=40)
    left = outline(found)
    assert np.abs(left.miss).max() < 1.5
    across = np.eye(3) - np.outer(*[posed()[:3, :3].T @ [0, 0, 1.0]] * 2)
    assert np.linalg.norm(across @ (found.place[0] - shapes.centre[0] - shift)) < 0.012


def test_a_mesh_that_fills_its_mask_is_left_alone() -> None:
    ball = trimesh.creation.icosphere(3, 0.6)
    contours = Contours(
        ball.faces.astype(np.int32), np.zeros(len(ball.vertices), np.int64), drawn(ball, np.zeros(3))[None], INTRINSICS
    )
    asked = contours.pulls(0, np.asarray(ball.vertices), posed())
    assert np.abs(asked.miss).max() < 1.2
