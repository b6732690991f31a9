"""A pose moved to fill a mask, against the pose that drew the mask."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from attnchain_ros.camera.raycast import rasterize
from attnchain_ros.camera.silhouette import fit_to_mask, mask_box

K = np.array([[300.0, 0, 159.5], [0, 310.0, 119.5], [0, 0, 1]])
SHAPE = trimesh.creation.box((1.6, 0.7, 0.5)).subdivide().subdivide()


def pose(turn_deg: float, shift: tuple[float, float, float]) -> np.ndarray:
    found = trimesh.transformations.rotation_matrix(np.radians(turn_deg), [0.2, 1.0, 0.1])
    found[:3, 3] = shift
    return found


def draw(camera_from_object: np.ndarray) -> np.ndarray:
    posed = SHAPE.vertices @ camera_from_object[:3, :3].T + camera_from_object[:3, 3]
    return rasterize(posed.astype(np.float32), SHAPE.faces, K, 240, 320).face >= 0


@pytest.mark.parametrize("wrong", [(0.3, -0.2, 1.2), (-0.4, 0.3, -0.7), (0.0, 0.0, 0.0)])
def test_a_shifted_camera_is_recovered(wrong: tuple[float, float, float]) -> None:
    truth = pose(35.0, (0.1, -0.1, 4.0))
    start = truth.copy()
    start[:3, 3] += wrong
    found = fit_to_mask(start, SHAPE.vertices, K, draw(truth))
    assert found is not None and np.array_equal(found[:3, :3], truth[:3, :3])
    # The mask is whole pixels: half a pixel of 120 is 0.4 % of the distance, and as much of a pixel's width sideways.
    assert np.abs(found[:2, 3] - truth[:2, 3]).max() < 0.01
    assert abs(found[2, 3] - truth[2, 3]) < 0.04


def test_what_cannot_be_repaired_is_left_alone() -> None:
    truth = pose(0.0, (0.0, 0.0, 4.0))
    mask = draw(truth)
    far = pose(0.0, (0.0, 0.0, 9.0))
    assert fit_to_mask(far, SHAPE.vertices, K, mask) is None
    behind = pose(0.0, (0.0, 0.0, -4.0))
    assert fit_to_mask(behind, SHAPE.vertices, K, mask) is None
    assert fit_to_mask(truth, SHAPE.vertices, K, np.zeros_like(mask)) is None
    cut = mask.copy()
    cut[100, 0] = True
    assert fit_to_mask(truth, SHAPE.vertices, K, cut) is None


def test_mask_box_runs_along_outer_edges() -> None:
    mask = np.zeros((10, 12), bool)
    mask[2:5, 3:9] = True
    assert mask_box(mask).tolist() == [2.5, 1.5, 8.5, 4.5]
