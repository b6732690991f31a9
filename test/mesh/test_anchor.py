import numpy as np
import pytest

from attnchain_ros.camera.poses import apply_pose
from attnchain_ros.errors import InputError, MeshError
from attnchain_ros.mesh.anchor import merge_duplicates, normalise_anchor
from attnchain_ros.mesh.components import connected_components, open_edges
from attnchain_ros.mesh.types import Mesh


def test_normalised_box_and_way_back(sphere, rotation):
    vertices, faces = sphere(2)
    user = Mesh((vertices * [1, 4, 2] * 250 + [1000, -3, 7]).astype(np.float32), faces)
    canonical, transform = normalise_anchor(user)
    # Results are rounded to float32: 1e-6 is some 8 units in the last place at 1.
    assert np.abs(canonical.vertices.min(0) + canonical.vertices.max(0)).max() < 1e-6
    assert np.ptp(canonical.vertices, axis=0).max() == pytest.approx(2, abs=1e-6)
    assert transform.scale == pytest.approx(2 / 2000, rel=1e-6)
    # 2000 units of length: float32 keeps 1e-7 of that.
    assert np.abs(apply_pose(transform.user_from_canonical, canonical.vertices) - user.vertices).max() < 5e-4

    turn = rotation([1, 2, 3], 1.1)
    turned, transform = normalise_anchor(user, turn)
    assert np.ptp(turned.vertices, axis=0).max() == pytest.approx(2, abs=1e-6)
    assert np.abs(apply_pose(transform.user_from_canonical, turned.vertices) - user.vertices).max() < 5e-4
    spread = turned.vertices - turned.vertices[0]
    expected = transform.scale * (user.vertices - user.vertices[0]) @ turn.T
    assert np.abs(spread - expected).max() < 1e-5


def test_bad_anchors_are_refused(sphere):
    vertices, faces = sphere(1)
    with pytest.raises(MeshError, match="one point"):
        normalise_anchor(Mesh(np.zeros_like(vertices), faces))
    with pytest.raises(InputError, match="determinant -1"):
        normalise_anchor(Mesh(vertices, faces), np.diag([1, 1, -1]))
    with pytest.raises(InputError, match="orthogonal"):
        normalise_anchor(Mesh(vertices, faces), 2 * np.eye(3))


def test_seams_are_welded_and_expand_back(sphere, rng):
    vertices, faces = sphere(1)
    # Every face gets corners of its own, as an exporter with flat normals writes them.
    split = vertices[faces].reshape(-1, 3)
    split[split == 0] *= rng.choice([-1, 1], (split == 0).sum())  # -0.0 is the same place as 0.0
    colors = rng.integers(0, 255, split.shape).astype(np.uint8)
    user = Mesh(split, np.arange(len(split), dtype=np.int32).reshape(-1, 3), colors)
    merged, expand = merge_duplicates(user)
    assert len(merged.vertices) == len(vertices)
    assert open_edges(merged.faces) == 0
    assert connected_components(merged.faces, len(merged.vertices)).max() == 0
    assert (merged.vertices[expand] == user.vertices).all()
    assert (expand[user.faces] == merged.faces).all()  # face i stays face i
    first = np.array([np.flatnonzero(expand == i)[0] for i in range(len(merged.vertices))])
    assert (np.diff(first) > 0).all()
    assert (merged.vertex_colors == colors[first]).all()
