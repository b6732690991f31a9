import numpy as np
import pytest
import torch

from attnchain_ros.errors import InputError, MeshError
from attnchain_ros.lab.reference import sampling as twin
from attnchain_ros.mesh import sampling


def test_samples_equal_twin(sphere):
    vertices, faces = sphere(1)
    fast = sampling.sample_surface(vertices, faces, 50, np.random.default_rng(3))
    slow = twin.sample_surface(vertices, faces, 50, np.random.default_rng(3))
    assert (fast[2] == slow[2]).all()
    for a, b in zip(fast, slow, strict=True):
        assert np.abs(a - b).max() < 1e-6  # float32 rounding of values up to 1


def test_samples_spread_by_area(rng):
    # Two triangles, areas 1 : 3, and one without area in between.
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 5], [3, 0, 5], [0, 1, 5]], np.float32)
    faces = np.array([[0, 1, 2], [0, 0, 1], [3, 4, 5]])
    points, normals, face, barycentric = sampling.sample_surface(vertices, faces, 40000, rng)
    # 3 standard deviations: sqrt(0.25 * 0.75 / 40000) = 0.0022.
    assert (face == 0).mean() == pytest.approx(0.25, abs=0.0065)
    assert not (face == 1).any()
    assert np.abs(barycentric.sum(axis=1) - 1).max() < 1e-6 and barycentric.min() >= 0
    # Uniform inside: the mean of the points of a triangle is its centroid; deviation 0.24 / sqrt(10000) per axis.
    assert np.abs(points[face == 0].mean(axis=0) - vertices[:3].mean(axis=0)).max() < 0.008
    assert (normals == [0, 0, 1]).all()
    rebuilt = np.einsum("nc,ncd->nd", barycentric, vertices[faces[face]])
    assert np.abs(rebuilt - points).max() < 1e-5


def test_samples_repeat_with_the_seed(sphere):
    vertices, faces = sphere(1)
    a, b, c = (sampling.sample_surface(vertices, faces, 20, np.random.default_rng(s))[0] for s in (1, 1, 2))
    assert (a == b).all() and (a != c).any()


def test_mesh_without_area_is_refused(rng):
    with pytest.raises(MeshError, match="zero area"):
        sampling.sample_surface(np.zeros((3, 3), np.float32), np.array([[0, 1, 2]]), 5, rng)


def test_farthest_points_equal_twin(rng):
    points = rng.normal(size=(120, 3))
    fast = sampling.farthest_points(torch.from_numpy(points), 40, start=5)
    assert fast.tolist() == twin.farthest_points(points, 40, start=5).tolist()


def test_farthest_points_ties_and_duplicates():
    # A 3 x 3 x 3 lattice, exact in float32, is full of ties; the first four points come twice.
    lattice = np.stack(np.meshgrid(*[np.arange(3.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    points = np.concatenate([lattice, lattice[:4]])
    fast = sampling.farthest_points(torch.from_numpy(points).float(), len(points))
    assert fast.tolist() == twin.farthest_points(points, len(points)).tolist()
    assert sorted(fast.tolist()) == list(range(len(points)))


def test_farthest_points_cover(rng):
    points = torch.from_numpy(rng.random((2000, 3)))
    chosen = points[sampling.farthest_points(points, 100)]
    apart = torch.cdist(chosen, chosen) + 9 * torch.eye(100, dtype=torch.float64)
    # Greedy: nobody is further from the chosen than the last two chosen are from each other.
    assert torch.cdist(points, chosen).amin(dim=1).max() <= apart.min() + 1e-12


def test_too_many_points_are_refused():
    with pytest.raises(InputError, match="5 points from 4"):
        sampling.farthest_points(torch.zeros(4, 3), 5)
