"""Footage that is put together from pieces in whatever order they come."""

from __future__ import annotations

import numpy as np

from attnchain_ros.view.footage import Eye, Footage, Points, Surface, track_colors

FACES = np.array([[0, 1, 2]], np.int32)
SURFACE = Surface(1, FACES, None)


def _window(footage: Footage, first: int, frames: int, surface: Surface = SURFACE) -> None:
    stamps = np.arange(first, first + frames, dtype=np.int64) * 10
    vertices = np.full((frames, 3, 3), 0.0, np.float32) + stamps[:, None, None]
    footage.add_window(stamps, surface, vertices.astype(np.float32), np.full(frames, 0.5, np.float32))


def test_what_belongs_to_a_stamp_comes_together_whatever_came_first() -> None:
    footage = Footage("test")
    eye = Eye(np.eye(4), True)
    points = Points(np.ones((1, 3), np.float32), track_colors(np.array([4])), np.ones(1, bool), np.ones(1, np.float32))
    footage.add_eye(20, eye)
    footage.add_image(20, np.full((480, 640, 3), 7, np.uint8))
    _window(footage, 0, 4)
    footage.add_points(20, points)
    found, other = footage.moment(2), footage.moment(1)
    assert found is not None and other is not None
    assert found.stamp_ns == 20 and found.eye is eye and found.points is points
    assert found.image is not None and found.image.shape == (240, 320, 3)
    assert (found.shape.vertices == 20).all() and found.shape.confidence == 0.5
    assert other.eye is None and other.image is None and other.points is None
    assert footage.moment(4) is None and footage.eyes() == [eye]


def test_the_frame_that_windows_share_is_there_once() -> None:
    footage = Footage("test")
    _window(footage, 0, 4)
    _window(footage, 3, 4)
    assert footage.span == (0, 7) and footage.stamps() == [0, 10, 20, 30, 40, 50, 60]


def test_the_oldest_frames_go_and_the_others_keep_their_numbers() -> None:
    footage = Footage("test", most=5)
    for first in (0, 3, 6):
        _window(footage, first, 4)
    assert footage.span == (5, 10) and footage.stamps() == [50, 60, 70, 80, 90]
    assert footage.moment(4) is None
    moment = footage.moment(5)
    assert moment is not None and moment.stamp_ns == 50
    for stamp in range(100):
        footage.add_image(stamp, np.zeros((4, 4, 3), np.uint8))
    assert len(footage._images) == 10


def test_stamps_that_go_back_begin_anew() -> None:
    footage = Footage("test")
    _window(footage, 10, 4)
    before = footage.generation
    _window(footage, 0, 4)
    assert footage.generation == before + 1 and footage.stamps() == [0, 10, 20, 30] and footage.span == (4, 8)


def test_an_animation_is_of_one_mesh() -> None:
    footage = Footage("test")
    _window(footage, 0, 3)
    _window(footage, 5, 3, Surface(2, FACES, np.full((3, 3), 9, np.uint8)))
    _window(footage, 7, 3, Surface(2, FACES.copy(), np.full((3, 3), 10, np.uint8)))
    found = footage.run_of(4)
    assert found is not None
    surface, vertices, stamps = found
    assert stamps.tolist() == [50, 60, 70, 80, 90] and vertices[:, 0, 0].tolist() == stamps.tolist()
    assert surface.colors is not None and surface.colors[0, 0] == 10  # the newest colours
    first = footage.run_of(0)
    assert first is not None and first[2].tolist() == [0, 10, 20]


def test_the_angle_of_view_is_the_cameras() -> None:
    footage = Footage("test")
    assert footage.lens is None
    footage.set_intrinsics(np.array([[100.0, 0, 159.5], [0, 100.0, 99.5], [0, 0, 1]]))
    assert footage.lens is not None and footage.lens.size == (200, 320)
    assert np.isclose(footage.lens.fov, np.pi / 2) and np.isclose(footage.lens.aspect, 1.6)
    footage.add_image(0, np.zeros((100, 320, 3), np.uint8))
    assert footage.lens.size == (100, 320)
