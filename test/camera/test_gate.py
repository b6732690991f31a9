"""camera.gate: what jumps is left out and what moves smoothly, however fast, is not; the search against its twin."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from attnchain_ros.camera.gate import KEPT, Gated, PoseSeen, consistent_frames, gate_poses, path_deviations
from attnchain_ros.config import GateConfig
from attnchain_ros.errors import ConfigError, ShapeError
from attnchain_ros.lab.reference import gate as twin

CONFIG = GateConfig()
FRAME_S = 1.0 / 15.0


def orbit(yaw_deg: np.ndarray, distance: np.ndarray | float = 3.5, elevation_deg: float = 20.0) -> np.ndarray:
    """Poses [F, 4, 4] of a camera that goes round an object."""
    poses = np.tile(np.eye(4), (len(yaw_deg), 1, 1))
    turn = Rotation.from_euler("x", 180.0 + elevation_deg, degrees=True) * Rotation.from_euler(
        "y", np.asarray(yaw_deg, np.float64)[:, None], degrees=True
    )
    poses[:, :3, :3] = turn.as_matrix()
    poses[:, 2, 3] = distance
    return poses


def seen(poses: np.ndarray, step_s: float = FRAME_S, start_s: float = 0.0) -> PoseSeen:
    stamps = ((start_s + np.arange(len(poses)) * step_s) * 1e9).astype(np.int64)
    return PoseSeen.of(poses, np.full((len(poses), 3), 0.1), stamps)


def gate(poses: np.ndarray, before: PoseSeen | None = None, start_s: float = 0.0, **changes: float) -> Gated:
    count = len(poses)
    config = dataclasses.replace(CONFIG, **changes)
    return gate_poses(seen(poses, start_s=start_s), np.ones(count, bool), np.ones(count), config, before)


def turned(pose: np.ndarray, degrees: float) -> np.ndarray:
    found = pose.copy()
    found[:3, :3] = pose[:3, :3] @ Rotation.from_euler("y", degrees, degrees=True).as_matrix()
    return found


def test_an_orbit_of_240_frames_is_trusted_window_after_window() -> None:
    poses, before = orbit(np.arange(241) * 1.5), None
    for start in range(0, 240, 15):
        found = gate(poses[start : start + 16], before, start * FRAME_S)
        assert found.trusted.all() and not found.reasons and not found.whole
        assert found.recent is not None and len(found.recent) == KEPT
        before = found.recent


@settings(max_examples=60, deadline=None)
@given(
    total=st.floats(-100, 100),
    start=st.integers(0, 8),
    frames=st.integers(11, 40),
    zoom=st.floats(0.75, 1.35),
    noise=st.floats(0, 2),
    seed=st.integers(0, 10**6),
)
def test_a_quick_smooth_turn_is_trusted(
    total: float, start: int, frames: int, zoom: float, noise: float, seed: int
) -> None:
    """Sets out from rest and comes to rest; the limit of 120 degrees a second is what its fastest moment has."""
    seconds = max(frames * FRAME_S, abs(total) * np.pi / 2 / CONFIG.turn_deg_s)
    progress = np.clip((np.arange(16) - start) * FRAME_S / seconds, 0, 1)
    ease = 0.5 - 0.5 * np.cos(np.pi * progress)
    poses = orbit(total * ease, 3.5 * zoom**ease)
    shake = np.random.default_rng(seed).normal(size=(16, 3)) * np.radians(noise) / 2
    poses[:, :3, :3] = Rotation.from_rotvec(np.clip(shake, -0.05, 0.05)).as_matrix() @ poses[:, :3, :3]
    found = gate(poses)
    assert found.trusted.all(), (found.reasons, found.whole)


@settings(max_examples=60, deadline=None)
@given(frame=st.integers(0, 15), away=st.floats(25, 180), rate=st.floats(-3, 3))
def test_a_single_jump_is_left_out_and_nothing_else(frame: int, away: float, rate: float) -> None:
    poses = orbit(np.arange(16) * rate)
    poses[frame] = turned(poses[frame], away)
    found = gate(poses)
    assert list(np.flatnonzero(~found.trusted)) == [frame] and list(found.reasons) == [frame]
    assert "degrees" in found.reasons[frame] and not found.whole


def test_a_place_far_off_is_left_out_with_its_distance() -> None:
    poses = orbit(np.arange(16.0))
    poses[5, 2, 3] = 47.0
    found = gate(poses)
    assert list(np.flatnonzero(~found.trusted)) == [5]
    assert "distance 3.38 to 46.88" in found.reasons[5]


def test_behind_the_camera_and_too_few_matches() -> None:
    poses = orbit(np.zeros(16))
    poses[2, :3, 3] = 0, 0, -3.5
    shares = np.ones(16)
    shares[9], shares[10] = 0.1, np.nan
    found = gate_poses(seen(poses), np.ones(16, bool), shares, CONFIG)
    assert found.reasons[2] == "the object is not in front of the camera"
    assert "10% of the matches" in found.reasons[9] and "camera.gate.least_share" in found.reasons[9]
    assert found.trusted.sum() == 14 and found.trusted[10]


def test_a_spike_within_the_speed_limit_lies_off_its_neighbours_path() -> None:
    """At four frames a second 35 degrees between frames are allowed, but not there and back again while all rest."""
    poses = orbit(np.zeros(16))
    poses[7] = turned(poses[7], 30.0)
    slow = seen(poses, 0.25)
    assert len(consistent_frames(slow, CONFIG)) == 16
    away, allowed = path_deviations(slow, CONFIG)
    assert away[7] == pytest.approx(30.0, abs=1e-6) and away[7] > allowed[7]
    found = gate_poses(slow, np.ones(16, bool), np.ones(16), CONFIG)
    assert list(found.reasons) == [7] and "path" in found.reasons[7]


def test_poses_of_no_one_motion_are_doubted_as_a_whole() -> None:
    yaws = np.where(np.arange(16) < 8, 0.0, 94.0)
    found = gate(orbit(yaws))
    assert not found.trusted.any() and "8 of 16" in found.whole and not found.reasons
    drift = gate(orbit(np.arange(16) * 17.5), zoom_s=1000.0)
    assert not drift.trusted.any() and "degrees" in drift.whole


def test_a_window_that_jumps_away_is_doubted_once() -> None:
    first = gate(orbit(np.zeros(16)))
    second = gate(orbit(np.full(16, 94.0)), first.recent, 1.0)
    assert not second.trusted.any() and "the window before" in second.whole
    third = gate(orbit(np.full(16, 94.0)), second.recent, 2.0)
    assert third.trusted.all()
    back = gate(orbit(np.full(16, 4.0)), first.recent, 1.0)
    assert back.trusted.all()


def test_frames_that_were_not_estimated_are_never_trusted_and_not_counted() -> None:
    poses = orbit(np.zeros(16))
    poses[3:9] = np.eye(4)
    asked = np.ones(16, bool)
    asked[3:9] = False
    found = gate_poses(seen(poses), asked, np.full(16, np.nan), CONFIG)
    assert np.array_equal(found.trusted, asked) and not found.reasons
    nothing = gate_poses(seen(poses), np.zeros(16, bool), np.ones(16), CONFIG, found.recent)
    assert not nothing.trusted.any() and nothing.recent is found.recent


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 9), step=st.floats(0.02, 0.5))
def test_search_against_twin(seed: int, count: int, step: float) -> None:
    rng = np.random.default_rng(seed)
    poses = orbit(rng.uniform(-60, 60, count), rng.uniform(2, 6, count))
    # Turns about one axis add up to the same sum whatever lies between them: then rounding would choose the winner.
    poses[:, :3, :3] = Rotation.from_rotvec(rng.uniform(-0.2, 0.2, (count, 3))).as_matrix() @ poses[:, :3, :3]
    some = seen(poses, step)
    assert np.array_equal(consistent_frames(some, CONFIG), twin.consistent_frames(some, CONFIG))


def test_shapes_and_options_are_checked() -> None:
    with pytest.raises(ShapeError, match="middles"):
        PoseSeen.of(np.zeros((4, 4, 4)), np.zeros((3, 3)), np.zeros(4, np.int64))
    with pytest.raises(ShapeError, match="asked"):
        gate_poses(seen(orbit(np.zeros(4))), np.ones(3, bool), np.ones(4), CONFIG)
    with pytest.raises(ConfigError, match="turn_deg_s"):
        GateConfig(turn_deg_s=0.0)
