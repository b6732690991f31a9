import numpy as np
import pytest

from attnchain_ros.mesh.closing import make_manifold
from attnchain_ros.mesh.components import connected_components, open_edges

TETRAHEDRON = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])


def volume_of(vertices, faces):
    corners = vertices[faces]
    return np.einsum("ti,ti->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6


def test_manifold_stays_as_it_is(sphere):
    vertices, faces = sphere(1)
    places, same = make_manifold(vertices, faces)
    assert len(places) == len(vertices) and (places[same] == vertices[faces]).all()


@pytest.mark.parametrize("shared", [1, 2])
def test_bodies_that_touch_are_parted(shared):
    # Two tetrahedra with a common vertex, or with a common edge of four faces.
    rng = np.random.default_rng(0)
    vertices = np.concatenate([np.eye(4)[:, 1:], rng.random((4 - shared, 3)) - 2])
    second = np.concatenate([np.arange(shared), np.arange(4, 8 - shared)])
    faces = np.concatenate([TETRAHEDRON, second[TETRAHEDRON]])
    places, parted = make_manifold(vertices, faces)
    assert open_edges(parted) == 0
    assert volume_of(places, parted) == pytest.approx(volume_of(vertices, faces), rel=1e-12)
    if shared == 1:
        assert connected_components(parted, len(places)).max() == 1
        assert len(places) == 8


def test_faces_back_to_back_and_without_area_go(sphere):
    vertices, faces = sphere(1)
    fin = np.array([[0, 1, 20], [1, 0, 20], [3, 3, 9]])
    _, clean = make_manifold(vertices, np.concatenate([fin[:1], faces, fin[1:]]))
    assert len(clean) == len(faces) and open_edges(clean) == 0


def test_handle_pinched_to_an_edge_gets_a_vertex_in_its_middle():
    # A tube around the loop 0-1-2 collapsed: the same two vertices joined by two edges of one surface.
    ring = np.array([[0, 1], [1, 2], [2, 0]])
    top, bottom = 3, 4
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0.3, 0.3, 1], [0.3, 0.3, -1], [2, -2, 0], [2.5, -2, 0]])
    body = [[a, b, top] for a, b in ring] + [[b, a, bottom] for a, b in ring]
    # A bridge over edge 0-1 that starts and ends on that very edge.
    bridge = [[0, 1, 5], [1, 0, 6], [5, 1, 6], [0, 5, 6]]
    faces = np.array(body + bridge)
    assert open_edges(faces) > 0
    places, parted = make_manifold(vertices.astype(float), faces)
    assert open_edges(parted) == 0
    assert volume_of(places, parted) == pytest.approx(volume_of(vertices, faces), rel=1e-12)


def test_holes_and_turned_faces_are_not_closed_here(sphere):
    vertices, faces = sphere(1)
    assert make_manifold(vertices, faces[1:]) is None
    assert make_manifold(vertices, np.concatenate([faces[:1, ::-1], faces[1:]])) is None
    assert make_manifold(vertices, np.array([[1, 1, 2]])) is None


def test_random_identifications_come_out_closed(sphere, rng):
    # Gluing random vertices of a sphere together makes every kind of pinch.
    vertices, faces = sphere(2)
    for glued in (3, 20, 60):
        onto = np.arange(len(vertices))
        onto[rng.choice(len(vertices), glued, replace=False)] = rng.choice(len(vertices), glued)
        result = make_manifold(vertices[onto], onto[faces])
        assert result is not None and open_edges(result[1]) == 0
