"""``readout.source: none``: a given mesh follows pixels and outlines, and no network is asked."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from attnchain_ros.backbone import Backbone, load_backbone
from attnchain_ros.camera.tracks3d import to_camera
from attnchain_ros.config import RolloutConfig
from attnchain_ros.errors import ConfigError, MaskError
from attnchain_ros.lab.synthetic import Clip, ClipConfig, split_clip
from attnchain_ros.mesh.types import Mesh
from attnchain_ros.options import resolve
from attnchain_ros.rollout import Rollout, Window, WindowResult

ALONE = {"preset": "full", "readout.source": "none", "animation.landmarks": 300, "tracks.max_queries": 60,
         "parts.patches": 40}  # fmt: skip


class Sizes:
    """All that a rollout without network may know of its backbone: what else is asked is missing."""

    def __init__(self, backbone: Backbone) -> None:
        self.device, self.encoder_one = (
            backbone.device,
            SimpleNamespace(
                input_size=backbone.encoder_one.input_size,
                crop_size=backbone.encoder_one.crop_size,
                grid=backbone.encoder_one.grid,
            ),
        )
        self.passes = SimpleNamespace(take_notes=lambda: ())
        self.stage_one = SimpleNamespace(sizes=backbone.stage_one.sizes)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone(device="cpu")


@pytest.fixture(scope="module")
def clip() -> Clip:
    """A box that opens, under a camera that sways."""
    return split_clip("validation", 11, ClipConfig(frames=31, image_size=192, camera="sway"))


def cut(clip: Clip, start: int, stop: int) -> Window:
    part = slice(start, stop)
    stamps = np.arange(start, stop, dtype=np.int64) * 33_000_000
    return Window(clip.images[part], clip.masks[part], stamps, clip.intrinsics)


def options(backbone: Backbone, **changes: object) -> RolloutConfig:
    return resolve(backbone, {**ALONE, **changes})


def make_rollout(backbone: Backbone, clip: Clip, **changes: object) -> Rollout:
    mesh = Mesh(clip.vertices[0], clip.faces)
    return Rollout(cast(Any, Sizes(backbone)), options(backbone, **changes), mesh, anchor_is_canonical=True)


@pytest.fixture(scope="module")
def two(backbone: Backbone, clip: Clip) -> list[WindowResult]:
    rollout = make_rollout(backbone, clip)
    return [rollout.run(cut(clip, 0, 16)), rollout.run(cut(clip, 15, 31))]


def error(vertices: np.ndarray, poses: np.ndarray, clip: Clip, frames: slice) -> float:
    """Mean distance of vertices in the camera's frame, the first frame left out."""
    true = to_camera(clip.vertices[frames], clip.camera_from_object[frames])
    return float(np.linalg.norm(to_camera(vertices, poses) - true, axis=2)[1:].mean())


def test_the_mesh_moves_with_the_object_and_windows_join(two: list[WindowResult], clip: Clip) -> None:
    for result, frames in zip(two, (slice(0, 16), slice(15, 31)), strict=True):
        still = error(
            np.repeat(clip.vertices[:1], 16, axis=0), np.repeat(clip.camera_from_object[:1], 16, axis=0), clip, frames
        )
        assert error(result.vertices, result.camera.camera_from_object, clip, frames) < 0.6 * still
    before, after = two
    assert np.array_equal(before.vertices[-1], after.vertices[0]) and after.shared_first
    assert np.allclose(before.camera.camera_from_object[-1], after.camera.camera_from_object[0])
    assert before.topology_id == after.topology_id and np.array_equal(before.faces, after.faces)


def test_a_result_says_what_it_rests_on(two: list[WindowResult]) -> None:
    for result in two:
        assert result.silhouette_iou > 0.85 and result.camera.valid.all()
        assert np.allclose(result.confidence, result.landmark_valid.mean(axis=1), atol=1e-6)
        assert 0.1 < result.confidence[1:].mean() < 1.0
        assert np.isfinite(result.vertices).all()
        steps = np.linalg.norm(np.diff(result.vertices, axis=0), axis=2)
        assert steps.max() < 0.5


