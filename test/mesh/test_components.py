import numpy as np
import pytest

from attnchain_ros.errors import MeshError
from attnchain_ros.mesh.components import connected_components, keep_large_components, open_edges
from attnchain_ros.mesh.types import Mesh


def two_spheres(sphere, scale):
    vertices, faces = sphere(1)
    both = np.concatenate([vertices, scale * vertices + 3, [[9, 9, 9]]]).astype(np.float32)
    colors = np.arange(len(both) * 3).reshape(-1, 3).astype(np.uint8)
    return Mesh(both, np.concatenate([faces, faces + len(vertices)]), colors), len(vertices)


def test_labels_follow_faces_not_places(sphere):
    mesh, size = two_spheres(sphere, 1.0)
    labels = connected_components(mesh.faces, len(mesh.vertices))
    assert labels.tolist() == [0] * size + [1] * size + [2]


def test_labels_do_not_depend_on_face_order(sphere, rng):
    mesh, _ = two_spheres(sphere, 1.0)
    shuffled = rng.permutation(mesh.faces)
    count = len(mesh.vertices)
    assert (connected_components(shuffled, count) == connected_components(mesh.faces, count)).all()


def test_small_components_go_by_area(sphere):
    mesh, size = two_spheres(sphere, 0.2)  # area 4 % of the other's
    assert len(keep_large_components(mesh, 0.03).vertices) == 2 * size  # the vertex without faces goes
    large = keep_large_components(mesh, 0.05)
    assert (large.vertices == mesh.vertices[:size]).all()
    assert (large.vertex_colors == mesh.vertex_colors[:size]).all()
    assert open_edges(large.faces) == 0


def test_open_edges_counts_holes_flips_and_doubles(sphere):
    _, faces = sphere(1)
    assert open_edges(faces) == 0
    assert open_edges(faces[1:]) == 3
    assert open_edges(np.concatenate([faces[:1, ::-1], faces[1:]])) > 0
    assert open_edges(np.concatenate([faces, faces[:1]])) > 0
    with pytest.raises(MeshError):
        open_edges(faces[:0])
