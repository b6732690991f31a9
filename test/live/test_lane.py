"""The live lane without threads: true motion recovered, late windows, and when it says that it is lost."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from live import moving_plane as plane
from scipy.spatial.transform import Rotation

from attnchain_ros.camera.poses import apply_pose
from attnchain_ros.camera.tracks3d import project
from attnchain_ros.errors import ShapeError
from attnchain_ros.live.config import LiveConfig
from attnchain_ros.live.lane import LiveLane
from attnchain_ros.live.pictures import LivePicture, small_picture
from attnchain_ros.live.start import NO_ID, LiveStart, start_from
from attnchain_ros.live.tracker import LivePose
from attnchain_ros.stream.config import StreamConfig
from attnchain_ros.stream.frame import ImageKind

STEP_NS = 33_333_333
CONFIG = LiveConfig(points=200, size_px=160)


def picture_of(image: np.ndarray, stamp_ns: int, frame_id: str = "camera", config: LiveConfig = CONFIG) -> LivePicture:
    kind = ImageKind(stamp_ns, image.shape, frame_id)
    return LivePicture(small_picture(image, config.size_px), kind, stamp_ns * 1e-9, None)


def picture_at(number: int) -> LivePicture:
    return picture_of(plane.image_at(number * STEP_NS), number * STEP_NS)


def start_at(number: int, config: LiveConfig = CONFIG, **options) -> LiveStart:
    stamp = number * STEP_NS
    result = plane.make_result(np.array([stamp - STEP_NS, stamp]), **options)
    found = start_from(result, plane.image_at(stamp), plane.mask_at(stamp), stamp * 1e-9, config)
    assert found is not None
    return found


def apart(pose: LivePose) -> tuple[float, float]:
    """Degrees and share of the distance from the truth."""
    true = plane.pose_at(pose.stamp_ns)
    turn = Rotation.from_matrix(true[:3, :3].T @ pose.camera_from_object[:3, :3]).magnitude()
    shift = np.linalg.norm(true[:3, 3] - pose.camera_from_object[:3, 3])
    return float(np.degrees(turn)), float(shift / np.linalg.norm(true[:3, 3]))


def follow(lane: LiveLane, first: int, last: int) -> list[LivePose]:
    return [pose for number in range(first, last) if (pose := lane.see(picture_at(number))) is not None]


def test_a_start_has_the_tracks_first_and_vertices_that_are_seen():
    start = start_at(0)
    assert len(start.ids) == 200 and (start.ids[:40] >= 100).all() and (start.ids == NO_ID).sum() > 100
    np.testing.assert_allclose(
        project(start.intrinsics, apply_pose(start.camera_from_object, start.points)), start.pixels
    )
    cell = start.pixels.round().astype(int)
    assert plane.mask_at(0)[cell[:, 1], cell[:, 0]].all()
    few = start_at(0, dataclasses.replace(CONFIG, points=20))
    assert len(few.ids) == 20 and (few.ids >= 100).all()


def test_what_is_hidden_or_has_no_pose_is_no_start():
    result = plane.make_result(np.array([0, STEP_NS]))
    image, mask = plane.image_at(STEP_NS), plane.mask_at(STEP_NS)
    # A wall in front of everything hides vertices; the tracks say themselves that they are hidden.
    vertices, faces = plane.mesh()
    wall = np.array([[-2, -2, -1], [2, -2, -1], [-2, 2, -1], [2, 2, -1]], np.float32)
    count = len(vertices)
    walled = dataclasses.replace(
        result,
        vertices=np.repeat(np.concatenate([vertices, wall])[None], 2, axis=0),
        faces=np.concatenate([faces, np.array([[0, 1, 2], [1, 3, 2]]) + count]).astype(np.int32),
        vertex_colors=np.zeros((count + 4, 3), np.uint8),
        tracks=dataclasses.replace(result.tracks, visible=np.zeros_like(result.tracks.visible)),
    )
    start = start_from(walled, image, mask, 0.0, CONFIG)
    assert start is not None and len(start.ids) == 0
    refused = dataclasses.replace(result.camera, valid=np.array([True, False]))
    assert start_from(dataclasses.replace(result, camera=refused), image, mask, 0.0, CONFIG) is None
    with pytest.raises(ShapeError):
        start_from(result, image, mask[:-1], 0.0, CONFIG)


def test_a_rigid_motion_is_recovered_at_every_image():
    lane = LiveLane(CONFIG)
    lane.see(picture_at(0))
    assert lane.begin(start_at(0))
    poses = follow(lane, 1, 61)
    assert len(poses) == 60 and not any(pose.lost for pose in poses) and lane.state == "tracking"
    errors = np.array([apart(pose) for pose in poses])
    assert errors[:, 0].max() < 2.0 and errors[:, 1].max() < 0.02
    # Holding the last pose would be much farther off.
    held = Rotation.from_matrix(plane.pose_at(0)[:3, :3].T @ plane.pose_at(60 * STEP_NS)[:3, :3]).magnitude()
    assert np.degrees(held) > 20 * np.median(errors[:, 0])
    for pose in poses:
        assert len(pose.ids) > 20 and set(pose.ids) <= set(range(100, 160))
        np.testing.assert_allclose(project(plane.INTRINSICS, pose.points_camera), pose.points_px, atol=1e-6)
        true = apply_pose(
            plane.pose_at(pose.stamp_ns), plane.make_result(np.array([0])).tracks.points_object[0][pose.ids - 100]
        )
        assert np.median(np.linalg.norm(pose.points_camera - true, axis=1)) < 0.05


def test_the_covariance_grows_with_the_age_of_the_window():
    lane = LiveLane(CONFIG)
    lane.see(picture_at(0))
    lane.begin(start_at(0))
    spread = np.array([np.sqrt(pose.covariance.diagonal()) for pose in follow(lane, 1, 61)])
    assert (spread[-1] > spread[0]).all()
    assert (np.median(spread[40:], axis=0) > np.median(spread[:20], axis=0)).all()


def test_the_same_pictures_give_the_same_poses():
    found = []
    for _ in range(2):
        lane = LiveLane(CONFIG)
        lane.see(picture_at(0))
        lane.begin(start_at(0))
        found.append(follow(lane, 1, 15))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one.camera_from_object, other.camera_from_object)
        np.testing.assert_array_equal(one.points_px, other.points_px)


def test_a_late_window_catches_up_while_the_one_before_answers():
    lane = LiveLane(CONFIG)
    lane.see(picture_at(0))
    lane.begin(start_at(0))
    follow(lane, 1, 50)
    assert lane.begin(start_at(10))  # 39 images late
    steps, number = 0, 50
    while lane.catch_up():
        steps += 1
        if steps % 4 == 0:
            (pose,) = follow(lane, number, number + 1)
            assert pose.age_s == pytest.approx(number * STEP_NS * 1e-9)  # of the window before
            number += 1
        assert steps < 60
    (pose,) = follow(lane, number, number + 1)
    assert pose.age_s == pytest.approx((number - 10) * STEP_NS * 1e-9)
    assert apart(pose)[0] < 2.0 and not lane.lost


def test_without_a_window_there_is_no_pose():
    lane = LiveLane(CONFIG)
    assert follow(lane, 0, 5) == [] and lane.state == "waiting" and not lane.catch_up()
    assert not lane.begin(None) and lane.refused == {"no_pose": 1}


def blank_at(number: int) -> LivePicture:
    return picture_of(np.full((plane.HEIGHT, plane.WIDTH, 3), 90, np.uint8), number * STEP_NS)


def test_a_picture_that_goes_blank_is_lost_until_the_next_window():
    lane = LiveLane(CONFIG)
    lane.see(picture_at(0))
    lane.begin(start_at(0))
    follow(lane, 1, 5)
    for number in range(5, 8):
        pose = lane.see(blank_at(number))
        assert pose is not None and pose.lost == "few_points" and len(pose.ids) == 0
        assert np.isinf(pose.covariance.diagonal()).all() and lane.state == "lost: few_points"
    assert lane.lost == {"few_points": 1}
    lane.see(picture_at(8))
    lane.begin(start_at(8))
    assert [pose.lost for pose in follow(lane, 9, 11)] == ["", ""]


def test_what_was_hidden_for_a_moment_is_found_again():
    lane = LiveLane(CONFIG)
    lane.see(picture_at(0))
    lane.begin(start_at(0))
    follow(lane, 1, 5)
    assert lane.see(blank_at(5)).lost and lane.see(blank_at(6)).lost
    poses = follow(lane, 7, 12)
    assert poses[0].lost and not poses[-1].lost and apart(poses[-1])[0] < 2.0
    assert lane.state == "tracking" and lane.lost == {"few_points": 1}


def test_another_thing_in_the_same_place_is_not_taken_for_it():
    lane = LiveLane(CONFIG)
    lane.see(picture_at(0))
    lane.begin(start_at(0))
    follow(lane, 1, 5)
    for number in range(5, 20):
        noise = np.random.default_rng(number // 5).integers(0, 256, (plane.HEIGHT, plane.WIDTH, 3), np.uint8)
        pose = lane.see(picture_of(noise, number * STEP_NS))
        assert pose is not None and pose.lost


def test_what_does_not_move_as_one_is_no_pose():
    lane = LiveLane(dataclasses.replace(CONFIG, min_share=1.0))
    lane.see(picture_at(0))
    start = start_at(0)
    pushed = start.points.copy()
    pushed[::2] += [0.0, 0.0, 0.5]  # not where its pixels say
    lane.begin(dataclasses.replace(start, points=pushed))
    poses = follow(lane, 1, 30)
    assert poses[-1].lost == "disagreement"


def test_too_old_is_lost():
    lane = LiveLane(dataclasses.replace(CONFIG, max_age_s=0.5))
    lane.see(picture_at(0))
    lane.begin(start_at(0))
    lost = [pose.lost for pose in follow(lane, 1, 20)]
    assert lost == [""] * 15 + ["too_old"] * 4


@pytest.mark.parametrize("change", ["back", "gap", "size", "frame", "calibration"])
def test_images_that_do_not_go_on_end_everything(change: str):
    lane = LiveLane(CONFIG)
    follow(lane, 3, 4)
    lane.begin(start_at(3))
    follow(lane, 4, 6)
    stamp = {"back": 0, "gap": 200}.get(change, 6) * STEP_NS
    size = (60, 80) if change == "size" else (plane.HEIGHT, plane.WIDTH)
    picture = picture_of(plane.image_at(stamp, size), stamp, "other" if change == "frame" else "camera")
    if change == "calibration":
        picture = dataclasses.replace(picture, intrinsics=np.eye(3))
    picture = dataclasses.replace(picture, arrived_s=100.0)
    assert lane.see(picture, StreamConfig(max_gap_s=2.0)) is None
    assert lane.state == "waiting" and lane.stored == 1 and lane.lost == {"break": 1}
    assert not lane.begin(start_at(5)) and lane.refused == {"stale": 1}


def test_what_the_stream_drops_is_left_out_here_too():
    lane = LiveLane(CONFIG)
    follow(lane, 0, 3)
    lane.begin(start_at(2))
    follow(lane, 3, 5)
    follow(lane, 6, 7)
    assert lane.see(picture_at(6)) is None and lane.see(picture_at(5)) is None  # again; overtaken by its neighbour
    other = picture_of(plane.image_at(7 * STEP_NS), 7 * STEP_NS, "other")
    assert lane.see(other, StreamConfig(reset_on_frame_id_change=False)) is None
    assert lane.stored == 6 and not lane.lost
    (pose,) = follow(lane, 7, 8)
    assert not pose.lost and apart(pose)[0] < 2.0


def test_the_store_is_bounded_by_number_and_time():
    lane = LiveLane(dataclasses.replace(CONFIG, store_images=7))
    follow(lane, 0, 20)
    assert lane.stored == 7
    lane.config = dataclasses.replace(CONFIG, store_s=0.1)
    follow(lane, 20, 22)
    assert lane.stored == 4
    assert lane.see(picture_at(21)) is None and lane.stored == 4  # the same image once more
    lane.clear()
    assert lane.stored == 0


def test_a_large_image_is_shrunk_and_its_pixels_are_those_of_the_image():
    size = (4 * plane.HEIGHT, 4 * plane.WIDTH)
    lane = LiveLane(CONFIG)
    result = plane.make_result(np.array([0]))
    result = dataclasses.replace(
        result, camera=dataclasses.replace(result.camera, intrinsics=plane.intrinsics_of(size))
    )
    lane.see(picture_of(plane.image_at(0, size), 0))
    lane.begin(start_from(result, plane.image_at(0, size), plane.mask_at(0, size), 0.0, CONFIG))
    pose = lane.see(picture_of(plane.image_at(STEP_NS, size), STEP_NS))
    assert pose is not None and apart(pose)[0] < 1.0
    np.testing.assert_allclose(project(plane.intrinsics_of(size), pose.points_camera), pose.points_px, atol=1e-6)
    assert pose.points_px.max() > 2 * plane.WIDTH
