import numpy as np
import pytest

from attnchain_ros.errors import InputError, MeshError
from attnchain_ros.lab.reference import landmarks as twin
from attnchain_ros.mesh import landmarks


def bumpy(sphere, rng, subdivisions=2):
    vertices, faces = sphere(subdivisions)
    return (vertices * (1 + 0.2 * rng.random((len(vertices), 1)))).astype(np.float32), faces


def test_curvature_equals_twin(sphere, rng):
    vertices, faces = bumpy(sphere, rng)
    fast, slow = landmarks.vertex_curvature(vertices, faces), twin.vertex_curvature(vertices, faces)
    # arctan2 against arccos: arccos loses half the digits near 0, angles here are above 1e-2.
    assert np.abs(fast - slow).max() < 1e-9


def test_curvature_before_clipping_is_one_over_the_radius(sphere):
    # Two spheres, radii 1 and 0.25: mean curvatures 1 : 4. The small one has over 5 % of the vertices: it scales to 1.
    vertices, faces = sphere(3)
    both = np.concatenate([vertices, 0.25 * vertices + [3, 0, 0]]).astype(np.float32)
    curvature = landmarks.vertex_curvature(both, np.concatenate([faces, faces + len(vertices)]))
    # The icosphere's vertices differ by a few percent among themselves.
    assert np.median(curvature[len(vertices) :]) == pytest.approx(0.97, abs=0.03)
    assert np.median(curvature[: len(vertices)]) == pytest.approx(np.median(curvature[len(vertices) :]) / 4, rel=1e-3)
    assert curvature.min() > 0 and curvature.max() == 1


def test_flat_is_zero_and_few_sharp_edges_count(plane):
    vertices, faces = plane(20)
    assert (landmarks.vertex_curvature(vertices, faces) == 0).all()
    # Rounding noise is flat too.
    noise = vertices + np.float32(1e-7) * np.sin(np.arange(len(vertices)))[:, None].astype(np.float32)
    assert (landmarks.vertex_curvature(noise, faces) == 0).all()
    # A fold along one line of 21 of 441 vertices: below 5 %, yet found.
    folded = vertices.copy()
    folded[:, 2] = np.maximum(vertices[:, 0] - 0.5, 0)
    curvature = landmarks.vertex_curvature(folded, faces)
    on_fold = np.abs(vertices[:, 0] - 0.5) < 1e-6
    assert curvature[on_fold].min() > 0.4 and curvature[~on_fold].max() < 1e-6


@pytest.mark.parametrize("boost", [0.0, 2.0])
def test_landmarks_equal_twin(sphere, rng, boost):
    vertices, faces = bumpy(sphere, rng)
    two = np.concatenate([vertices, 0.3 * vertices[:42] + 2]), np.concatenate([faces, sphere(1)[1] + len(vertices)])
    fast = landmarks.pick_landmarks(*two, 25, boost)
    assert fast.tolist() == twin.pick_landmarks(*two, 25, boost).tolist()
    assert fast.tolist() == landmarks.pick_landmarks(*two, 25, boost).tolist()


def test_every_component_gets_one_and_loose_vertices_none(sphere):
    vertices, faces = sphere(1)
    parts = [scale * vertices + shift for scale, shift in ((1, 0), (0.01, 1.2), (0.01, 1.3))]
    mesh = np.concatenate([*parts, [[50, 50, 50]]]).astype(np.float32)
    all_faces = np.concatenate([faces + i * len(vertices) for i in range(3)])
    chosen = landmarks.pick_landmarks(mesh, all_faces, 5, 2.0)
    assert len(chosen) == 5 and len(set(chosen.tolist())) == 5
    assert set((chosen // len(vertices)).tolist()) == {0, 1, 2}


def test_more_components_than_landmarks(sphere, caplog):
    vertices, faces = sphere(1)
    mesh = np.concatenate([vertices, vertices + 3, vertices + 6])
    with caplog.at_level("WARNING"):
        chosen = landmarks.pick_landmarks(mesh, np.concatenate([faces + i * len(vertices) for i in range(3)]), 2, 2.0)
    assert len(chosen) == 2 and "3 components for 2 landmarks" in caplog.text


def test_more_landmarks_than_places():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]], np.float32)
    chosen = landmarks.pick_landmarks(vertices, np.array([[0, 1, 2], [3, 2, 1]]), 10, 2.0)
    assert len(chosen) == 3 and not {0, 3} <= set(chosen.tolist())


def test_boost_draws_landmarks_to_curvature(plane):
    vertices, faces = plane(30)
    vertices = vertices.copy()
    vertices[:, 2] = 0.1 * np.sin(40 * vertices[:, 0]) * (vertices[:, 0] > 0.7)
    share = [(vertices[landmarks.pick_landmarks(vertices, faces, 80, b), 0] > 0.7).mean() for b in (0.0, 2.0)]
    assert share[1] > share[0] + 0.1


def test_bad_input_is_refused(sphere):
    vertices, faces = sphere(1)
    with pytest.raises(InputError, match="0 landmarks"):
        landmarks.pick_landmarks(vertices, faces, 0, 2.0)
    with pytest.raises(MeshError, match="not finite"):
        landmarks.pick_landmarks(np.full_like(vertices, np.nan), faces, 4, 2.0)
