"""Pieces that face inwards: found where there is an inside, and never where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from attnchain_ros.mesh.anchor import anchor_facts, lay_anchor, normalise_anchor
from attnchain_ros.mesh.orientation import inward_faces
from attnchain_ros.mesh.types import Mesh


def ball(radius: float = 1.0, at: tuple[float, float, float] = (0, 0, 0), inside_out: bool = False) -> trimesh.Trimesh:
    found = trimesh.creation.icosphere(subdivisions=1, radius=radius)
    found.apply_translation(at)
    if inside_out:
        found.invert()
    return found


def joined(*parts: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, faces, and the part of each face."""
    starts = np.cumsum([0] + [len(part.vertices) for part in parts])
    faces = np.concatenate([part.faces + start for part, start in zip(parts, starts[:-1], strict=True)])
    owner = np.repeat(np.arange(len(parts)), [len(part.faces) for part in parts])
    return np.concatenate([part.vertices for part in parts]), faces, owner


def test_a_piece_that_is_inside_out_is_found() -> None:
    vertices, faces, owner = joined(ball(), ball(0.5, (3, 0, 0), inside_out=True), ball(0.5, (0, 3, 0)))
    assert np.array_equal(inward_faces(vertices, faces), owner == 1)


def test_the_inner_wall_of_a_hollow_thing_faces_inwards_rightly() -> None:
    hollow = ball(), ball(0.5, inside_out=True)
    assert not inward_faces(*joined(*hollow)[:2]).any()
    vertices, faces, owner = joined(ball(inside_out=True), ball(0.5))
    assert np.array_equal(inward_faces(vertices, faces), owner == 0), "the outer wall alone is known to be wrong"


def test_what_is_open_has_no_inside() -> None:
    opened = ball(inside_out=True)
    opened.update_faces(np.arange(len(opened.faces)) > 0)
    vertices, faces, owner = joined(opened, ball(0.5, (3, 0, 0), inside_out=True))
    assert np.array_equal(inward_faces(vertices, faces), owner == 1)
    assert not inward_faces(np.eye(3), np.array([[0, 1, 2]])).any()


def test_far_from_the_origin() -> None:
    for inside_out in (False, True):
        vertices, faces, _ = joined(ball(0.01, (1e5, -2e5, 3e5), inside_out))
        assert inward_faces(vertices, faces).all() == inside_out


@settings(max_examples=30, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_as_many_as_trimesh_finds_by_the_volume_of_each_piece(flips: list[bool], seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [ball(0.4, (2.0 * number, *rng.normal(size=2)), flip) for number, flip in enumerate(flips)]
    vertices, faces, _ = joined(*parts)
    order = rng.permutation(len(faces))
    faces = np.roll(faces[order], rng.integers(3), axis=1)
    wanted = sum(
        len(piece.faces) for piece in trimesh.Trimesh(vertices, faces, process=False).split() if piece.volume < 0
    )
    found = inward_faces(vertices, faces)
    assert found.sum() == wanted
    turned = np.where(found[:, None], faces[:, ::-1], faces)
    assert not inward_faces(vertices, turned).any(), "once turned, all face outwards"


def test_an_anchor_is_turned_outward_and_told() -> None:
    vertices, faces, owner = joined(ball(), ball(0.5, (3, 0, 0), inside_out=True))
    user = Mesh(vertices.astype(np.float32), faces.astype(np.int32))
    laid = lay_anchor(user)
    assert laid.turned == (owner == 1).sum()
    assert np.array_equal(laid.faces[owner == 0], user.faces[owner == 0])
    assert np.array_equal(laid.faces[owner == 1], user.faces[owner == 1][:, ::-1])
    assert np.array_equal(laid.expand[laid.faces], laid.mesh.faces), "face i stays face i"
    facts = anchor_facts(laid)
    assert (facts.vertices, facts.triangles, facts.components) == (84, 160, 2) and facts.watertight
    assert facts.longest_side == pytest.approx(np.ptp(vertices, axis=0).max(), rel=1e-6)
    assert "80 triangles faced inwards and were turned" in facts.describe()


def test_an_anchor_that_is_right_stays_as_it_is() -> None:
    vertices, faces, _ = joined(ball(2.0))
    user = Mesh(vertices.astype(np.float32), faces.astype(np.int32)[1:])
    laid = lay_anchor(user)
    canonical, transform = normalise_anchor(user)
    assert laid.turned == 0 and np.array_equal(laid.faces, user.faces)
    assert np.array_equal(laid.mesh.vertices[laid.expand], canonical.vertices)
    assert np.array_equal(laid.user_from_object, transform.user_from_canonical)
    facts = anchor_facts(laid)
    assert facts.open_edges == 3 and not facts.watertight and "not watertight (3 open edges)" in facts.describe()
