"""One pose of the object's frame under a known camera: recovered exactly, rigid, and whole where frames are wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from attnchain_ros.camera.motion import CameraMotion
from attnchain_ros.camera.one_pose import fit_one_pose, match_pull, middle_of, outline_pull
from attnchain_ros.camera.poses import invert_pose, invert_poses
from attnchain_ros.camera.tracks3d import project
from attnchain_ros.errors import ShapeError
from attnchain_ros.lab.evaluation.cameras import rotation_errors_deg, translation_errors

from .test_outline import K, disturb, draw, orbit, shape

FRAMES = 6


def walk(seed: int, frames: int = FRAMES) -> np.ndarray:
    """fixed_from_camera [F, 4, 4] of a camera that turns and shifts anyhow, in metres."""
    rng = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, :3, :3] = Rotation.from_rotvec(rng.normal(0, 1, (frames, 3))).as_matrix()
    poses[:, :3, 3] = rng.normal(0, 2, (frames, 3))
    return poses


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, FRAMES - 1), st.sampled_from([0.2, 1.0, 3.0]))
def test_poses_follow_rigidly_from_any_of_them(seed: int, frame: int, metres: float) -> None:
    fixed_from_camera = walk(seed)
    fixed_from_object = walk(seed + 1, 1)[0]
    in_metres = invert_poses(fixed_from_camera) @ fixed_from_object
    truth = in_metres.copy()
    truth[:, :3, 3] /= metres  # object units
    motion = CameraMotion.of(fixed_from_camera, metres)
    found = motion.poses_from(truth[frame], frame, np.zeros((FRAMES, 3)), np.zeros(3))
    assert np.allclose(found, truth, atol=1e-9)
    assert np.allclose(np.linalg.det(found[:, :3, :3]), 1.0)
    # Without shifts the turns are the same, and the middle stays where it was seen.
    middle = np.array([0.1, -0.2, 0.3])
    centres = truth[:, :3, :3] @ middle + truth[:, :3, 3]
    turned = CameraMotion.of(fixed_from_camera, None).poses_from(truth[frame], frame, centres, middle)
    assert np.allclose(turned, truth, atol=1e-9)


def moving_scene(frames: int = FRAMES) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """True poses of a camera that goes round, vertices, faces and masks."""
    mesh = shape()
    truth = orbit(20.0 + 3.0 * np.arange(frames))
    truth[:, :3, 3] += np.linspace(0, 0.2, frames)[:, None] * [0.3, 0.2, 1.0]
    vertices = np.repeat(np.asarray(mesh.vertices)[None], frames, axis=0)
    return truth, vertices, np.asarray(mesh.faces), draw(truth, vertices, mesh.faces)


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("seed", range(2))
def test_outlines_of_all_frames_give_the_pose(seed: int, scaled: bool) -> None:
    truth, vertices, faces, masks = moving_scene()
    motion = CameraMotion.of(invert_poses(truth), 1.0 if scaled else None)
    starts = disturb(truth, 10.0, seed)
    pull = outline_pull((vertices, faces), K, masks)
    found = fit_one_pose(starts, 0, motion, pull, middle_of(vertices), None)
    assert rotation_errors_deg(found, truth).max() < 0.6
    assert translation_errors(found, truth).max() < 0.01
    # One pose: what the camera's motion leaves over is the same in all frames, exactly.
    left = np.swapaxes(motion.turns, 1, 2) @ found[:, :3, :3]
    assert np.abs(left - left[0]).max() < 1e-12
    assert np.allclose(np.linalg.det(found[:, :3, :3]), 1.0)


def test_a_mesh_that_turns_in_its_frame_does_not_take_the_camera_along() -> None:
    """The mesh takes half of the camera's turn, as generators do: free poses follow it, bound ones stay right."""
    truth, vertices, faces, masks = moving_scene()
    half = Rotation.from_rotvec(np.radians(-1.5 * np.arange(FRAMES))[:, None] * [0.1, 1.0, 0.05]).as_matrix()
    turned = np.einsum("fij,fvj->fvi", half, vertices)
    motion = CameraMotion.of(invert_poses(truth), 1.0)
    found = fit_one_pose(truth, 0, motion, outline_pull((turned, faces), K, masks), middle_of(turned), None)
    assert rotation_errors_deg(found, truth).max() < 2.0


def test_the_window_before_holds_the_pose() -> None:
    truth, vertices, faces, masks = moving_scene()
    wrong = vertices * (1.08, 0.94, 0.96)
    motion = CameraMotion.of(invert_poses(truth), 1.0)
    pull = outline_pull((wrong, faces), K, masks)
    starts = disturb(truth, 8.0, 3)
    alone = fit_one_pose(starts, 0, motion, pull, middle_of(wrong), None)
    held = fit_one_pose(starts, 0, motion, pull, middle_of(wrong), truth[0])
    assert rotation_errors_deg(held, truth)[0] < 0.8 * rotation_errors_deg(alone, truth)[0]


@pytest.mark.parametrize("scaled", [True, False])
def test_matches_give_the_pose_with_a_third_of_them_wrong(scaled: bool) -> None:
    rng = np.random.default_rng(0)
    truth = orbit(20.0 + 3.0 * np.arange(FRAMES))
    points = rng.uniform(-0.6, 0.6, (60, 3))
    matches = []
    for pose in truth:
        pixels = project(K, points @ pose[:3, :3].T + pose[:3, 3])
        pixels[:20] += rng.uniform(-60, 60, (20, 2))
        matches.append((points, pixels))
    motion = CameraMotion.of(invert_poses(truth), 1.0 if scaled else None)
    found = fit_one_pose(disturb(truth, 8.0, 1), 0, motion, match_pull(matches, K, np.zeros(3), 8.0), np.zeros(3), None)
    assert rotation_errors_deg(found, truth).max() < 0.5
    assert translation_errors(found, truth).max() < 0.02


def test_a_later_first_frame_is_started_from() -> None:
    truth, vertices, faces, masks = moving_scene()
    starts = disturb(truth, 5.0, 2)
    starts[:2] = truth[2] @ invert_pose(disturb(truth, 90.0, 5)[0])  # nothing that could be used
    motion = CameraMotion.of(invert_poses(truth), 1.0)
    found = fit_one_pose(starts, 2, motion, outline_pull((vertices, faces), K, masks), middle_of(vertices), None)
    assert rotation_errors_deg(found, truth).max() < 0.6


def test_sizes_are_checked() -> None:
    with pytest.raises(ShapeError, match="shifts"):
        CameraMotion(np.tile(np.eye(3), (3, 1, 1)), np.zeros((2, 3)))
    motion = CameraMotion(np.tile(np.eye(3), (3, 1, 1)))
    with pytest.raises(ShapeError, match="starts"):
        fit_one_pose(np.zeros((2, 4, 4)), 0, motion, lambda poses, gate: ([], []), np.zeros(3), None)
