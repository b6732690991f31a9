"""Poses from outlines: against the poses that drew the masks, and against the literal twin."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from attnchain_ros.camera.outline import (
    Misfit,
    MovingSurface,
    Outlines,
    PosedMesh,
    fit_to_outlines,
    mask_outline,
    rim_misfit,
)
from attnchain_ros.camera.raycast import rasterize
from attnchain_ros.errors import ShapeError
from attnchain_ros.lab.evaluation.cameras import rotation_errors_deg, translation_errors
from attnchain_ros.lab.reference import outline as twin

K = np.array([[260.0, 0, 99.5], [0, 250.0, 89.5], [0, 0, 1]])
SIZE = (180, 200)


def shape() -> trimesh.Trimesh:
    """A body with a limb to each side of other length, so that its outline tells every turn apart."""
    parts = [
        trimesh.creation.box((1.2, 0.5, 0.4)),
        trimesh.creation.box((0.2, 0.9, 0.2)),
        trimesh.creation.box((0.25, 0.2, 1.0)),
    ]
    parts[1].apply_translation((0.5, 0.5, 0.1))
    parts[2].apply_translation((-0.4, 0.1, 0.5))
    return trimesh.util.concatenate([part.subdivide().subdivide().subdivide() for part in parts])


def orbit(turns_deg: np.ndarray) -> np.ndarray:
    """Poses of a camera 3.4 away that goes round the object."""
    poses = np.stack(
        [trimesh.transformations.rotation_matrix(np.radians(turn), (0.1, 1.0, 0.05)) for turn in turns_deg]
    )
    tilt = trimesh.transformations.rotation_matrix(np.radians(200.0), (1.0, 0.0, 0.0))
    poses = np.stack([tilt @ pose for pose in poses])
    poses[:, :3, 3] = (0.05, -0.08, 3.4)
    return poses


def draw(poses: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    posed = np.einsum("fij,fvj->fvi", poses[:, :3, :3], vertices) + poses[:, None, :3, 3]
    return np.stack([rasterize(frame.astype(np.float32), faces, K, *SIZE).face >= 0 for frame in posed])


def disturb(poses: np.ndarray, turn_deg: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    found = poses.copy()
    for pose in found:
        axis = rng.normal(size=3)
        pose[:3, :3] = trimesh.transformations.rotation_matrix(np.radians(turn_deg), axis)[:3, :3] @ pose[:3, :3]
        pose[:3, 3] += rng.uniform(-0.05, 0.05, 3)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_poses_are_recovered_from_masks(seed: int) -> None:
    mesh = shape()
    truth = orbit(30.0 + 2.0 * np.arange(4))
    vertices = np.repeat(np.asarray(mesh.vertices)[None], 4, axis=0)
    masks = draw(truth, vertices, mesh.faces)
    start = disturb(truth, 12.0, seed)
    found = fit_to_outlines(start, (vertices, mesh.faces), K, masks, 5.0)
    # Masks of whole pixels, 90 px of object: a fifth of a pixel at its ends is 0.3 degrees.
    assert rotation_errors_deg(found, truth).max() < 0.8
    assert translation_errors(found, truth).max() < 0.01
    assert np.allclose(np.linalg.det(found[:, :3, :3]), 1.0)


def test_frames_hold_each_other() -> None:
    """A frame whose mesh is wrong, and one with an empty mask, are carried by their neighbours."""
    mesh = shape()
    truth = orbit(np.full(5, 25.0))
    vertices = np.repeat(np.asarray(mesh.vertices)[None], 5, axis=0)
    masks = draw(truth, vertices, mesh.faces)
    masks[4] = False
    wrong = vertices.copy()
    wrong[2] *= (1.25, 0.8, 0.9)
    start = disturb(truth, 10.0, 7)
    alone = fit_to_outlines(start, (wrong, mesh.faces), K, masks, 90.0)
    held = fit_to_outlines(start, (wrong, mesh.faces), K, masks, 0.2)
    assert rotation_errors_deg(alone, truth)[2] > 3.0
    assert rotation_errors_deg(held, truth).max() < 1.0
    assert rotation_errors_deg(alone, truth)[4] > 3.0


def test_the_window_before_holds_the_first_frame() -> None:
    mesh = shape()
    truth = orbit(np.full(2, 25.0))
    vertices = np.repeat(np.asarray(mesh.vertices)[None] * (1.08, 0.94, 0.96), 2, axis=0)
    masks = draw(truth, np.repeat(np.asarray(mesh.vertices)[None], 2, axis=0), mesh.faces)
    start = disturb(truth, 8.0, 3)
    free = fit_to_outlines(start, (vertices, mesh.faces), K, masks, 0.3)
    held = fit_to_outlines(start, (vertices, mesh.faces), K, masks, 0.3, before=truth[0])
    assert rotation_errors_deg(held, truth)[0] < 0.6 * rotation_errors_deg(free, truth)[0]


@pytest.mark.parametrize("nearer", [0.0, 3.2])
def test_rim_misfit_equals_its_twin(nearer: float) -> None:
    """At 3.2 nearer the camera is inside the object: part of it is behind the camera and takes no part."""
    mesh = shape()
    pose = orbit(np.array([40.0]))
    mask = draw(pose, np.asarray(mesh.vertices)[None], mesh.faces)[0]
    moved = disturb(pose, 6.0, 1)
    moved[0, 2, 3] -= nearer
    surface = MovingSurface.of(np.asarray(mesh.vertices)[None], mesh.faces)
    body, size, gate = surface.body(moved), 90.0, 9.0
    posed = PosedMesh(surface.rim(moved), body, body.mean(axis=1))
    fast = rim_misfit(posed, K, Outlines.of(mask[None], 40), size, gate)
    slow = twin.rim_misfit(posed, K, mask_outline(mask, 40), size, gate, 0.1)
    for part, rows_of_twin in zip(fast, slow, strict=True):
        assert len(part.residual) == len(rows_of_twin)
        assert np.isfinite(part.residual).all()
        assert nearer or len(part.residual) > 10
        assert np.allclose(part.residual, [row[0] for row in rows_of_twin], atol=1e-9)
        # Finite differences of step 1e-6 on values of about 100 px: about 1e-7 of rounding, 1e-4 relative to spare.
        assert np.allclose(part.jacobian, [row[1] for row in rows_of_twin], rtol=1e-5, atol=1e-4)
        assert np.allclose(part.weight, [row[2] for row in rows_of_twin], atol=1e-9)


def test_frames_together_are_frames_alone() -> None:
    """Of three frames one has an empty mask and one lies behind the camera: neither takes part, nor harms the other."""
    mesh = shape()
    truth = orbit(np.array([40.0, 50.0, 60.0]))
    vertices = np.repeat(np.asarray(mesh.vertices)[None], 3, axis=0) * np.array([1.0, 1.1, 0.9])[:, None, None]
    masks = draw(truth, vertices, mesh.faces)
    masks[1] = False
    moved = disturb(truth, 6.0, 1)
    moved[2, 2, 3] = -3.0

    def misfit(frames: slice) -> tuple[Misfit, Misfit]:
        surface = MovingSurface.of(vertices[frames], mesh.faces)
        body = surface.body(moved[frames])
        posed = PosedMesh(surface.rim(moved[frames]), body, body.mean(axis=1))
        return rim_misfit(posed, K, Outlines.of(masks[frames], 40), 90.0, 9.0)

    together = [part.by_frame(3) for part in misfit(slice(0, 3))]
    for frame in range(3):
        for parts, alone in zip(together, misfit(slice(frame, frame + 1)), strict=True):
            assert np.allclose(parts[frame].residual, alone.residual, atol=1e-9)
            assert np.allclose(parts[frame].jacobian, alone.jacobian, atol=1e-9)
            assert np.allclose(parts[frame].weight, alone.weight, atol=1e-12)
    assert len(together[0][0].residual) > 30 and not len(together[0][1].residual) + len(together[0][2].residual)


def test_rim_equals_its_twin() -> None:
    ball = trimesh.creation.icosphere(2)
    pose = orbit(np.array([10.0]))
    found = MovingSurface.of(np.asarray(ball.vertices)[None], ball.faces).rim(pose)
    expected = np.stack(list(twin.find_rim(ball.vertices, ball.faces, pose[0]).values()))
    order, twins = np.lexsort(found.points.T), np.lexsort(expected[:, 0].T)
    assert len(order) == len(twins) > 10
    assert np.allclose(found.points[order], expected[twins, 0], atol=1e-12)
    assert np.allclose(found.normals[order], expected[twins, 1], atol=1e-9)
    rays = found.points / np.linalg.norm(found.points, axis=1, keepdims=True)
    # The plane through an edge and the camera: at the edge's middle the ray lies in it but for the edge's own length.
    assert np.abs((found.normals * rays).sum(axis=1)).max() < 0.02


def test_open_edges_are_rim() -> None:
    vertices = np.array([[[-0.5, -0.5, 0.0], [0.5, -0.5, 0.0], [0.5, 0.5, 0.0], [-0.5, 0.5, 0.0]]])
    surface = MovingSurface.of(vertices, np.array([[0, 1, 2], [0, 2, 3]]))
    pose = np.eye(4)[None]
    pose[0, 2, 3] = 3.0
    assert len(surface.rim(pose).points) == 4


def test_outline_runs_along_the_edge_and_not_along_the_border() -> None:
    mask = np.zeros((40, 50), bool)
    mask[10:30, 20:50] = True
    found = mask_outline(mask)
    assert found.points[:, 0].max() < 48.5
    left = found.points[np.abs(found.points[:, 1] - 20) < 5]
    left = left[left[:, 0] < 25]
    assert np.allclose(left[:, 0], 19.5, atol=0.05)
    assert mask_outline(np.zeros((40, 50), bool)).points.shape == (0, 2)


@pytest.mark.parametrize("depth", [0.3, 0.0, -0.3, -3.4, np.nan])
def test_objects_around_and_behind_the_camera(depth: float) -> None:
    """Such poses come from attention that lies: the fit ends well, with poses that are finite or as they came."""
    mesh = shape()
    vertices = np.repeat(np.asarray(mesh.vertices)[None], 2, axis=0)
    truth = orbit(np.array([0.0, 5.0]))
    start = truth.copy()
    start[:, 2, 3] = depth
    masks = draw(truth, vertices, mesh.faces)
    found = fit_to_outlines(start, (vertices, mesh.faces), K, masks, 1.0)
    assert np.isfinite(found).all() or np.array_equal(found, start, equal_nan=True)
    one_lies = np.stack([truth[0], start[1]])
    found = fit_to_outlines(one_lies, (vertices, mesh.faces), K, masks, 1.0)
    assert np.isfinite(found).all() or np.array_equal(found, one_lies, equal_nan=True)
    found = fit_to_outlines(start[:1], (vertices[:1], mesh.faces), K, masks[:1], 1.0)
    assert np.isfinite(found).all() or np.array_equal(found, start[:1], equal_nan=True)


def test_a_fit_that_does_not_help_is_refused() -> None:
    """Nothing in the mask: the poses come back as they were."""
    mesh = shape()
    vertices = np.asarray(mesh.vertices)[None]
    pose = orbit(np.array([0.0]))
    empty = np.zeros((1, *SIZE), bool)
    assert np.array_equal(fit_to_outlines(pose, (vertices, mesh.faces), K, empty, 1.0), pose)
    with pytest.raises(ShapeError, match="masks"):
        fit_to_outlines(pose, (vertices, mesh.faces), K, empty[0], 1.0)
