"""What a run leaves behind: every file against the truth, shared frames once, whole files only."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from attnchain_ros.config import RolloutConfig
from attnchain_ros.errors import InputError, ShapeError
from attnchain_ros.files.animation import read_animated_glb
from attnchain_ros.files.meshes import read_mesh
from attnchain_ros.files.results import ResultOptions, ResultWriter, sheet_titles

TILE = 48
Scenes = Callable[..., Any]


def _write(folder: Path, scene: Any, **options: Any) -> dict[str, Any]:
    with ResultWriter(folder, ResultOptions(source="made/clip", sheet_tile=TILE, **options)) as writer:
        for part, result in scene.windows:
            writer.add(result, scene.images[part], scene.masks[part])
        return writer.finish()


def test_every_file_holds_the_clip_with_shared_frames_once(tmp_path: Path, make_scene: Scenes) -> None:
    scene = make_scene(frames=10, size=4)
    summary = _write(tmp_path, scene, per_frame_meshes=True, config=RolloutConfig(), checkpoint="small")
    names = {"animation.glb", "tracks.npz", "cameras.npz", "contact_sheet.png", "summary.json", "meshes"}
    assert {item.name for item in tmp_path.iterdir()} == names, "nothing temporary is left"
    found = read_animated_glb(tmp_path / "animation.glb")
    np.testing.assert_allclose(found.vertices, scene.vertices, atol=5e-7, rtol=0)
    np.testing.assert_allclose(found.times_s, np.arange(10) * 0.033333333, atol=1e-6)
    with np.load(tmp_path / "tracks.npz", allow_pickle=False) as tracks:
        for number in range(10):
            part, result = next(item for item in scene.windows if item[0].start <= number < item[0].stop)
            local = number - part.start
            np.testing.assert_array_equal(tracks["points_px"][number], result.tracks.points_px[local])
            np.testing.assert_array_equal(tracks["points_object"][number], result.tracks.points_object[local])
            np.testing.assert_array_equal(tracks["points_camera"][number], result.tracks.points_camera[local])
            np.testing.assert_array_equal(tracks["visible"][number], result.tracks.visible[local])
        assert tracks["ids"].tolist() == list(range(40))
        assert (np.diff(tracks["stamps_ns"]) == 33_333_333).all() and len(tracks["stamps_ns"]) == 10
    with np.load(tmp_path / "cameras.npz", allow_pickle=False) as cameras:
        assert cameras["valid"].tolist() == [number != 2 for number in range(10)]
        np.testing.assert_allclose(cameras["camera_from_object"][:, 0, 3], 0.25 * np.arange(10) / 8 - 0.15)
        assert cameras["intrinsics"][0, 0] == 150.0 and bool(cameras["intrinsics_given"])
        assert np.isnan(cameras["covariance"][2]).all(), "an untrusted pose has none"
        np.testing.assert_array_equal(cameras["covariance"][3], 1e-4 * np.eye(6))
    for number in (0, 9):
        mesh = read_mesh(tmp_path / "meshes" / f"frame_{number:05d}.ply")
        np.testing.assert_array_equal(mesh.vertices, scene.vertices[number])
    assert len(list((tmp_path / "meshes").iterdir())) == 10
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    assert (summary["frames"], summary["windows"], summary["camera_poses"]) == (10, 3, 9)
    assert summary["seconds_per_window"] == pytest.approx(3.0)  # 1.5 + 0, 1, 2 and 0.5 each
    assert summary["seconds_by_stage"] == {"denoising": pytest.approx(2.5), "camera": 0.5}
    assert summary["notes"] == ["the focal length was assumed", *(f"window {n} was fine" for n in range(3))]
    assert summary["config"]["sampling"]["steps"] == RolloutConfig().sampling.steps
    sheet = cv2.imread(str(tmp_path / "contact_sheet.png"))
    assert sheet is not None and sheet.shape[1] > 8 * TILE and sheet.shape[0] > 4 * TILE


def test_binary_files_are_the_same_twice(tmp_path: Path, make_scene: Scenes) -> None:
    for side in ("a", "b"):
        _write(tmp_path / side, make_scene())
    for name in ("animation.glb", "tracks.npz", "cameras.npz", "contact_sheet.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_metric_scale_and_the_frame_of_a_given_anchor(tmp_path: Path, make_scene: Scenes) -> None:
    scene = make_scene(scale=0.5)
    summary = _write(tmp_path / "metric", scene)
    assert summary["metric"] and summary["metres_per_unit"] == 0.5
    np.testing.assert_allclose(
        read_animated_glb(tmp_path / "metric" / "animation.glb").vertices, scene.vertices * 0.5, atol=1e-6
    )
    with np.load(tmp_path / "metric" / "cameras.npz") as cameras:
        assert (cameras["scale"] == 0.5).all()
    user = np.array([[0, 0, 2, 1], [0, 2, 0, 2], [-2, 0, 0, 3], [0, 0, 0, 1.0]])
    scene.windows[:] = [(part, replace(result, user_from_object=user)) for part, result in scene.windows]
    _write(tmp_path / "user", scene)
    wanted = 2 * scene.vertices[..., [2, 1, 0]] * [1, 1, -1] + [1, 2, 3]
    np.testing.assert_allclose(read_animated_glb(tmp_path / "user" / "animation.glb").vertices, wanted, atol=2e-6)


def test_pictures_kept_do_not_grow_with_the_clip(tmp_path: Path, make_scene: Scenes) -> None:
    scene = make_scene(frames=4, size=4)
    _, result = scene.windows[0]
    with ResultWriter(tmp_path, ResultOptions(source="long", sheet_tile=TILE)) as writer:
        for index in range(30):
            moved = replace(
                result, index=index, shared_first=index > 0, stamps_ns=result.stamps_ns + index * 99_999_999
            )
            writer.add(moved, scene.images, scene.masks)
            assert len(writer._pictures) <= 17
        assert writer.frames == 91
        numbers = sorted(writer._pictures)
        assert numbers[0] == 0 and len(set(np.diff(numbers))) == 1, "an even choice"
        writer.finish()


def test_long_animations_keep_an_even_selection_and_say_so(tmp_path: Path, make_scene: Scenes) -> None:
    scene = make_scene(frames=10)
    summary = _write(tmp_path, scene, max_glb_frames=4)
    found = read_animated_glb(tmp_path / "animation.glb")
    np.testing.assert_allclose(found.vertices, scene.vertices[::3], atol=5e-7)
    assert "the animation keeps 4 of the 10 frames" in summary["notes"]


def test_one_frame_no_tracks_no_masks_no_pose(tmp_path: Path, make_scene: Scenes) -> None:
    scene = make_scene(frames=2, size=2)
    _, result = scene.windows[0]
    tracks = replace(
        result.tracks,
        ids=np.zeros(0, np.int64), points_px=np.zeros((1, 0, 2), np.float32),
        points_object=np.zeros((1, 0, 3), np.float32),
        points_camera=np.zeros((1, 0, 3), np.float32), visible=np.zeros((1, 0), bool),
        confidence=np.zeros((1, 0), np.float32), colors=np.zeros((0, 3), np.uint8),
    )  # fmt: skip
    camera = replace(
        result.camera,
        camera_from_object=np.eye(4)[None], valid=np.zeros(1, bool), inliers=np.zeros(1, np.int32),
        reprojection_px=np.full(1, np.nan, np.float32),
    )  # fmt: skip
    single = replace(
        result, stamps_ns=result.stamps_ns[:1], vertices=result.vertices[:1], confidence=np.full(1, np.nan, np.float32),
        tracks=tracks, camera=camera, silhouette_iou=float("nan"),
    )  # fmt: skip
    with ResultWriter(tmp_path, ResultOptions(source="one", sheet_tile=TILE)) as writer:
        writer.add(single, scene.images[:1])
        summary = writer.finish()
    assert summary["silhouette_iou"] is None and summary["confidence_mean"] is None and summary["tracks"] == 0
    assert cv2.imread(str(tmp_path / "contact_sheet.png")) is not None


def test_refusals_and_a_run_that_fails_leave_nothing_behind(tmp_path: Path, make_scene: Scenes) -> None:
    scene = make_scene()
    part, result = scene.windows[0]
    with (
        pytest.raises(InputError, match="nothing to write"),
        ResultWriter(tmp_path, ResultOptions(source="x")) as writer,
    ):
        writer.finish()
    with ResultWriter(tmp_path, ResultOptions(source="x")) as writer:
        writer.add(result, scene.images[part])
        with pytest.raises(InputError, match="topology 2, the results began with 1"):
            writer.add(replace(result, topology_id=2), scene.images[part])
        with pytest.raises(InputError, match="track ids of window 0 differ"):
            writer.add(replace(result, tracks=replace(result.tracks, ids=result.tracks.ids + 1)), scene.images[part])
        with pytest.raises(ShapeError, match="images has shape"):
            writer.add(result, scene.images[:2])
        with pytest.raises(ShapeError, match="masks has shape"):
            writer.add(result, scene.images[part], scene.masks[:2])
    assert list(tmp_path.iterdir()) == []


def test_titles_are_ascii_and_carry_the_numbers(tmp_path: Path, make_scene: Scenes) -> None:
    summary = _write(tmp_path, make_scene())
    title, subtitle = sheet_titles({**summary, "source": "clips/Löwe", "anchor": "folder/mesh.glb"})
    assert title == "L?we: 10 frames in 3 windows, mesh from mesh.glb"
    assert "camera poses 9/10  |  outline overlap 0.90  |" in subtitle and "3.0 s per window" in subtitle
    _, subtitle = sheet_titles({**summary, "silhouette_iou": 0.28, "camera_poses": 4})
    assert "camera poses 4/10 (doubtful: trusted from 0.5)" in subtitle
    assert "outline overlap 0.28 (doubtful: trusted from 0.6)" in subtitle
