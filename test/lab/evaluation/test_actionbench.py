from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from made_up import turn

from attnchain_ros.errors import InputError, ShapeError
from attnchain_ros.lab.evaluation import actionbench as fast
from attnchain_ros.lab.evaluation.actionbench_config import ActionBenchConfig
from attnchain_ros.mesh.sampling import sample_surface

SMALL = ActionBenchConfig(points=3000, queries=600, align_points=300, starts=1, iterations=40)

# A tent: no symmetry, edges shared.
REST = np.array([[-0.8, 0, -0.4], [0.8, 0, -0.4], [0.6, 0, 0.5], [-0.8, 0, 0.3], [0.3, 0.6, 0.0]], np.float32)
FACES = np.array([[0, 1, 2], [0, 2, 3], [0, 4, 1], [1, 4, 2], [2, 4, 3], [3, 4, 0]], np.int32)


def motion(frames: int = 3) -> np.ndarray:
    """The tent's top moves to the side."""
    vertices = np.repeat(REST[None], frames, axis=0).copy()
    vertices[:, 4, 0] += 0.2 * np.arange(frames)
    return vertices


def truth(vertices: np.ndarray, count: int = 3000) -> fast.TrueClouds:
    """Another sample of the same surface, tracked, with normals."""
    _, _, face, weights = sample_surface(vertices[0], FACES, count, np.random.default_rng(99))
    corners = vertices[:, FACES[face]].astype(np.float64)
    normals = np.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    return fast.TrueClouds(np.einsum("fpcx,pc->fpx", corners, weights), normals)


def test_cloud_distance_by_hand() -> None:
    found, true = np.array([[0.0, 0, 0]]), np.array([[1.0, 0, 0], [0, 3, 0]])
    assert fast.cloud_distance(found, true, 10, 0) == 3.0  # 1 there, (1 + 3) / 2 back
    square = np.array([[0.0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0]])
    # Each corner is 1 below its like; the centre, at 1.5, has corners at sqrt(1 + 1 + 1.5 ** 2) and at 0.5 below.
    other = np.concatenate([square + np.array([0, 0, 1]), [[1, 1, 1.5]]])
    assert fast.cloud_distance(square, other, 10, 0) == pytest.approx(1 + (4 + 4.25**0.5) / 5, rel=1e-15)


def test_queries_ask_the_whole_other_cloud() -> None:
    rng = np.random.default_rng(1)
    cloud = rng.normal(size=(500, 3))
    assert fast.cloud_distance(cloud, cloud, 20, 0) == 0.0  # a thinned cloud against a thinned one would not be


def test_motion_distance_by_hand() -> None:
    found = np.array([[[0.0, 0, 0], [5, 0, 0]], [[0, 1, 0], [5, 0, 0]]])
    true = np.array([[[0.0, 0, 0], [5, 0, 0]], [[0, 0, 0], [5, 0, 2]]])
    # Pairs are fixed in frame 0: distances 0, 0 there and 1, 2 in frame 1; mean 0.75, both directions 1.5.
    assert fast.motion_distance(found, true) == pytest.approx(1.5)
    # A third true point is nearest to the second found one, 1 and 3 away: back it is (0 + 0 + 1 + 1 + 2 + 3) / 6.
    more = np.concatenate([true, [[[6.0, 0, 0]], [[8, 0, 0]]]], axis=1)
    assert fast.motion_distance(found, more) == pytest.approx(0.75 + 7 / 6)


def test_the_truth_scores_like_its_sampling() -> None:
    vertices = motion()
    seen: list[tuple[int, int]] = []
    scores = fast.score_clouds(vertices, FACES, truth(vertices), SMALL, progress=lambda *at: seen.append(at))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    # Two samples of 3000 points on an area of about 3: nearest points are about 0.5 / sqrt(1000) = 0.016 apart.
    for name in ("raw_cd_3d", "raw_cd_m", "cd_3d", "cd_4d", "cd_m"):
        assert 0.01 < getattr(scores, name) < 0.06, name
    assert scores.raw_cd_3d == scores.raw_cd_4d == pytest.approx(np.mean(scores.frames_raw))
    assert scores.cd_3d == pytest.approx(np.mean(scores.frames_3d)) and len(scores.frames_4d) == 3
    assert scores.normals_nearest is not None and scores.normals_nearest > 0.95
    assert scores.normals_faces == pytest.approx(0.16, abs=0.2)


def test_a_shift_counts_without_the_alignment_only() -> None:
    vertices = motion()
    shifted = vertices + np.array([0.3, 0, 0], np.float32)
    scores = fast.score_clouds(shifted, FACES, truth(vertices), SMALL)
    # Faces along the shift hide it from nearest points, so it is less than 0.3 in both directions together.
    assert 0.12 < scores.raw_cd_m < 0.6 and 0.12 < scores.raw_cd_3d < 0.6
    assert scores.cd_m < 0.06 and scores.cd_3d < 0.06
    assert fast.score_clouds(shifted, FACES, truth(vertices), SMALL) == scores


def test_a_still_mesh_is_wrong_in_motion() -> None:
    vertices = motion()
    still = np.repeat(vertices[:1], 3, axis=0)
    scores, perfect = (fast.score_clouds(v, FACES, truth(vertices), SMALL) for v in (still, vertices))
    assert scores.cd_m > perfect.cd_m + 0.05
    assert scores.raw_cd_3d > perfect.raw_cd_3d
    assert scores.frames_raw[0] == perfect.frames_raw[0] and scores.frames_raw[2] > perfect.frames_raw[2]


def test_one_alignment_for_all_frames_shows_a_turning_object() -> None:
    """Found without its turn about y: CD-3D undoes it in each frame, CD-4D does not."""
    rest = np.repeat(REST[None], 2, axis=0)
    turned = rest.copy()
    turned[1] = REST @ turn(1, 12).T
    scores = fast.score_clouds(rest, FACES, truth(turned), dataclasses.replace(SMALL, iterations=60))
    assert scores.frames_4d[1] > scores.frames_3d[1] + 0.02
    assert scores.frames_4d[0] == scores.frames_3d[0]


def test_without_true_normals_and_with_other_frames() -> None:
    vertices = motion(1)
    bare = fast.TrueClouds(truth(vertices).points)
    assert fast.score_clouds(vertices, FACES, bare, SMALL).normals_nearest is None
    with pytest.raises(ShapeError, match="F=1"):
        fast.score_clouds(motion(2), FACES, bare, SMALL)
    with pytest.raises(InputError, match="not finite"):
        fast.TrueClouds(np.full((1, 2, 3), np.nan))
