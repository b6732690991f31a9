from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from made_up import turn, window_result

from attnchain_ros.camera.tracks3d import project, to_camera
from attnchain_ros.errors import InputError
from attnchain_ros.lab.evaluation.motion import FoundMotion, TrueMotion, clip_motion, join_windows
from attnchain_ros.lab.evaluation.scores import score_motion
from attnchain_ros.lab.report import TITLES
from attnchain_ros.lab.synthetic import ClipConfig, make_clip, split_seed


@pytest.fixture(scope="module")
def truth() -> TrueMotion:
    config = ClipConfig(frames=5, image_size=64, surface_points=200, mesh_spacing=0.06)
    return clip_motion(make_clip(split_seed("test", 1), config))


def perfect(truth: TrueMotion) -> FoundMotion:
    """The truth as a result; tracks follow every 20th vertex that the first camera sees."""
    points = truth.vertices[:, ::20]
    posed = to_camera(points, truth.camera_from_object)
    return FoundMotion(
        np.arange(5),
        truth.vertices,
        truth.faces,
        truth.camera_from_object,
        np.ones(5, bool),
        project(truth.intrinsics, posed),
        np.ones(points.shape[:2], bool),
        points,
    )


def test_the_truth_has_no_errors(truth: TrueMotion) -> None:
    scores = score_motion(perfect(truth), truth, np.eye(4), True)
    assert scores["last_all"] == scores["frames_all"] == scores["first_all"] == 0.0
    assert scores["rotation_deg"] == pytest.approx(0, abs=1e-6) and scores["translation"] == pytest.approx(0, abs=1e-9)
    assert scores["camera_poses"] == 1.0 and scores["track_absent"] == 0.0
    assert scores["align_scale"] == pytest.approx(1, abs=0.02)


def test_a_still_mesh_is_the_still_baseline(truth: TrueMotion) -> None:
    still = dataclasses.replace(perfect(truth), vertices=np.repeat(truth.vertices[:1], 5, axis=0))
    scores = score_motion(still, truth, np.eye(4), True)
    for region in ("last_all", "last_moved", "frames_all", "frames_moved"):
        value = scores[region]
        assert value == scores["still_" + region] == scores["true_still_" + region]
        assert value is None or value > 0
    way = np.linalg.norm(truth.points[-1] - truth.points[0], axis=1)
    assert scores["last_all"] == pytest.approx(way.mean(), rel=1e-5)
    assert set(scores) <= set(TITLES)


def test_a_known_shift_at_the_last_frame(truth: TrueMotion) -> None:
    moved = truth.vertices.copy()
    moved[-1] += np.array([0.03, 0, 0.04], np.float32)
    scores = score_motion(dataclasses.replace(perfect(truth), vertices=moved), truth, np.eye(4), True)
    assert scores["last_all"] == pytest.approx(0.05, rel=1e-4)
    assert scores["frames_all"] == pytest.approx(0.05 / 4, rel=1e-4)


def test_another_object_frame_changes_nothing(truth: TrueMotion) -> None:
    """A result in a turned, scaled and shifted object frame with the fitting cameras is as good."""
    truth_from_found = np.eye(4)
    truth_from_found[:3, :3], truth_from_found[:3, 3] = 0.8 * turn(1, 25), [0.1, -0.2, 0.05]
    back = np.linalg.inv(truth_from_found)
    poses = truth.camera_from_object @ truth_from_found
    poses[:, :3] /= 0.8
    found = dataclasses.replace(
        perfect(truth), vertices=truth.vertices @ back[:3, :3].T + back[:3, 3], camera_from_object=poses
    )
    scores = score_motion(found, truth, truth_from_found, True)
    # float32 vertices of size 1 through two transforms
    assert scores["frames_all"] == pytest.approx(0, abs=1e-6)
    assert scores["rotation_deg"] == pytest.approx(0, abs=1e-6) and scores["translation"] == pytest.approx(0, abs=1e-9)


def test_other_triangles_are_followed_from_the_nearest_point(truth: TrueMotion) -> None:
    """The same surface with its triangles and vertices in another order, without being told so."""
    rng = np.random.default_rng(0)
    order = rng.permutation(truth.vertices.shape[1])
    place = np.argsort(order)
    found = dataclasses.replace(
        perfect(truth), vertices=truth.vertices[:, order], faces=place[truth.faces][rng.permutation(len(truth.faces))]
    )
    scores = score_motion(found, truth, np.eye(4), False)
    assert scores["frames_all"] is not None and scores["frames_all"] < 1e-5
    aligned = score_motion(found, truth, None, False)  # now the alignment of two random samples is part of it
    assert aligned["frames_all"] is not None and aligned["frames_all"] < 0.02
    with pytest.raises(InputError, match="true mesh's triangles"):
        score_motion(found, truth, np.eye(4), True)


def test_refused_poses_and_absent_tracks_are_counted(truth: TrueMotion) -> None:
    found = perfect(truth)
    points = found.points_px.copy()
    points[1:] = np.nan
    scores = score_motion(
        dataclasses.replace(found, camera_valid=np.zeros(5, bool), points_px=points), truth, np.eye(4), True
    )
    assert scores["camera_poses"] == 0.0 and scores["rotation_deg"] is None and scores["translation"] is None
    assert scores["track_absent"] == 1.0 and scores["track_mean_px"] is None and scores["track_close"] == 0.0


def test_windows_are_joined_without_the_shared_frame(truth: TrueMotion) -> None:
    found = perfect(truth)
    args = (truth.faces, truth.camera_from_object[:3], truth.intrinsics, found.points_px[:3])
    first = window_result(truth.vertices[:3], *args)
    args = (truth.faces, truth.camera_from_object[2:], truth.intrinsics, found.points_px[2:])
    second = window_result(truth.vertices[2:], *args, index=1, first_stamp=2)
    joined = join_windows([first, second])
    assert joined.stamps_ns.tolist() == [0, 1, 2, 3, 4]
    assert np.array_equal(joined.vertices, truth.vertices)
    with pytest.raises(InputError, match="no window"):
        join_windows([])
    with pytest.raises(InputError, match=r"topologies \[0, 1\]"):
        join_windows([first, dataclasses.replace(second, topology_id=1)])
    with pytest.raises(InputError, match="3 frames were found and 5"):
        score_motion(join_windows([first]), truth, np.eye(4), True)
