"""Colours of vertices on a ball that turns: what was seen first stays, what is seen later gets its own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import trimesh

from attnchain_ros.camera.crop import Crop
from attnchain_ros.camera.raycast import rasterize
from attnchain_ros.camera.tracks3d import to_camera
from attnchain_ros.rollout.cameras import draw_frames
from attnchain_ros.rollout.paint import PLAIN_COLOR, Paint
from attnchain_ros.rollout.painting import paint_window
from attnchain_ros.rollout.window import CameraTrack, Window

SIZE = 160
INTRINSICS = np.array([[200.0, 0, 79.5], [0, 200.0, 79.5], [0, 0, 1]])
BALL: Any = trimesh.creation.icosphere(subdivisions=4, radius=1.0)
REST = np.asarray(BALL.vertices, np.float32)
FACES = np.asarray(BALL.faces, np.int32)
COLORS = np.rint(127.5 + 120 * REST).astype(np.uint8)
TURNS = np.linspace(0, 180, 31)
"""Degrees about the upright axis, two windows of 16 frames that share one."""


def _turn(degrees: float) -> np.ndarray:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def _paint(
    before: Paint | None, index: int, frames: range, valid: np.ndarray | None = None, off: float = 0.0
) -> tuple[Paint, Any]:
    """One window of the ball, with all poses; ``off``: degrees by which later poses of the mesh are wrong."""
    truth = np.stack([REST @ _turn(TURNS[frame]).T for frame in frames]).astype(np.float32)
    wrong = [off if number else 0.0 for number in frames]
    moved = np.stack([REST @ _turn(TURNS[frame] + more).T for frame, more in zip(frames, wrong, strict=True)])
    pose = np.diag([1.0, -1.0, -1.0, 1.0])
    pose[2, 3] = 4.0
    images, masks = [], []
    for points in truth:
        drawn = rasterize(to_camera(points[None], pose)[0], FACES, INTRINSICS, SIZE, SIZE)
        color = (COLORS[FACES[drawn.face]] * drawn.barycentric[..., None]).sum(axis=2)
        images.append(np.where(drawn.face[..., None] >= 0, np.rint(color), 255).astype(np.uint8))
        masks.append(drawn.face >= 0)
    window = Window(np.stack(images), np.stack(masks), np.array(frames, np.int64) + 1, INTRINSICS)
    count = len(frames)
    camera = CameraTrack(
        INTRINSICS, True, np.tile(pose, (count, 1, 1)), np.ones(count, bool) if valid is None else valid,
        np.ones(count, np.int32), np.ones(count, np.float32),
    )  # fmt: skip
    state = SimpleNamespace(index=index, anchor=SimpleNamespace(mesh=SimpleNamespace(faces=FACES)))
    trace = SimpleNamespace(window=window, state=state, crop=Crop(0.0, 0.0, float(SIZE), SIZE), frames=count)
    animation = SimpleNamespace(vertices=moved.astype(np.float32))
    buffers = draw_frames(animation.vertices, FACES, camera, trace.crop)  # type: ignore[arg-type]
    arguments: Any = (before, trace, animation, camera, np.ones(count, bool), buffers)
    return paint_window(*arguments), arguments


def _errors(paint: Paint) -> np.ndarray:
    return np.abs(paint.colors(REST).astype(int) - COLORS).max(axis=1)


FRONT, BACK = REST[:, 2] > 0.4, REST[:, 2] < -0.4


def test_the_back_gets_its_colours_once_it_was_seen_and_the_front_keeps_its_own() -> None:
    alone, _ = _paint(None, 0, range(1))
    # Of the first frame alone the front is right; the back is the outline's, which is far from it.
    assert np.quantile(_errors(alone)[FRONT], 0.99) <= 8
    assert np.median(_errors(alone)[BACK]) > 40
    first, _ = _paint(None, 0, range(16))
    both, _ = _paint(first, 1, range(15, 31))
    assert np.median(_errors(first)[BACK]) > np.median(_errors(both)[BACK]) and np.median(_errors(both)[BACK]) <= 4
    assert np.quantile(_errors(both)[BACK], 0.95) <= 12
    assert np.quantile(_errors(both)[FRONT], 0.99) <= 8


def test_a_mesh_that_drifts_later_does_not_spoil_what_the_first_frame_saw() -> None:
    alone, _ = _paint(None, 0, range(1))
    drifting, _ = _paint(None, 0, range(16), off=15.0)
    drifting, _ = _paint(drifting, 1, range(15, 31), off=15.0)
    steady = REST[:, 2] > 0.6
    # 15 degrees are 30 grey values here; what is left of them stays below a tenth.
    assert _errors(drifting)[steady].mean() <= _errors(alone)[steady].mean() + 3


def test_poses_that_are_not_trusted_serve_until_there_are_others() -> None:
    nothing, arguments = _paint(None, 0, range(16), valid=np.zeros(16, bool))
    assert nothing.later_weight.max() <= 0.01 and not nothing.first_weight.any()
    assert np.median(_errors(nothing)[FRONT]) <= 4  # one look, which is better than grey
    _, trace, moved, camera, _, buffers = arguments
    none_found = paint_window(None, trace, moved, camera, np.zeros(16, bool), buffers)
    assert (none_found.colors(REST) == PLAIN_COLOR).all()
    assert (paint_window(None, trace, moved, camera, np.zeros(16, bool), []).colors(REST) == PLAIN_COLOR).all()
    better, _ = _paint(nothing, 1, range(15, 31))
    assert np.median(_errors(better)[BACK]) <= 4


def test_what_is_kept_does_not_grow() -> None:
    paint, _ = _paint(None, 0, range(16))
    sizes = [array.shape for array in (paint.first, paint.first_weight, paint.later, paint.later_weight)]
    again, _ = _paint(paint, 1, range(15, 31))
    assert [a.shape for a in (again.first, again.first_weight, again.later, again.later_weight)] == sizes
    assert np.array_equal(again.first, paint.first) and (again.later_weight >= paint.later_weight).all()
