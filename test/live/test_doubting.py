"""What the live lane saw contradicts a window, or does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from node.hand_made import camera_from_object_at, make_result
from scipy.spatial.transform import Rotation

from attnchain_ros.live.doubting import Sighting, doubted
from attnchain_ros.rollout.window import WindowResult

STAMPS = np.arange(1, 9, dtype=np.int64) * 10**8


def sightings(shift_ns: int = 0) -> list[Sighting]:
    return [Sighting(int(stamp) + shift_ns, camera_from_object_at(int(stamp))) for stamp in STAMPS]


def spoilt(turn_deg: float = 0.0, zoom: float = 1.0, frames: slice = slice(None)) -> WindowResult:
    """A window whose poses are turned about the viewing direction's normal, and nearer or farther."""
    made = make_result(STAMPS)
    poses = made.camera.camera_from_object.copy()
    turn = Rotation.from_euler("y", turn_deg, degrees=True).as_matrix()
    poses[frames, :3, :3] = poses[frames, :3, :3] @ turn
    poses[frames, :3, 3] *= zoom
    return replace(made, camera=replace(made.camera, camera_from_object=poses))


@pytest.mark.parametrize(("turn", "zoom"), [(0, 1), (59, 1), (-59, 1), (0, 1.59), (0, 1 / 1.59)])
def test_what_agrees_is_left_as_it_is(turn: float, zoom: float):
    window = spoilt(turn, zoom)
    assert doubted(window, sightings()) is window


@pytest.mark.parametrize(("turn", "zoom", "said"), [(94, 1, "turned by 94 degrees"), (0, 47 / 3.5, "factor of 13.43"),
                                                    (0, 0.5, "factor of 2.00"), (180, 1, "turned by 180")])  # fmt: skip
def test_a_window_from_another_side_or_elsewhere_is_not_trusted(turn: float, zoom: float, said: str):
    window = spoilt(turn, zoom)
    found = doubted(window, sightings())
    assert not found.camera.valid.any() and np.isnan(found.tracks.points_camera).all()
    assert not found.confidence.any() and [note.code for note in found.notes] == ["poses_against_live"]
    assert said in found.notes[0].text and "in 8 of its images" in found.notes[0].text
    np.testing.assert_array_equal(found.vertices, window.vertices)
    np.testing.assert_array_equal(found.tracks.points_px, window.tracks.points_px)
    np.testing.assert_array_equal(found.camera.camera_from_object, window.camera.camera_from_object)
    assert window.camera.valid.all() and not np.isnan(window.tracks.points_camera).any(), "the result itself stays"


def test_a_few_frames_do_not_outvote_the_others():
    window = spoilt(120, frames=slice(0, 3))
    assert doubted(window, sightings()) is window


@pytest.mark.parametrize(
    "seen",
    [[], sightings(shift_ns=1), sightings()[:2]],
    ids=["none", "other images", "two"],
)
def test_what_cannot_be_compared_says_nothing(seen: list[Sighting]):
    window = spoilt(150)
    assert doubted(window, seen) is window


def test_poses_that_are_not_valid_and_the_shared_frame_do_not_count():
    window = spoilt(150)
    few = replace(window, camera=replace(window.camera, valid=np.arange(8) < 3), shared_first=True)
    assert doubted(few, sightings()) is few
    assert doubted(replace(few, shared_first=False), sightings()) is not few
