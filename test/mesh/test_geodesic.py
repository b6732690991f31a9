import numpy as np
import pytest

from attnchain_ros.errors import InputError, MeshError
from attnchain_ros.lab.reference import geodesic as twin
from attnchain_ros.mesh import geodesic
from attnchain_ros.mesh.landmarks import pick_landmarks


def dense(weights: geodesic.SkinningWeights, landmarks: int) -> np.ndarray:
    full = np.zeros((len(weights.index), landmarks))
    np.add.at(full, (np.arange(len(full))[:, None], weights.index), weights.weight)
    return full


def test_distances_equal_twin(sphere, rng):
    vertices, faces = sphere(2)
    vertices = (vertices * (1 + 0.3 * rng.random((len(vertices), 1)))).astype(np.float32)
    both = np.concatenate([vertices, vertices + 5]), np.concatenate([faces, faces + len(vertices)])
    sources = np.array([0, 17, 200])
    fast, slow = geodesic.geodesic_distances(*both, sources), twin.geodesic_distances(*both, sources)
    assert (np.isinf(fast) == np.isinf(slow)).all() and np.isinf(fast).mean() == 0.5
    # Rounded to float32 at the end: 2e-7 relative.
    reached = np.isfinite(slow)
    assert np.abs(fast[reached] - slow[reached]).max() < 5e-7 * slow[reached].max()


@pytest.mark.parametrize("k", [1, 7, 40, 300])
def test_groups_of_landmarks_find_what_a_full_search_finds(sphere, bar, rng, k, monkeypatch):
    """Thick and thin, apart and with few landmarks: a ball with a dense corner, a bar, and a ball with four."""
    ball, rod, small = sphere(4), bar(4.0, 120), sphere(2)
    starts = np.cumsum([0, len(ball[0]), len(rod[0])])
    vertices = np.concatenate([ball[0], rod[0] + 3, small[0] + 9]).astype(np.float32)
    faces = np.concatenate([part[1] + start for part, start in zip((ball, rod, small), starts, strict=True)])
    dense = np.flatnonzero(ball[0][:, 0] > 0.8)
    places = np.concatenate(
        [
            rng.choice(dense, 60, replace=False),
            rng.choice(np.flatnonzero(ball[0][:, 0] < 0.5), 60, replace=False),
            starts[1] + rng.choice(len(rod[0]), 60, replace=False),
            starts[2] + rng.choice(len(small[0]), 4, replace=False),
        ]
    )
    table = geodesic.geodesic_distances(vertices, faces, places)
    order = np.argsort(table, axis=0, kind="stable")[:k].T
    expected = np.take_along_axis(table.T, order, axis=1)
    visited = []
    search = geodesic.csgraph.dijkstra

    def counted(graph, indices, **options):
        visited.append(graph.shape[0] * np.size(indices))
        return search(graph, indices=indices, **options)

    monkeypatch.setattr(geodesic.csgraph, "dijkstra", counted)
    index, distance = geodesic.nearest_landmarks(vertices, faces, places, k)
    reached = np.isfinite(expected)
    assert index.shape == (len(vertices), min(k, 184)) and (np.isfinite(distance) == reached).all()
    assert np.abs(distance[reached] - expected[reached]).max() < 1e-6
    assert (index == order)[reached].mean() > 0.999, "all but ties"
    if k == 7:
        assert sum(visited) < 0.5 * table.size, "far fewer than from every landmark to every vertex"
    assert max(visited) <= len(vertices), "one landmark a call, between which other threads of the process run"


def test_error_on_the_plane(plane):
    vertices, faces = plane(20)
    distances = geodesic.geodesic_distances(vertices, faces, np.array([0, 220]))
    true = np.linalg.norm(vertices[None] - vertices[[0, 220]][:, None], axis=2)
    excess = (distances / np.maximum(true, 1e-9) - 1)[true > 0]
    # With shortcuts steps go at 0, 26.6, 45, 63.4, 90 and 135 degrees (the squares are cut at 45). Half way between 90
    # and 135 a path is too long by 1 / cos(22.5 degrees) - 1 = 8.24 %. With edges alone 135 is missing: 41 %.
    assert excess.min() > -1e-6
    assert excess.max() < 0.0825
    assert excess.mean() < 0.03


def test_error_on_the_sphere(sphere):
    vertices, faces = sphere(4)
    distances = geodesic.geodesic_distances(vertices, faces, np.array([0]))[0]
    true = np.arccos(np.clip(vertices.astype(np.float64) @ vertices[0], -1, 1))
    excess = (distances / np.maximum(true, 1e-9) - 1)[true > 0.2]
    # Measured: -0.05 % (chords are shorter than arcs) to 4.9 %, mean 2.3 %. Edges of equal triangles alone: up to 15 %.
    assert excess.min() > -1e-3
    assert excess.max() < 0.05 and excess.mean() < 0.025