def test_2d_tracks_follow_the_pixels(two: list[WindowResult], clip: Clip) -> None:
    tracks = two[0].tracks
    on = tracks.face >= 0
    moved = np.linalg.norm(tracks.points_px[-1] - tracks.points_px[0], axis=1)
    assert on.mean() > 0.9 and np.nanmedian(moved[on]) > 3.0
    # A query beside the mesh has no place on it, and is followed in the pictures alone.
    assert np.isnan(tracks.points_object[:, ~on]).all()


def test_one_frame_and_a_gap(backbone: Backbone, clip: Clip) -> None:
    rollout = make_rollout(backbone, clip)
    lone = rollout.run(cut(clip, 0, 1))
    assert lone.frames == 1 and lone.camera.valid.all() and lone.silhouette_iou > 0.85
    later = rollout.run(cut(clip, 4, 9))
    assert not later.shared_first and later.frames == 5 and later.camera.valid.all()
    assert any(note.code == "motion_lost" for note in later.notes)
    frames = slice(4, 9)
    still = np.repeat(clip.camera_from_object[:1], 5, axis=0)
    assert error(later.vertices, later.camera.camera_from_object, clip, frames) < error(
        np.repeat(clip.vertices[:1], 5, axis=0), still, clip, frames
    )


def test_a_known_camera_motion_is_kept(backbone: Backbone, clip: Clip) -> None:
    known = replace(cut(clip, 0, 16), fixed_from_camera=np.linalg.inv(clip.camera_from_object[:16]))
    result = make_rollout(backbone, clip, **{"camera.motion": "known", "camera.object_size_m": 1.0}).run(known)
    assert not any(note.code == "motion_unknown" for note in result.notes)
    turns = np.einsum("fba,fbc->fac", clip.camera_from_object[:16, :3, :3], result.camera.camera_from_object[:, :3, :3])
    # One pose of the object's frame for all frames: what turns it in one turns it in all.
    assert np.abs(turns - turns[:1]).max() < 1e-6
    cosine = np.clip(0.5 * (np.trace(turns[0]) - 1), -1, 1)
    assert np.degrees(np.arccos(cosine)) < 3.0


def test_another_source_begins_anew(backbone: Backbone, clip: Clip) -> None:
    mesh = Mesh(clip.vertices[0], clip.faces)
    quick = {"encode_points": 512, "surface.n_surface": 1000}
    rollout = Rollout(backbone, options(backbone, **quick), mesh, anchor_is_canonical=True)
    first = rollout.run(cut(clip, 0, 4))
    rollout.configure(options(backbone, **quick, **{"readout.source": "network"}))
    second = rollout.run(cut(clip, 3, 7))
    assert second.topology_id == first.topology_id + 1 and not second.shared_first
    rollout.configure(options(backbone, **quick))
    third = rollout.run(cut(clip, 6, 10))
    assert third.topology_id == second.topology_id + 1 and third.index == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("preset", "paper"),
        ("parts.rigid", False),
        ("parts.pixels", False),
        ("parts.cameras", False),
        ("camera.estimate", False),
    ],
)
def test_what_it_needs_cannot_be_off(backbone: Backbone, name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"readout.source is 'none'.*{name} is {value!r}"):
        options(backbone, **{name: value})


def test_a_mesh_is_needed(backbone: Backbone, clip: Clip) -> None:
    rollout = Rollout(cast(Any, Sizes(backbone)), options(backbone))
    with pytest.raises(ConfigError, match=r"none was.*--anchor"):
        rollout.run(cut(clip, 0, 2))
    with pytest.raises(ConfigError, match="no attention is traced"):
        rollout.trace(cut(clip, 0, 2))


def test_an_empty_first_mask_is_said_and_costs_nothing(backbone: Backbone, clip: Clip) -> None:
    rollout = make_rollout(backbone, clip)
    window = cut(clip, 0, 4)
    masks = window.masks.copy()
    masks[0] = False
    with pytest.raises(MaskError, match="first frame is empty"):
        rollout.run(replace(window, masks=masks))
    assert rollout.run(window).index == 0


def test_the_same_again_is_the_same_whoever_asks(backbone: Backbone, clip: Clip, two: list[WindowResult]) -> None:
    rollout = make_rollout(backbone, clip)
    for own, part in zip(two, ((0, 16), (15, 31)), strict=True):
        again = rollout.begin(cut(clip, *part))()
        assert np.array_equal(again.vertices, own.vertices)
        assert np.array_equal(again.camera.camera_from_object, own.camera.camera_from_object)
