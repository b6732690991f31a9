"""The preset "full" on the embedded checkpoint: what holds from window to window, and that it does not drift."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from attnchain_ros.backbone import Backbone, load_backbone
from attnchain_ros.camera.tracks3d import project, to_camera
from attnchain_ros.lab.synthetic import Clip, ClipConfig, split_clip
from attnchain_ros.mesh.types import Mesh
from attnchain_ros.options import resolve
from attnchain_ros.rollout import Rollout, Window, WindowResult

QUICK = {"animation.landmarks": 200, "encode_points": 512, "tracks.max_queries": 60, "parts.patches": 30,
         "surface.n_surface": 1000}  # fmt: skip


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone(device="cpu")


@pytest.fixture(scope="module")
def clip() -> Clip:
    """A door, under a camera that stands still."""
    return split_clip("validation", 2, ClipConfig(frames=46, image_size=160))


def cut(clip: Clip, start: int, stop: int) -> Window:
    part = slice(start, stop)
    stamps = np.arange(start, stop, dtype=np.int64) * 33_000_000
    return Window(clip.images[part], clip.masks[part], stamps, clip.intrinsics)


def make_rollout(backbone: Backbone, clip: Clip, **options: object) -> Rollout:
    config = resolve(backbone, {**QUICK, "preset": "full", **options})
    return Rollout(backbone, config, Mesh(clip.vertices[0], clip.faces), anchor_is_canonical=True)


@pytest.fixture(scope="module")
def rolled(backbone: Backbone, clip: Clip) -> tuple[Rollout, list[WindowResult]]:
    """Two whole windows and a short one."""
    rollout = make_rollout(backbone, clip, **{"parts.read_every": 1})
    return rollout, [rollout.run(cut(clip, *part)) for part in ((0, 16), (15, 31), (30, 38))]


@pytest.fixture(scope="module")
def three(rolled: tuple[Rollout, list[WindowResult]]) -> list[WindowResult]:
    return rolled[1]


def test_windows_share_a_frame_and_the_first_is_the_anchor(three: list[WindowResult], clip: Clip) -> None:
    assert [result.frames for result in three] == [16, 16, 8]
    assert np.array_equal(three[0].vertices[0], clip.vertices[0])
    for before, after in pairwise(three):
        assert np.array_equal(before.vertices[-1], after.vertices[0])
        assert np.allclose(before.camera.camera_from_object[-1], after.camera.camera_from_object[0])
    assert all(np.isfinite(result.vertices).all() and result.camera.valid.all() for result in three)


def test_the_mesh_is_nearer_than_the_papers_and_does_not_drift(
    three: list[WindowResult], backbone: Backbone, clip: Clip
) -> None:
    paper = make_rollout(backbone, clip, preset="paper")
    plain = [paper.run(cut(clip, *part)) for part in ((0, 16), (15, 31))]

    def error(result: WindowResult, frames: slice) -> float:
        return float(np.linalg.norm(result.vertices[1:] - clip.vertices[frames][1:], axis=2).mean())

    for own, other, frames in zip(three, plain, (slice(0, 16), slice(15, 31)), strict=False):
        assert error(own, frames) < 0.8 * error(other, frames)
    assert error(three[1], slice(15, 31)) < 0.05


def test_a_camera_that_stands_still_is_seen_to(three: list[WindowResult], clip: Clip) -> None:
    true = clip.camera_from_object[0]
    for result in three:
        cosine = 0.5 * (np.einsum("fij,ij->f", result.camera.camera_from_object[:, :3, :3], true[:3, :3]) - 1)
        assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 4


def test_3d_tracks_are_on_the_mesh_and_2d_tracks_near_them(three: list[WindowResult]) -> None:
    for result in three:
        tracks, camera = result.tracks, result.camera
        held = tracks.face >= 0
        corners = result.vertices[:, result.faces[tracks.face[held]]]
        expected = (corners * tracks.barycentric[held][None, :, :, None]).sum(2)
        assert np.allclose(tracks.points_object[:, held], expected, atol=1e-5)
        in_camera = to_camera(tracks.points_object, camera.camera_from_object)
        away = np.linalg.norm(tracks.points_px - project(camera.intrinsics, in_camera), axis=2)
        assert np.nanmedian(away[tracks.visible]) < 3.0
        assert tracks.confidence.min() >= 0 and tracks.confidence.max() <= 1
        seen = tracks.visible[1:]
        assert tracks.confidence[1:][seen].mean() > 0.6


def test_memory_is_constant_and_the_first_frame_is_kept(rolled: tuple[Rollout, list[WindowResult]]) -> None:
    memory = rolled[0].start(None).memory  # type: ignore[arg-type]
    assert memory is not None and len(memory.keyframes) >= 1
    assert not memory.keyframes[0].variance.any()
    assert len(memory.evidence) == 3 and memory.points is not None and memory.points.frames == 37


@pytest.mark.parametrize(
    "options",
    [
        {"parts.reads": "previous"},
        {"parts.rigid": False},
        {"parts.pixels": False},
        {"parts.cameras": False},
        {"parts.tracks": False},
        {"parts.keyframes": 1},
        {"camera.estimate": False},
        {"anchor_handover": "latent"},
        {"parts.match_every": 4, "parts.read_every": 1},
    ],
    ids=lambda options: "-".join(map(str, next(iter(options.items())))),
)
def test_every_piece_can_be_left_out(backbone: Backbone, clip: Clip, options: dict[str, object]) -> None:
    rollout = make_rollout(backbone, clip, **options)
    rollout.run(cut(clip, 0, 6))
    second = rollout.run(cut(clip, 5, 10))
    assert second.frames == 5 and np.isfinite(second.vertices).all()
    if "camera.estimate" in options:
        assert not second.camera.valid.any()


def test_after_a_gap_points_are_looked_for_anew(backbone: Backbone, clip: Clip) -> None:
    rollout = make_rollout(backbone, clip)
    rollout.run(cut(clip, 0, 16))
    result = rollout.run(cut(clip, 18, 30))
    assert any(note.code == "motion_lost" for note in result.notes)
    memory = rollout.start(None).memory  # type: ignore[arg-type]
    assert memory is not None and memory.points is not None and memory.points.alive.any()


def test_one_frame_alone_is_a_window(backbone: Backbone, clip: Clip) -> None:
    rollout = make_rollout(backbone, clip)
    assert np.array_equal(rollout.run(cut(clip, 0, 1)).vertices[0], clip.vertices[0])
    assert np.isfinite(rollout.run(cut(clip, 0, 16)).vertices).all()


@pytest.mark.slow
def test_presets_can_change_between_windows(backbone: Backbone, clip: Clip) -> None:
    rollout = make_rollout(backbone, clip, preset="paper")
    rollout.run(cut(clip, 0, 10))
    rollout.configure(replace(rollout.config, preset="full"))
    rollout.run(cut(clip, 9, 19))
    rollout.configure(replace(rollout.config, preset="paper"))
    assert np.isfinite(rollout.run(cut(clip, 18, 28)).vertices).all()


@pytest.mark.slow
def test_a_new_side_becomes_a_keyframe(backbone: Backbone) -> None:
    """Under a camera that goes round by 3 degrees a frame, the end of the first window is a new side."""
    clip = split_clip("validation", 10, ClipConfig(frames=31, image_size=160, camera="orbit", orbit_deg_per_frame=3.0))
    finer = {"animation.landmarks": 600, "encode_points": 4096, "surface.n_surface": 4000}
    rollout = make_rollout(backbone, clip, **{"parts.keyframes": 2, "camera.turn_deg": 3.0, **finer})
    rollout.run(cut(clip, 0, 16))
    memory = rollout.start(None).memory  # type: ignore[arg-type]
    assert memory is not None and len(memory.keyframes) == 2
    rollout.run(cut(clip, 15, 31))
    memory = rollout.start(None).memory  # type: ignore[arg-type]
    # At most two, the first among them.
    assert memory is not None and len(memory.keyframes) == 2 and memory.keyframes[0].stamp_ns == 0