def test_limit_only_hides_what_is_further(sphere):
    vertices, faces = sphere(3)
    full = geodesic.geodesic_distances(vertices, faces, np.array([3]))
    near = geodesic.geodesic_distances(vertices, faces, np.array([3]), limit=1.0)
    assert (near[full <= 1.0] == full[full <= 1.0]).all() and np.isinf(near[full > 1.0]).all()


@pytest.mark.parametrize("uneven", [False, True])
def test_nearest_landmarks_equal_sorting_all(sphere, rng, uneven):
    vertices, faces = sphere(3)
    vertices = (vertices * (1 + 0.05 * rng.random((len(vertices), 1)))).astype(np.float32)
    # Uneven: nearly all landmarks in one corner, so that the first limit is far too short for the others.
    pool = np.flatnonzero(vertices[:, 0] > 0.6) if uneven else np.arange(len(vertices))
    places = np.concatenate([rng.choice(pool, 40, replace=False), [np.argmin(vertices[:, 0])]])
    index, distance = geodesic.nearest_landmarks(vertices, faces, places, 12)
    slow_index, slow_distance = twin.nearest_landmarks(vertices, faces, places, 12)
    assert np.abs(distance - slow_distance).max() < 1e-6
    # Distances are distinct here but for float32 rounding; compare where neighbours in rank are clearly apart.
    clear = np.diff(slow_distance, axis=1, append=np.inf) > 1e-5
    clear &= np.diff(slow_distance, axis=1, prepend=-np.inf) > 1e-5
    clear[:, -1] = False
    assert (index == slow_index)[clear].all() and clear.mean() > 0.8


def test_weights_equal_twin(sphere, rng):
    vertices, faces = sphere(2)
    vertices = (vertices * (1 + 0.3 * rng.random((len(vertices), 1)))).astype(np.float32)
    # The second, small part has fewer landmarks than OWN_LANDMARKS and must look across.
    mesh = np.concatenate([vertices, 0.1 * sphere(1)[0] + 2]), np.concatenate([faces, sphere(1)[1] + len(vertices)])
    places = np.concatenate([rng.choice(len(vertices), 20, replace=False), len(vertices) + np.array([3, 30])])
    fast = geodesic.skinning_weights(*mesh, places, 10, 2.0)
    slow = twin.skinning_weights(*mesh, places, 10, 2.0)
    assert fast.index.shape == fast.weight.shape == (len(mesh[0]), 10)
    assert np.abs(dense(fast, 22) - slow).max() < 1e-5
    assert np.abs(fast.weight.sum(axis=1) - 1).max() < 1e-6


def test_parts_with_landmarks_of_their_own_do_not_listen_to_others(sphere):
    # Two spheres that nearly touch, each with 30 of the 60 landmarks, and 50 neighbours wanted.
    vertices, faces = sphere(3)
    mesh = np.concatenate([vertices, vertices + np.float32([2.01, 0, 0])]).astype(np.float32)
    faces = np.concatenate([faces, faces + len(vertices)])
    places = np.concatenate([pick_landmarks(mesh, faces[: len(faces) // 2], 30, 0.0)] * 2)
    places[30:] += len(vertices)
    weights = dense(geodesic.skinning_weights(mesh, faces, places, 50, 2.0), 60)
    assert weights[: len(vertices), 30:].max() == 0 and weights[len(vertices) :, :30].max() == 0


def test_vertex_far_from_every_landmark_still_has_weights(bar):
    vertices, faces = bar(20.0, 101)
    # Spacing about 0.1 at one end: the other is 70 sigma away, where a plain Gaussian underflows.
    weights = geodesic.skinning_weights(vertices, faces, np.arange(16), 8, 2.0)
    assert np.isfinite(weights.weight).all() and np.abs(weights.weight.sum(axis=1) - 1).max() < 1e-6


def test_one_landmark_moves_all(sphere):
    weights = geodesic.skinning_weights(*sphere(1), np.array([4]), 120, 2.0)
    assert (weights.index == 0).all() and (weights.weight == 1).all()


def test_faces_without_area_and_doubled_places(sphere):
    vertices, faces = sphere(1)
    mesh = np.concatenate([vertices, vertices[:1]])
    extra = np.array([[0, len(vertices), 5], [7, 7, 8]], np.int32)
    distances = geodesic.geodesic_distances(mesh, np.concatenate([faces, extra]), np.array([0]))
    assert np.isfinite(distances).all() and distances[0, -1] < 1e-6


def test_bad_input_is_refused(sphere):
    vertices, faces = sphere(1)
    with pytest.raises(InputError, match="distinct"):
        geodesic.skinning_weights(vertices, faces, np.array([1, 1]), 4, 2.0)
    with pytest.raises(InputError, match="42"):
        geodesic.geodesic_distances(vertices, faces, np.array([42]))
    with pytest.raises(MeshError):
        geodesic.geodesic_distances(vertices, faces + 1, np.array([0]))
