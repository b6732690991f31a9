"""Poses that left the object are brought back by its outlines; those that did not stay."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from attnchain_ros.camera.crop import union_crop
from attnchain_ros.config import CameraConfig
from attnchain_ros.lab.evaluation.cameras import rotation_errors_deg
from attnchain_ros.lab.synthetic import Clip, ClipConfig, split_clip
from attnchain_ros.mesh.types import Mesh
from attnchain_ros.rollout.holding import hold_by_outlines, lead_to
from attnchain_ros.rollout.window import CameraTrack

OUTLINE = CameraConfig(refine="outline")


@pytest.fixture(scope="module")
def clip() -> Clip:
    return split_clip("validation", 10, ClipConfig(frames=6, image_size=128, camera="orbit"))


def trace_of(clip: Clip, masks: np.ndarray | None = None) -> Any:
    """What ``hold_by_outlines`` hears of a trace."""
    seen = clip.masks if masks is None else masks
    anchor = SimpleNamespace(
        mesh=Mesh(clip.vertices[0], clip.faces), colors=clip.part_colors[clip.vertex_part],
        expand=np.arange(len(clip.vertices[0])),
    )  # fmt: skip
    return SimpleNamespace(
        frames=len(seen), crop=union_crop(seen, 0.1, 128), intrinsics=clip.intrinsics,
        window=SimpleNamespace(images=clip.images, masks=seen), state=SimpleNamespace(anchor=anchor),
    )  # fmt: skip


def track_of(clip: Clip, poses: np.ndarray) -> CameraTrack:
    count = len(poses)
    return CameraTrack(clip.intrinsics, True, poses, np.ones(count, bool), np.full(count, 50, np.int32),
                       np.ones(count, np.float32))  # fmt: skip


def test_poses_that_fit_are_left_alone(clip: Clip) -> None:
    camera = track_of(clip, clip.camera_from_object)
    assert hold_by_outlines(trace_of(clip), clip.vertices, camera, OUTLINE) is camera
    away = clip.camera_from_object.copy()
    away[:, 2, 3] *= 1.5
    lost = track_of(clip, away)
    assert hold_by_outlines(trace_of(clip), clip.vertices, lost, CameraConfig(refine="none")) is lost


def test_a_camera_that_ran_away_is_brought_back(clip: Clip) -> None:
    true = clip.camera_from_object
    for factor in (1.3, 0.7):
        away = true.copy()
        away[:, 2, 3] = true[:, 2, 3] * np.linspace(1.0, factor, len(true))
        held = hold_by_outlines(trace_of(clip), clip.vertices, track_of(clip, away), OUTLINE).camera_from_object
        off = np.abs(held[:, 2, 3] / true[:, 2, 3] - 1)
        assert off[-1] < 0.04 < abs(factor - 1) and rotation_errors_deg(held, true).max() < 6


def test_an_object_that_was_lost_is_looked_for_on_all_sides(clip: Clip) -> None:
    """The poses turn away by 100 degrees, farther than an outline leads back."""
    true = clip.camera_from_object
    away = true.copy()
    for number, degrees in enumerate(np.linspace(0, 100, len(true))):
        away[number, :3, :3] = true[number, :3, :3] @ Rotation.from_euler("y", degrees, degrees=True).as_matrix()
    held = hold_by_outlines(trace_of(clip), clip.vertices, track_of(clip, away), OUTLINE).camera_from_object
    assert rotation_errors_deg(away, true)[-1] > 99
    assert rotation_errors_deg(held, true)[-1] < 6


def test_what_an_occluder_hides_does_not_move_the_poses(clip: Clip) -> None:
    masks = clip.masks.copy()
    columns = np.flatnonzero(masks.any(axis=(0, 1)))
    masks[1:, :, columns[0] : columns[0] + len(columns) // 3] = False
    camera = track_of(clip, clip.camera_from_object)
    assert hold_by_outlines(trace_of(clip, masks), clip.vertices, camera, OUTLINE) is camera


def test_a_correction_is_spread_over_the_window(clip: Clip) -> None:
    poses = np.repeat(clip.camera_from_object[:1], 5, axis=0)
    last = poses[0].copy()
    last[:3, :3] = Rotation.from_euler("x", 40, degrees=True).as_matrix() @ last[:3, :3]
    last[2, 3] += 0.4
    led = lead_to(poses, last)
    assert np.allclose(led[0], poses[0]) and np.allclose(led[-1], last)
    assert np.allclose(rotation_errors_deg(led, poses), [0, 10, 20, 30, 40])
    assert np.allclose(np.diff(led[:, 2, 3]), 0.1)
