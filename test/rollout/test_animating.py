"""Landmarks that are matched in the anchor frame, too: whatever the chain's own offsets, rigid motion comes out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from attnchain_ros.config import RolloutConfig, replace
from attnchain_ros.lab.evaluation.anchors import clip_mesh
from attnchain_ros.lab.reference import animating as slow
from attnchain_ros.lab.synthetic import ClipConfig, make_clip, split_seed
from attnchain_ros.rollout.anchor import canonical_anchor
from attnchain_ros.rollout.animating import Animation, animate, free_of_offsets
from attnchain_ros.rollout.matching import LandmarkMatches
from attnchain_ros.rollout.state import Anchor, RolloutState

LIMIT = 0.15
NO_SMOOTHING = {"animation.sigma_landmark": 0.0, "animation.sigma_final": 0.0, "animation.outlier_limit": 10.0}


@pytest.fixture(scope="module")
def anchor() -> Anchor:
    clip = make_clip(split_seed("test", 0), ClipConfig(family="creature", frames=1, image_size=32, mesh_spacing=0.06))
    return canonical_anchor(clip_mesh(clip), replace(RolloutConfig(), {"animation.landmarks": 60}))


@pytest.fixture(scope="module")
def landmarks(anchor: Anchor) -> torch.Tensor:
    return torch.from_numpy(anchor.mesh.vertices[anchor.landmark_vertices])


def offsets(count: int, size: float) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(size=(count, 3)) * size).float()


def rigid(points: torch.Tensor, frames: int) -> torch.Tensor:
    """[F, n, 3] points turned by up to 70 degrees and shifted; frame 0 as they are."""
    turns = Rotation.from_rotvec(np.linspace(0, 1.2, frames)[:, None] * [[0.3, 0.9, 0.1]]).as_matrix()
    shifts = np.linspace(0, 0.4, frames)[:, None] * [[1.0, -0.5, 0.2]]
    return torch.from_numpy(np.einsum("fij,nj->fni", turns, points.double().numpy()) + shifts[:, None]).float()


def moved(anchor: Anchor, points: torch.Tensor, own: torch.Tensor | None, limit: float = LIMIT) -> Animation:
    state = RolloutState(anchor=anchor, latent=torch.zeros(1, 1), vertices=anchor.mesh.vertices)
    frames, count, _ = points.shape
    none = torch.zeros(frames, count, 1)
    matches = LandmarkMatches(points, torch.ones(frames, count), none, none, (), own)
    return animate(state, matches, frames, replace(RolloutConfig(), {**NO_SMOOTHING, "match.self_limit": limit}))


def vertices_of(found: Animation) -> torch.Tensor:
    return torch.from_numpy(found.vertices)


def test_offsets_that_turn_with_the_object_are_taken_away(anchor: Anchor, landmarks: torch.Tensor) -> None:
    own = landmarks + offsets(len(landmarks), 0.03)
    points = rigid(own, 4)
    points[0] = landmarks
    none = np.zeros(len(landmarks), bool)
    freed = free_of_offsets(points, own, none, anchor)
    # float32 coordinates of size 1.
    torch.testing.assert_close(freed, rigid(landmarks, 4), atol=2e-6, rtol=0)
    assert torch.equal(freed[0], landmarks)
    wanted = rigid(torch.from_numpy(anchor.mesh.vertices), 4)
    torch.testing.assert_close(vertices_of(moved(anchor, points, own)), wanted, atol=5e-6, rtol=0)
    # Without the matches in the anchor frame the offsets bend the mesh.
    assert float((vertices_of(moved(anchor, points, None)) - wanted).norm(dim=-1).max()) > 0.005


def test_against_twin(anchor: Anchor, landmarks: torch.Tensor) -> None:
    own = landmarks + offsets(len(landmarks), 0.05)
    points = rigid(own, 3) + 0.05 * torch.randn(3, len(own), 3, generator=torch.Generator().manual_seed(2))
    points[0] = landmarks
    lost = np.arange(len(own)) % 7 == 3
    found = free_of_offsets(points, own, lost, anchor)
    weights = anchor.weights
    index, weight = weights.index[anchor.landmark_vertices], weights.weight[anchor.landmark_vertices]
    wanted = slow.free_of_offsets(points.double().numpy(), own.double().numpy(), lost, index, weight)
    np.testing.assert_allclose(found.numpy(), wanted, atol=2e-6)


def test_landmarks_that_do_not_find_themselves_move_nothing(anchor: Anchor, landmarks: torch.Tensor) -> None:
    own = landmarks + offsets(len(landmarks), 0.02)
    points = rigid(own, 4)
    lost = [3, 20, 41]
    own[lost] += 0.5 * anchor.mesh.diagonal
    points[1:, lost] -= 0.3
    points[0] = landmarks
    found = moved(anchor, points, own)
    torch.testing.assert_close(vertices_of(found), rigid(torch.from_numpy(anchor.mesh.vertices), 4), atol=5e-6, rtol=0)
    assert found.dropped == 3 and not found.valid[1:, lost].any() and bool(found.valid[0].all())
    assert bool(np.delete(found.valid, lost, axis=1).all())
    # A limit that reaches them takes them in, and they spoil it.
    assert moved(anchor, points, own, limit=1.0).dropped == 0


def test_no_offsets_change_nothing(anchor: Anchor, landmarks: torch.Tensor) -> None:
    points = landmarks + 0.1 * torch.randn(3, len(landmarks), 3, generator=torch.Generator().manual_seed(3))
    points[0] = landmarks
    with_own, without = moved(anchor, points, landmarks.clone()), moved(anchor, points, None)
    assert np.array_equal(with_own.vertices, without.vertices) and np.array_equal(with_own.valid, without.valid)
