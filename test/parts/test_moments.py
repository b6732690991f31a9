"""Moments, energies, merging, robust motions, fusion and patches against their twins."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from attnchain_ros.errors import InputError, ShapeError
from attnchain_ros.lab.reference import parts as twin
from attnchain_ros.mesh.geodesic import surface_graph
from attnchain_ros.parts.fusion import Read, fuse_reads
from attnchain_ros.parts.merging import merge_patches
from attnchain_ros.parts.moments import best_trace, motion_moments, rigid_energies, rigid_motions
from attnchain_ros.parts.patches import Patches, make_patches
from attnchain_ros.parts.rigid import carry_landmarks, fit_parts


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(4)


def hinge(rng: np.random.Generator, frames: int = 6, noise: float = 0.004) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A row of 6 patches of 5 landmarks; the last 3 swing about z at x = 3, the first stay: rest, places, patch."""
    of = np.repeat(np.arange(6), 5)
    rest = np.column_stack([of + rng.uniform(0, 1, 30), rng.uniform(-0.5, 0.5, (30, 2))])
    places = np.repeat(rest[None], frames, axis=0)
    for frame in range(frames):
        turn = Rotation.from_euler("z", 0.15 * frame).as_matrix()
        swings = of >= 3
        places[frame, swings] = (rest[swings] - [3, 0, 0]) @ turn.T + [3, 0, 0]
    return rest, places + noise * rng.normal(size=places.shape), of


ROW = np.array([[0, 1], [1, 2], [2, 3], [3, 4], [4, 5]])


def test_moments_are_sums_over_landmarks(rng: np.random.Generator) -> None:
    rest, places, of = hinge(rng)
    weights = rng.uniform(0, 1, places.shape[:2])
    found = motion_moments(rest, places, weights, of, 6)
    assert np.allclose(found, twin.motion_moments(rest, places, weights, of, 6), rtol=1e-12)
    with pytest.raises(ShapeError):
        motion_moments(rest[:4], places, weights, of, 6)


def test_energies_and_motions_are_those_of_the_best_rigid_motion(rng: np.random.Generator) -> None:
    rest, places, of = hinge(rng, noise=0.1)
    weights = rng.uniform(0.1, 1, places.shape[:2])
    moments = motion_moments(rest, places, weights, of, 6)
    joined = moments[2] + moments[3]
    for frame in range(len(places)):
        rows = np.flatnonzero((of == 2) | (of == 3))
        wanted = twin.rigid_energy(rest[rows], places[frame, rows], weights[frame, rows])
        assert rigid_energies(joined)[frame] == pytest.approx(wanted, rel=1e-8)
        turn, shift = twin.rigid_motion(rest[rows], places[frame, rows], weights[frame, rows])
        found = rigid_motions(joined)
        assert np.allclose(found[0][frame], turn, atol=1e-9) and np.allclose(found[1][frame], shift, atol=1e-9)


@pytest.mark.parametrize(
    "sizes", [(1, 0.7, 0.3), (1, 1, 1), (1, 0.5, 0), (1, 0.5, -0.2), (1, 0, 0), (0, 0, 0), (1, 0.5, -0.5)]
)
def test_best_trace_is_the_sum_of_signed_singular_values(rng: np.random.Generator, sizes: tuple[float, ...]) -> None:
    left, right = Rotation.random(50, random_state=1).as_matrix(), Rotation.random(50, random_state=2).as_matrix()
    covariance = left @ np.diag(sizes) @ right
    assert np.allclose(best_trace(covariance), sum(sizes), atol=2e-8)


def test_merging_finds_the_hinge(rng: np.random.Generator) -> None:
    rest, places, of = hinge(rng, frames=12)
    weights = np.ones(places.shape[:2])
    label = merge_patches(motion_moments(rest, places, weights, of, 6), ROW, 2.5, 5)
    assert label.tolist() == [0, 0, 0, 1, 1, 1]
    assert np.array_equal(label, twin.merge_patches(rest, places, weights, of, ROW.tolist(), (2.5, 5)))


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.5, 4.0, 100.0])
def test_merging_against_the_twin(rng: np.random.Generator, ratio: float) -> None:
    rest, places, of = hinge(rng, noise=0.05)
    weights = rng.uniform(0.2, 1, places.shape[:2])
    found = merge_patches(motion_moments(rest, places, weights, of, 6), ROW, ratio, 4)
    assert np.array_equal(found, twin.merge_patches(rest, places, weights, of, ROW.tolist(), (ratio, 4)))


def test_patches_that_do_not_touch_stay_apart(rng: np.random.Generator) -> None:
    rest, _, of = hinge(rng)
    moments = motion_moments(rest, rest[None], np.ones((1, 30)), of, 6)
    assert merge_patches(moments, np.zeros((0, 2), np.int64), 9.0, 5).tolist() == list(range(6))


