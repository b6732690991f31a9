"""The page's footage from the files that runs leave, compared with the results that went into them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hand_made
import numpy as np
import pytest

from attnchain_ros import wire
from attnchain_ros.camera.poses import invert_pose
from attnchain_ros.errors import FileFormatError
from attnchain_ros.files.bag_file import BagFile, BagTopic
from attnchain_ros.files.bag_writing import ResultBagWriter
from attnchain_ros.files.results import ResultOptions, ResultWriter
from attnchain_ros.rollout.window import WindowResult
from attnchain_ros.stream.frame import Frame
from attnchain_ros.stream.source import ArraySource
from attnchain_ros.view.footage import Footage, Moment
from attnchain_ros.view.messages import MESH, MessageTaker
from attnchain_ros.view.reading import Choice, add_images, add_images_of_run, read_footage

STEP = 10**8


def _results(scale: float = 1.0) -> list[WindowResult]:
    stamps = np.arange(7, dtype=np.int64) * STEP + 5 * 10**9
    one = hand_made.make_result(stamps[:4], scale=scale)
    two = hand_made.make_result(stamps[3:], index=1, shared_first=True, scale=scale)
    valid = np.ones(4, bool)
    valid[2] = False
    return [one, replace(two, camera=replace(two.camera, valid=valid))]


def _moment(footage: Footage, number: int) -> Moment:
    found = footage.moment(number)
    assert found is not None
    return found


def _check(footage: Footage, results: list[WindowResult], scale: float) -> None:
    assert footage.span == (0, 7)
    for number in range(7):
        result, frame = (results[0], number) if number < 4 else (results[1], number - 3)
        moment = _moment(footage, number)
        assert moment.stamp_ns == int(result.stamps_ns[frame])
        np.testing.assert_allclose(moment.shape.vertices, result.vertices[frame] * scale, atol=1e-6)
        np.testing.assert_array_equal(moment.shape.surface.faces, result.faces)
        np.testing.assert_array_equal(moment.shape.surface.colors, result.vertex_colors)
        assert moment.shape.confidence == pytest.approx(float(result.confidence[frame]))
        assert moment.points is not None and moment.eye is not None
        np.testing.assert_allclose(moment.points.positions, result.tracks.points_object[frame] * scale, atol=1e-6)
        np.testing.assert_array_equal(moment.points.visible, result.tracks.visible[frame])
        pose = result.camera.camera_from_object[frame].copy()
        pose[:3, 3] *= scale
        np.testing.assert_allclose(moment.eye.object_from_camera, invert_pose(pose), atol=1e-6)
        assert moment.eye.trusted == (number != 5)


def _run(folder: Path, results: list[WindowResult], **options: Any) -> Path:
    with ResultWriter(folder, ResultOptions(source="nowhere", **options)) as writer:
        for result in results:
            writer.add(result, np.zeros((result.frames, 24, 32, 3), np.uint8))
        writer.finish()
    return folder


def test_a_runs_folder_is_shown_in_the_animations_frame(tmp_path: Path) -> None:
    results = [replace(result, metric=True) for result in _results(0.25)]
    footage = read_footage(_run(tmp_path / "out", results))
    _check(footage, results, 0.25)
    assert footage.lens is not None
    np.testing.assert_array_equal(footage.lens.intrinsics, hand_made.INTRINSICS)


def test_a_given_meshs_frame_takes_cameras_and_tracks_along(tmp_path: Path) -> None:
    user = np.array([[0.0, -3, 0, 1], [3, 0, 0, 2], [0, 0, 3, 3], [0, 0, 0, 1]])
    results = [replace(result, user_from_object=user) for result in _results()]
    moment = _moment(read_footage(_run(tmp_path / "out", results)), 1)
    center = invert_pose(results[0].camera.camera_from_object[1])[:3, 3]
    assert moment.eye is not None and moment.points is not None
    np.testing.assert_allclose(moment.eye.object_from_camera[:3, 3], user[:3, :3] @ center + user[:3, 3])
    turn = moment.eye.object_from_camera[:3, :3]
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
    # The tracks of this scene are its vertices.
    np.testing.assert_allclose(moment.points.positions, moment.shape.vertices, atol=1e-5)


def test_a_thinned_animation_says_so(tmp_path: Path) -> None:
    results = _results()
    footage = read_footage(_run(tmp_path / "out", results, max_glb_frames=3))
    assert footage.stamps() == [int(results[0].stamps_ns[0]), *results[1].stamps_ns[[0, 3]].tolist()]
    assert "3 of 7 frames" in footage.notes[0].text


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bag_of_results_is_shown_in_published_lengths(tmp_path: Path, storage: Any) -> None:
    results = _results(0.5)
    with ResultBagWriter(tmp_path / "bag", storage=storage) as bag:
        for result in results:
            bag.add(result, "camera")
    footage = read_footage(tmp_path / "bag")
    _check(footage, results, 0.5)
    assert [note.code for note in footage.notes] == ["no_images"]


def test_a_bag_with_images_shows_them(tmp_path: Path) -> None:
    result = _results()[0]
    names = wire.Names("camera", "object_1", 1)
    topics = {
        "image": BagTopic("/camera/image", "sensor_msgs/msg/Image"),
        "info": BagTopic("/camera/camera_info", "sensor_msgs/msg/CameraInfo"),
        "mesh": BagTopic("/attnchain_node/mesh", MESH),
        "other": BagTopic("/second/mesh", MESH),
    }
    with BagFile(tmp_path / "bag", topics) as bag:
        for frame, stamp in enumerate(result.stamps_ns.tolist()):
            picture = np.full((24, 32, 3), 10 * frame, np.uint8)
            bag.write("image", stamp, wire.image(picture, "rgb8", stamp, "camera"))
            bag.write("info", stamp, wire.camera_info(hand_made.INTRINSICS, (24, 32), stamp, "camera"))
        last = int(result.stamps_ns[-1])
        bag.write("mesh", last, wire.mesh(result, names))
        bag.write(
            "other", last + 1, wire.mesh(replace(result, vertices=result.vertices * 2), replace(names, object_id=2))
        )
    footage = read_footage(tmp_path / "bag")
    image = _moment(footage, 3).image
    assert image is not None and image.shape == (24, 32, 3) and (image == 30).all()
    assert footage.lens is not None and footage.lens.size == (24, 32)
    assert [note.code for note in footage.notes] == ["other_object"] and "object 2" in footage.notes[0].text
    second = read_footage(tmp_path / "bag", Choice(object_id=2))
    np.testing.assert_allclose(_moment(second, 0).shape.vertices, result.vertices[0] * 2)


def test_images_find_their_frames_by_stamp_or_by_order(tmp_path: Path) -> None:
    results = _results()
    folder = _run(tmp_path / "out", results)
    stamps = [*results[0].stamps_ns.tolist(), *results[1].stamps_ns[1:].tolist()]
    pictures = [np.full((24, 32, 3), number, np.uint8) for number in range(7)]

    def shown(frames: list[Frame]) -> list[int | None]:
        footage = read_footage(folder)
        add_images(footage, ArraySource(frames, "clip"))
        images = [_moment(footage, number).image for number in range(7)]
        return [None if image is None else int(image[0, 0, 0]) for image in images]

    by_stamp = [Frame(pictures[number], None, stamps[number]) for number in (1, 4)]
    assert shown(by_stamp) == [None, 1, None, None, 4, None, None]
    by_order = [Frame(picture, None, number) for number, picture in enumerate(pictures)]
    assert shown(by_order) == list(range(7))
    strange = [Frame(pictures[0], None, 17)]
    assert shown(strange) == [None] * 7


def test_a_run_whose_images_are_gone_says_what_to_do(tmp_path: Path) -> None:
    folder = _run(tmp_path / "out", _results())
    footage = read_footage(folder)

    def opened(name: str) -> Any:
        raise FileFormatError(f"{name} does not exist")

    add_images_of_run(footage, folder, opened)
    assert "nowhere does not exist" in footage.notes[-1].text and "--images" in footage.notes[-1].text


def test_what_is_no_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="does not exist"):
        read_footage(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileFormatError, match=r"neither animation\.glb"):
        read_footage(tmp_path / "empty")
    folder = _run(tmp_path / "out", _results())
    other = _run(tmp_path / "other", _results()[:1])
    (folder / "tracks.npz").write_bytes((other / "tracks.npz").read_bytes())
    with pytest.raises(FileFormatError, match="different runs"):
        read_footage(folder)
    (folder / "tracks.npz").write_bytes(b"PK")
    with pytest.raises(FileFormatError, match=r"tracks\.npz cannot be read"):
        read_footage(folder)
    with BagFile(tmp_path / "bag", {"tf": BagTopic("/tf", "tf2_msgs/msg/TFMessage")}) as bag:
        bag.write("tf", 1, {"transforms": []})
    with pytest.raises(FileFormatError, match="holds no attnchain_ros/msg/AnimatedMesh"):
        read_footage(tmp_path / "bag")


def test_a_message_that_lies_about_its_sizes_is_left_out_and_told() -> None:
    footage = Footage("test")
    taker = MessageTaker(footage)
    fields = wire.mesh(_results()[0], wire.Names("camera", "object_1", 1))
    message = SimpleNamespace(
        **fields,
    )
    message.header = SimpleNamespace(frame_id="object_1")
    message.stamps = [SimpleNamespace(**stamp) for stamp in fields["stamps"]]
    message.vertex_count = 7
    taker.take(MESH, message)
    assert footage.span == (0, 0) and "announces 4 frames of 7 vertices" in footage.notes[0].text
    message.vertex_count, message.triangles = 6, np.array([0, 1, 6], np.uint32)
    taker.take(MESH, message)
    assert footage.span == (0, 0) and "vertex 6, there are 6" in footage.notes[1].text
    message.triangles = fields["triangles"]
    taker.take(MESH, message)
    assert footage.span == (0, 4)
