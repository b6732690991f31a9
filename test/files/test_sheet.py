"""The contact sheet: crops map exactly, the overlay lies where the object is, and the rows are not empty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from attnchain_ros.errors import InputError
from attnchain_ros.files.shading import linear_from_srgb, shade, shading_normals, srgb_from_linear
from attnchain_ros.files.sheet import SheetFrame, _Crop, _cut, contact_sheet


def _frames(scene: Any, numbers: tuple[int, ...]) -> list[SheetFrame]:
    _, result = scene.windows[0]
    return [
        SheetFrame(
            number=number,
            time_s=number / 30,
            image=scene.images[number],
            mask=scene.masks[number],
            image_scale=1.0,
            vertices=result.vertices[number],
            camera_from_object=result.camera.camera_from_object[number],
            camera_valid=bool(result.camera.valid[number]),
            camera_known=bool(result.camera.valid[: number + 1].any()),
            intrinsics=result.camera.intrinsics,
            trails_px=result.tracks.points_px[: number + 1],
            visible=result.tracks.visible[: number + 1],
        )
        for number in numbers
    ]


@pytest.mark.parametrize("crop", [_Crop(3, 5, 40, 1.0), _Crop(-6, -2, 64, 0.5), _Crop(10, 20, 25, 0.25)])
def test_pixels_map_into_a_tile_as_the_picture_does(crop: _Crop) -> None:
    """A soft spot painted at a known full-frame place is found where the map says."""
    full, tile = 160, 100
    size = round(full * crop.image_scale)
    spot = np.array([57.0, 70.0]) if crop.image_scale == 0.5 else np.array([25.0, 30.0]) / min(1, crop.image_scale)
    if crop.image_scale == 0.25:
        spot = np.array([88.0, 121.0])
    grid = (np.arange(size) + 0.5) / crop.image_scale - 0.5
    sigma = 6.0 / (4 * crop.image_scale) + 2
    image = np.exp(-((grid[None] - spot[0]) ** 2 + (grid[:, None] - spot[1]) ** 2) / (2 * sigma**2)).astype(np.float32)
    seen = _cut(image, crop, tile, 0)
    y, x = np.mgrid[:tile, :tile]
    weight = np.where(seen > 0.3 * seen.max(), seen, 0)
    centre = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
    expected = (crop.tile_from_full(tile) @ [*spot, 1.0])[:2]
    # Seen: within 0.06 px; a half-pixel mistake would show as 0.5 and more.
    np.testing.assert_allclose(centre, expected, atol=0.15)


def test_the_overlay_covers_the_object(make_scene: Callable[..., Any]) -> None:
    scene = make_scene(frames=4, size=4, subdivisions=3)
    tile = 120
    sheet = contact_sheet(_frames(scene, (0,)), scene.faces, scene.windows[0][1].vertex_colors, "t", tile=tile)
    top, left, gap = 34 + 40, 184, 6
    before = sheet[top : top + tile, left : left + tile].astype(int)
    over = sheet[top + tile + gap : top + 2 * tile + gap, left : left + tile].astype(int)
    changed = np.abs(before - over).max(axis=2) > 12
    ys, xs = np.nonzero(changed)
    # The crop is 1.2 times the object's longer side (here its width), centred on it.
    assert abs(float(xs.max() - xs.min() + 1) / tile - 1 / 1.2) < 0.06
    assert abs((xs.min() + xs.max()) / 2 - tile / 2) < 4 and abs((ys.min() + ys.max()) / 2 - tile / 2) < 4
    blue = over[tile // 2, tile // 2]
    assert blue[2] > blue[0], "the tint is blue"


def test_a_frame_without_pose_is_marked_and_the_mesh_alone_still_shows(make_scene: Callable[..., Any]) -> None:
    scene = make_scene(frames=4, size=4)
    good, bad = _frames(scene, (1, 2))
    assert not bad.camera_valid
    colours = scene.windows[0][1].vertex_colors
    sheet = contact_sheet([good, bad], scene.faces, colours, "t", "s", tile=100)
    alone = sheet[-106:-6]
    for column in range(2):
        part = alone[:, 184 + column * 106 : 284 + column * 106].reshape(-1, 3)
        assert len(np.unique(part, axis=0)) > 50
    white = (sheet == 255).all(axis=2)
    row = 34 * 2 + 40 + 106 + 85
    assert white[row, 184 + 106 : 184 + 206].sum() > white[row, 184:284].sum() + 20, "a white strip with the reason"


def test_masks_tracks_and_poses_may_all_be_missing(make_scene: Callable[..., Any]) -> None:
    scene = make_scene(frames=4, size=4)
    (frame,) = _frames(scene, (2,))
    bare = replace(
        frame,
        mask=None,
        trails_px=np.zeros((3, 0, 2)),
        visible=np.zeros((3, 0), bool),
        camera_from_object=np.eye(4),
        camera_known=False,
    )
    sheet = contact_sheet([bare], scene.faces, scene.windows[0][1].vertex_colors, "t", tile=80)
    first, second = (sheet[74 + row * 86 : 74 + row * 86 + 50, 184:264] for row in (0, 1))
    np.testing.assert_array_equal(first, second, "without any pose yet nothing is drawn over the picture")
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3
    with pytest.raises(InputError, match="at least one frame"):
        contact_sheet([], scene.faces, scene.windows[0][1].vertex_colors, "t")


def test_tracks_far_outside_or_absent_are_left_out(make_scene: Callable[..., Any]) -> None:
    scene = make_scene(frames=4, size=4)
    (frame,) = _frames(scene, (3,))
    trails = frame.trails_px.copy()
    trails[:, 0] = np.nan
    trails[-1, 1] = 1e9
    contact_sheet([replace(frame, trails_px=trails)], scene.faces, scene.windows[0][1].vertex_colors, "t", tile=80)


def test_normals_of_a_cube_and_of_nothing() -> None:
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [5, 5, 5]], np.float32)
    normals = shading_normals(square, np.array([[0, 2, 1], [0, 3, 2]]))
    np.testing.assert_array_equal(normals, [[0, 0, -1]] * 4 + [[0, 0, 1]])


def test_shading_is_brightest_towards_the_light() -> None:
    white = np.full((3, 3), 255, np.uint8)
    towards, away, side = shade(np.array([[-0.45, -0.7, -0.55], [0.45, 0.7, 0.55], [0, 0, -1.0]]) / 0.9975, white)[:, 0]
    assert towards > side > away > 60


def test_srgb_values_survive_linear_light_exactly() -> None:
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(srgb_from_linear(linear_from_srgb(every)), every)
    # From the standard: 0.5 sRGB is 0.2140 linear.
    assert float(linear_from_srgb(np.array([127.5]))[0]) == pytest.approx(0.2140, abs=1e-4)