def test_robust_motions_against_the_twin_and_against_outliers(rng: np.random.Generator) -> None:
    rest, places, of = hinge(rng, frames=4)
    part = (of >= 3).astype(np.int64)
    true = places.copy()
    places[:, ::6] += rng.normal(size=places[:, ::6].shape)
    weights = rng.uniform(0.5, 1, places.shape[:2])
    turn, shift = fit_parts(rest, places, weights, part, 0.08)
    carried = carry_landmarks(rest, part, turn, shift)
    assert np.abs(carried - true).max() < 0.03
    for which in range(2):
        rows = part == which
        for frame in range(len(places)):
            one, other = twin.fit_part(rest[rows], places[frame, rows], weights[frame, rows], 0.08)
            assert np.allclose(turn[which, frame], one, atol=1e-7) and np.allclose(
                shift[which, frame], other, atol=1e-7
            )


def row_patches(rest: np.ndarray, of: np.ndarray) -> Patches:
    return Patches(rest, of, ROW, 6)


def test_fusion_against_the_twin(rng: np.random.Generator) -> None:
    rest, places, of = hinge(rng)
    reads = []
    for _ in range(2):
        valid = rng.uniform(size=places.shape[:2]) > 0.2
        reads.append(Read(places + 0.05 * rng.normal(size=places.shape), valid, rest, rng.uniform(0, 0.01, 30)))
    found = fuse_reads(reads, row_patches(rest, of), 0.75)
    wanted, variance = twin.fuse_reads([(r.points, r.valid, r.source, r.variance) for r in reads], of, 0.75)
    assert np.allclose(found.points, wanted, atol=1e-12) and np.allclose(found.variance, variance, rtol=1e-12)
    assert np.array_equal(found.found, reads[0].valid | reads[1].valid)


def test_a_read_from_a_doubtful_anchor_counts_less(rng: np.random.Generator) -> None:
    rest, places, of = hinge(rng)
    every = np.ones(places.shape[:2], bool)
    sure = Read(places, every, rest, np.zeros(30))
    doubtful = Read(places + 1.0, every, rest + 1.0, np.full(30, 0.05))
    found = fuse_reads([sure, doubtful], row_patches(rest, of), 0.0).points[0]
    assert np.abs(found - places[0]).max() < 0.1
    with pytest.raises(InputError, match="no read"):
        fuse_reads([], row_patches(rest, of), 0.75)


def test_patches_are_the_nearest_seeds_along_the_surface() -> None:
    side = 9
    y, x = np.mgrid[:side, :side]
    vertices = np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], axis=1).astype(np.float32)
    vertices = np.concatenate([vertices, vertices + np.float32([20, 0, 0])])
    cell = (y[:-1, :-1] * side + x[:-1, :-1]).ravel()
    faces = np.concatenate(
        [np.stack([cell, cell + 1, cell + side], 1), np.stack([cell + 1, cell + side + 1, cell + side], 1)]
    )
    faces = np.concatenate([faces, faces + side * side]).astype(np.int32)
    landmarks = np.arange(0, len(vertices), 3)
    found = make_patches(vertices, faces, landmarks, 6)
    graph = surface_graph(vertices, faces).tocoo()
    edges = dict(
        zip(zip(graph.coords[0].tolist(), graph.coords[1].tolist(), strict=True), graph.data.tolist(), strict=True)
    )
    left = landmarks < side * side
    assert not set(found.of[left]) & set(found.of[~left])
    assert set(found.of) == set(range(found.count))
    seeds = [int(landmarks[np.flatnonzero(found.of == patch)].min()) for patch in range(found.count)]
    assert len(set(seeds)) == found.count
    # No pair leads from one sheet to the other, and every patch touches some other one of its sheet.
    of_patch = {int(patch): bool(side_) for patch, side_ in zip(found.of, left, strict=True)}
    assert all(of_patch[int(a)] == of_patch[int(b)] for a, b in found.pairs)
    assert set(found.pairs.ravel().tolist()) == set(range(found.count))
    centre = make_patches(vertices, faces, landmarks, 1)
    assert centre.count == 2  # one wanted, but the other sheet needs one, too
    some = make_patches(vertices, faces, landmarks[:20], 4)
    first = [int(v) for v in some_seeds(vertices, faces, landmarks[:20], 4)]
    for row, landmark in enumerate(landmarks[:20].tolist()):
        wanted = twin.patch_of(vertices, edges, first, landmark)
        near = twin_distance(vertices, edges, first, landmark)
        assert some.of[row] == wanted or near[some.of[row]] == pytest.approx(near[wanted])


def some_seeds(vertices: np.ndarray, faces: np.ndarray, landmarks: np.ndarray, count: int) -> np.ndarray:
    import torch

    from attnchain_ros.mesh.sampling import farthest_points

    return landmarks[farthest_points(torch.from_numpy(vertices[landmarks]), count).numpy()]


def twin_distance(
    vertices: np.ndarray, edges: dict[tuple[int, int], float], seeds: list[int], landmark: int
) -> list[float]:
    from scipy.sparse import coo_array, csgraph

    rows = np.array(list(edges))
    graph = coo_array((list(edges.values()), (rows[:, 0], rows[:, 1])), shape=(len(vertices), len(vertices))).tocsr()
    return csgraph.dijkstra(graph, indices=landmark)[seeds].tolist()
