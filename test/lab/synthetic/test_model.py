"""attnchain_ros.lab.synthetic.model: building blocks and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from attnchain_ros.errors import ConfigError
from attnchain_ros.lab.synthetic.model import (
    Model,
    boxes,
    capsules,
    join_solids,
    mirror_solids,
    tinted,
    turn_solids,
)
from attnchain_ros.lab.synthetic.solids import Solids, solid_distances

_POINTS = np.random.default_rng(0).uniform(-1, 1, (200, 3)).astype(np.float32)


def _some() -> Solids:
    return join_solids(
        boxes([(-0.5, -0.2, 0.1)], [(0.1, 0.3, 0.4)]),
        capsules(np.array([[0.1, 0.2, 0.3]]), np.array([[0.5, -0.4, 0.6]]), np.array([0.12])),
    )


def test_boxes_and_capsules_are_what_was_asked_for() -> None:
    found = solid_distances(
        np.array([[-0.5, 0, 0.2], [0.1, 0.3, 0.4], [0.3, 0, 0.2]]), boxes([(-0.5, -0.2, 0.1)], [(0.1, 0.3, 0.4)])
    )
    np.testing.assert_allclose(found[0], [0, 0, 0.2], atol=1e-6)
    for end in ([0.5, -0.4, 0.6], [0.1, 0.2, 0.9]):  # the second lies along z
        solid = capsules(np.array([[0.1, 0.2, 0.3]]), np.array([end]), np.array([0.12]))
        np.testing.assert_allclose(np.linalg.det(solid.axes), 1.0, atol=1e-12)
        ends = solid_distances(np.array([[0.1, 0.2, 0.3], end]), solid)[0]
        np.testing.assert_allclose(ends, -0.12, atol=5e-4)


def test_mirror_and_turn_move_the_solids_with_the_points() -> None:
    solids, flip = _some(), np.array([-1.0, 1, 1])
    mirrored = mirror_solids(solids)
    np.testing.assert_allclose(np.linalg.det(mirrored.axes), 1.0, atol=1e-12)
    np.testing.assert_allclose(solid_distances(_POINTS * flip, mirrored), solid_distances(_POINTS, solids), atol=2e-5)
    turn, pivot = Rotation.from_euler("xyz", [0.4, -1.0, 0.3]).as_matrix(), np.array([0.3, -0.2, 0.5])
    moved = (_POINTS - pivot) @ turn.T + pivot
    np.testing.assert_allclose(
        solid_distances(moved, turn_solids(solids, turn, pivot)), solid_distances(_POINTS, solids), atol=2e-5
    )


def test_scaling_scales_distances() -> None:
    model = Model(_some(), (-1, 0), np.zeros((2, 3)), np.zeros((2, 3), dtype=np.uint8), soft=False)
    scaled = model.scaled(1.5).solids
    np.testing.assert_allclose(
        solid_distances(1.5 * _POINTS, scaled), 1.5 * solid_distances(_POINTS, model.solids), atol=2e-5
    )


def test_tints_stay_near_the_base() -> None:
    base = np.full((30, 3), 200)
    colors = tinted(base, np.random.default_rng(0))
    assert colors.dtype == np.uint8 and 150 < colors.min() < colors.max() <= 255


@pytest.mark.parametrize(
    ("half", "radius"), [([0.5, 0.5, 0.5], 0.1), ([0.5, 0.5, 0.0], 0.0), ([0.0, 0.0, 0.0], 0.2), ([0.0, 0.5, 0.5], 0.0)]
)
def test_other_solids_are_refused(half: list[float], radius: float) -> None:
    solids = Solids(np.zeros((1, 3)), np.eye(3)[None], np.array([half]), np.array([radius]))
    with pytest.raises(ConfigError, match="part 0 has half extents"):
        Model(solids, (-1,), np.zeros((1, 3)), np.zeros((1, 3), dtype=np.uint8), soft=False)
