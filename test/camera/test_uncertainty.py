"""camera.uncertainty and camera.poses: what grows with what, and covariances against their Monte Carlo twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from attnchain_ros.camera.poses import invert_covariance, invert_pose
from attnchain_ros.camera.uncertainty import (
    CARRIED,
    GENERATED,
    GIVEN,
    PATCHES,
    SILHOUETTE,
    AnchorKind,
    FirstError,
    PoseSigmas,
    anchor_kind,
    pose_covariances,
    pose_sigmas,
)
from attnchain_ros.config import CameraConfig, flatten
from attnchain_ros.lab.reference import poses as twin


def some_pose(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pose = np.eye(4)
    pose[:3, :3] = Rotation.random(random_state=rng).as_matrix()
    pose[:3, 3] = rng.uniform([-1, -1, 2], [1, 1, 5])
    return pose


@pytest.mark.parametrize("seed", range(3))
def test_covariance_of_the_inverse_against_monte_carlo(seed: int) -> None:
    pose, rng = some_pose(seed), np.random.default_rng(seed)
    root = rng.normal(size=(6, 6)) * np.array([0.01] * 3 + [0.004] * 3)[:, None]
    covariance = root @ root.T
    found, sampled = invert_covariance(pose, covariance), twin.invert_covariance(pose, covariance, 20000, seed)
    # 20000 samples leave about 1 % of an entry's own scale, turns of 0.01 rad less than that beyond first order.
    scale = np.sqrt(np.outer(np.diag(found), np.diag(found)))
    np.testing.assert_allclose(found / scale, sampled / scale, atol=0.05)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_inverting_twice_gives_the_covariance_back(seed: int) -> None:
    pose, rng = some_pose(seed), np.random.default_rng(seed)
    root = rng.normal(size=(6, 6))
    covariance = root @ root.T
    back = invert_covariance(invert_pose(pose), invert_covariance(pose, covariance))
    np.testing.assert_allclose(back, covariance, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_pose_covariance_against_monte_carlo(seed: int) -> None:
    pose, middle = some_pose(seed), np.array([0.3, -0.2, 0.4])
    sigmas = PoseSigmas(np.array([0.5]), np.array([0.01]), np.array([0.05]))
    found = pose_covariances(pose[None], middle[None], sigmas)[0]
    sampled = twin.pose_covariances(pose, middle, np.radians(0.5), 0.01, 0.05, 20000, seed)
    scale = np.sqrt(np.outer(np.diag(found), np.diag(found)))
    np.testing.assert_allclose(found / scale, sampled / scale, atol=0.05)
    assert np.linalg.eigvalsh(found).min() > 0


@pytest.mark.parametrize("kind", [GIVEN, GENERATED, CARRIED, SILHOUETTE, PATCHES])
def test_what_is_lost_is_what_may_be_wrong(kind: AnchorKind) -> None:
    lost = np.linspace(0, 1, 21)
    errors = [FirstError.of(float(one), kind) for one in lost]
    for name in ("turn_deg", "across", "along"):
        values = np.array([getattr(error, name) for error in errors])
        assert (np.diff(values) >= 0).all() and values[-1] > values[0] > 0
    after = FirstError.of(0.0, CARRIED, errors[-1])
    assert after.turn_deg > errors[-1].turn_deg and after.along > errors[-1].along


def test_errors_grow_with_frames_and_with_how_far_the_camera_may_turn() -> None:
    first = FirstError.of(0.0, GIVEN)
    still, free = (pose_sigmas(first, 16, turn, 2.0) for turn in (0.1, 1.0))
    for name in ("turn_deg", "across", "along"):
        slow, fast = getattr(still, name), getattr(free, name)
        assert slow[0] == fast[0] and (np.diff(slow) > 0).all() and (fast[1:] > slow[1:]).all()
    assert pose_sigmas(first, 2, 1.0, 4.0).across[1] == pytest.approx(2 * free.across[1])
    assert free.turn_deg[0] == pytest.approx(first.turn_deg)


def test_every_refinement_and_anchor_has_its_numbers() -> None:
    item, _ = flatten(CameraConfig())["refine"]
    found = {(refine, first, given): anchor_kind(refine, first, given)
             for refine in item.metadata["choices"] for first in (True, False) for given in (True, False)}  # fmt: skip
    assert found["outline", True, True] is GIVEN and found["outline", True, False] is GENERATED
    assert found["outline", False, True] is found["outline", False, False] is CARRIED
    assert {found["silhouette", True, True], found["silhouette", False, False]} == {SILHOUETTE}
    assert {found["none", True, True], found["none", False, False]} == {PATCHES}
    # Attention's patches alone are coarser than outlines that lie on one another.
    assert FirstError.of(0.0, PATCHES).turn_deg > 3 * FirstError.of(0.0, GIVEN).turn_deg
