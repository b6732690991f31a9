"""rollout.trusting on the embedded checkpoint: what is trusted, what is doubted and said, and what follows from it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from attnchain_ros.backbone import Backbone, load_backbone
from attnchain_ros.lab.synthetic import Clip, ClipConfig, make_clip, split_seed
from attnchain_ros.mesh.types import Mesh
from attnchain_ros.options import resolve
from attnchain_ros.rollout import Rollout, Window, WindowResult, pipeline
from attnchain_ros.rollout.window import CameraTrack

QUICK = {"encode_points": 512, "tracks.max_queries": 60}
TURN_DEG = 90.0


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone(device="cpu")


@pytest.fixture(scope="module")
def clip() -> Clip:
    return make_clip(split_seed("test", 0), ClipConfig(frames=31, image_size=160))


def window(clip: Clip, start: int) -> Window:
    part = slice(start, start + 16)
    stamps = np.arange(start, start + 16, dtype=np.int64) * 66_000_000
    return Window(clip.images[part], clip.masks[part], stamps, clip.intrinsics)


def rollout(backbone: Backbone, clip: Clip, **options: object) -> Rollout:
    config = resolve(backbone, {**QUICK, **options})
    return Rollout(backbone, config, Mesh(clip.vertices[0], clip.faces), anchor_is_canonical=True)


def codes(result: WindowResult) -> set[str]:
    return {note.code for note in result.notes}


def turned(camera: CameraTrack, frames: slice, degrees: float) -> CameraTrack:
    """The same poses, some of them from another side of the object."""
    poses = camera.camera_from_object.copy()
    poses[frames, :3, :3] = poses[frames, :3, :3] @ Rotation.from_euler("y", degrees, degrees=True).as_matrix()
    return dataclasses.replace(camera, camera_from_object=poses)


@pytest.fixture
def spoilt(monkeypatch: pytest.MonkeyPatch) -> list[tuple[slice, float]]:
    """(frames, degrees) by which the next window's poses are turned away after they were found."""
    orders: list[tuple[slice, float]] = []
    plain = pipeline.estimate_cameras

    def estimate(*args: object) -> tuple[CameraTrack, tuple[object, ...]]:
        camera, notes = plain(*args)
        for frames, degrees in orders:
            camera = turned(camera, frames, degrees)
        return camera, notes

    monkeypatch.setattr(pipeline, "estimate_cameras", estimate)
    return orders


def test_a_known_thing_is_trusted_and_its_covariance_holds_the_truth(backbone: Backbone, clip: Clip) -> None:
    own = rollout(backbone, clip)
    for start in (0, 15):
        result = own.run(window(clip, start))
        camera = result.camera
        assert camera.valid.all() and not codes(result) & {"poses_gated", "poses_doubtful", "poses_few"}
        assert camera.covariance is not None and camera.covariance.shape == (16, 6, 6)
        assert np.linalg.eigvalsh(camera.covariance).min() > 0
        between = camera.camera_from_object[:, :3, :3] @ clip.camera_from_object[start : start + 16, :3, :3].swapaxes(
            1, 2
        )
        off = np.linalg.norm(Rotation.from_matrix(between).as_rotvec(), axis=1)
        # 3 sigma of each of the three axes.
        assert (off < 3 * np.sqrt(3 * camera.covariance[:, 3, 3])).all()


def test_frames_that_jump_are_withheld_with_their_points(
    backbone: Backbone, clip: Clip, spoilt: list[tuple[slice, float]]
) -> None:
    spoilt.append((slice(5, 7), TURN_DEG))
    result = rollout(backbone, clip).run(window(clip, 0))
    assert list(np.flatnonzero(~result.camera.valid)) == [5, 6]
    text = next(note.text for note in result.notes if note.code == "poses_gated")
    assert "2 of 16" in text and "frames 5, 6" in text and "degrees" in text
    hidden = np.isnan(result.tracks.points_camera).all(axis=(1, 2))
    assert list(np.flatnonzero(hidden)) == [5, 6] and np.isfinite(result.tracks.points_object).any()
    handed_on = rollout(backbone, clip, **{"camera.gate.enabled": False}).run(window(clip, 0))
    assert handed_on.camera.valid.all() and not codes(handed_on) & {"poses_gated", "poses_doubtful"}


def test_poses_from_the_wrong_side_are_doubted_as_a_whole(
    backbone: Backbone, clip: Clip, spoilt: list[tuple[slice, float]]
) -> None:
    spoilt.append((slice(None), TURN_DEG))
    own = rollout(backbone, clip)
    result = own.run(window(clip, 0))
    assert not result.camera.valid.any() and result.confidence.max() == 0
    text = next(note.text for note in result.notes if note.code == "poses_doubtful")
    assert "overlap by" in text and "camera.gate.error_deg" in text
    # The next window goes on from what was wrong: it is not trusted either, although it fits as well as others do.
    assert not own.run(window(clip, 15)).camera.valid.any()
    own.reset()
    spoilt.clear()
    assert own.run(window(clip, 0)).camera.valid.all()


def test_shares_are_of_the_matches_where_these_are_known() -> None:
    poses = np.tile(np.eye(4), (3, 1, 1))
    inliers = np.array([3, 0, 9], np.int32)
    camera = CameraTrack(np.eye(3), True, poses, np.ones(3, bool), inliers, np.zeros(3, np.float32))
    assert np.isnan(camera.shares).all()
    camera = dataclasses.replace(camera, matches=np.array([12, 0, 9], np.int32))
    np.testing.assert_array_equal(camera.shares, [0.25, np.nan, 1.0])


def test_a_limit_of_the_gate_makes_a_difference(backbone: Backbone, clip: Clip) -> None:
    strict = rollout(backbone, clip, **{"camera.gate.error_deg": 0.1}).run(window(clip, 0))
    assert not strict.camera.valid.any() and "trusted up to 0.1" in " ".join(map(str, strict.notes))
