"""attnchain_ros.lab.synthetic.render against sphere tracing, the camera and the masks it makes itself."""

from __future__ import annotations

import numpy as np
import pytest

from attnchain_ros.lab.synthetic import FAMILIES, Clip, ClipConfig, Pictures, make_clip, render_cropped
from attnchain_ros.lab.synthetic.solids import nearest_surface, solid_distances


@pytest.fixture(scope="module", params=FAMILIES)
def clip(request: pytest.FixtureRequest) -> Clip:
    return make_clip(7, ClipConfig(family=request.param, frames=6, image_size=96, camera="orbit"))


def _project(
    points: np.ndarray, intrinsics: np.ndarray, camera_from_object: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    seen = points @ camera_from_object[:3, :3].T + camera_from_object[:3, 3]
    pixels = seen @ intrinsics.T
    return pixels[:, :2] / pixels[:, 2:], seen[:, 2]


def _check_geometry(seen: Pictures, intrinsics: np.ndarray, cameras: np.ndarray, clip: Clip) -> None:
    np.testing.assert_array_equal(seen.masks, seen.depth > 0)
    np.testing.assert_array_equal(seen.masks, seen.parts >= 0)
    assert (seen.xyz[~seen.masks] == 0).all()
    for frame in range(len(seen.masks)):
        row, column = np.nonzero(seen.masks[frame])
        xyz = seen.xyz[frame][row, column]
        pixels, depth = _project(xyz.astype(np.float64), intrinsics, cameras[frame])
        # Worst seen over 30 clips 2.5e-6 px and 3.4e-8: xyz is rounded to float32.
        np.testing.assert_allclose(pixels, np.stack([column, row], axis=1), atol=2e-5)
        np.testing.assert_allclose(depth, seen.depth[frame][row, column], atol=1e-6)
        # Also at grazing rays the point is on the surface: worst seen 1.6e-6.
        assert np.abs(clip.sdf(frame, xyz)).max() < 1e-5


def test_depth_xyz_and_masks_agree_with_the_camera(clip: Clip) -> None:
    _check_geometry(clip.pictures, clip.intrinsics, clip.camera_from_object, clip)


def test_crop_depth_xyz_and_masks_agree_with_its_camera(clip: Clip) -> None:
    seen = render_cropped(clip, range(6), 64)
    _check_geometry(seen, seen.intrinsics, clip.camera_from_object, clip)


def test_intersections_agree_with_sphere_tracing(clip: Clip) -> None:
    frame, size = 2, clip.config.image_size
    camera = clip.camera_from_object[frame]
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, size, (3000, 2))
    rays = np.column_stack([pixels, np.ones(len(pixels))]) @ np.linalg.inv(clip.intrinsics).T
    length = np.linalg.norm(rays, axis=1)
    directions = (rays / length[:, None]) @ camera[:3, :3]
    origin = -camera[:3, :3].T @ camera[:3, 3]
    walked = np.zeros(len(rays))
    for _ in range(400):
        distance = clip.sdf(frame, origin + walked[:, None] * directions)
        walked += np.where(walked < 10, distance, 0)
    hit = walked < 10
    mask = clip.masks[frame][pixels[:, 1], pixels[:, 0]]
    assert mask.sum() > 300
    # Only rays that graze the outline may differ: sphere tracing creeps there.
    assert (hit != mask).mean() < 2e-3
    both = hit & mask
    depth = clip.depth[frame][pixels[:, 1], pixels[:, 0]]
    error = np.abs(walked / length - depth)[both]
    assert np.quantile(error, 0.99) < 1e-4


def test_part_is_the_solid_the_point_lies_on(clip: Clip) -> None:
    frame = 1
    seen = np.unique(clip.parts[frame])[1:]
    for part in seen:
        points = clip.xyz[frame][clip.parts[frame] == part]
        away = solid_distances(points, clip.pose.solids(frame))[part]
        np.testing.assert_allclose(away, 0.0, atol=1e-5)
    assert len(seen) >= 0.5 * len(clip.model.parents)


def test_normals_are_those_of_the_solid_that_is_seen(clip: Clip) -> None:
    frame = 2
    mask = clip.masks[frame]
    points, parts = clip.xyz[frame][mask], clip.parts[frame][mask]
    found = clip.pictures.normals[frame][mask]
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-4)
    # Lifted off the surface, so that rounding does not decide about the face of a box.
    _, wanted = nearest_surface(points + 1e-4 * found, clip.pose.solids(frame), parts)
    agreement = (found * wanted).sum(axis=1)
    # The rest lies within 1e-4 of the edge of a box.
    assert (agreement > 0.999).mean() > 0.995
    assert (clip.pictures.normals[frame][~mask] == 0).all()
    place = -clip.camera_from_object[frame, :3, :3].T @ clip.camera_from_object[frame, :3, 3]
    # What is seen faces the camera.
    assert ((place - points) * found).sum(axis=1).min() > -1e-3


def test_instance_ids_are_one_on_the_object(clip: Clip) -> None:
    ids = clip.instance_ids
    assert ids.dtype == np.uint16 and ids.shape == clip.masks.shape
    np.testing.assert_array_equal(ids == 1, clip.masks)
    assert ids.max() == 1


@pytest.mark.parametrize("size", [64, 129])
def test_crop_box_is_the_union_of_the_masks_padded(clip: Clip, size: int) -> None:
    seen = render_cropped(clip, range(6), size)
    rows, columns = np.nonzero(seen.masks.any(axis=0))
    extent = max(np.ptp(rows), np.ptp(columns)) + 1
    # Ten per cent of the longer side on each side; the mask's box may lose the pixels that the outline only touches.
    assert size / 1.2 - 3 <= extent <= size / 1.2 + 1
    for places in (rows, columns):
        np.testing.assert_allclose(0.5 * (places.min() + places.max()), 0.5 * (size - 1), atol=1.5)
    assert (seen.images[~seen.masks] == 255).all()


def test_crop_maps_pixels_as_its_intrinsics_say(clip: Clip) -> None:
    seen = render_cropped(clip, [0, 3], 96)
    full_from_crop = clip.intrinsics @ np.linalg.inv(seen.intrinsics)
    np.testing.assert_allclose(full_from_crop[[0, 1, 2, 2], [1, 0, 0, 1]], 0, atol=1e-12)
    np.testing.assert_allclose(full_from_crop[0, 0], full_from_crop[1, 1], atol=1e-12)
    rows, columns = np.nonzero(seen.masks[1])
    place = np.column_stack([columns, rows, np.ones(len(rows))]) @ full_from_crop.T
    nearest = np.rint(place[:, :2]).astype(int)
    agree = clip.parts[3][nearest[:, 1], nearest[:, 0]] == seen.parts[1][rows, columns]
    # The rest lies within half a pixel of an edge between parts; seen 0.960, and 0.906 with
    # the crop shifted by one pixel.
    assert agree.mean() > 0.94


def test_averaged_colours_keep_the_centre_ray_geometry(clip: Clip) -> None:
    one, many = render_cropped(clip, [0], 48), render_cropped(clip, [0], 48, rays_per_side=3)
    np.testing.assert_array_equal(one.depth, many.depth)
    np.testing.assert_array_equal(one.intrinsics, many.intrinsics)
    difference = np.abs(one.images.astype(int) - many.images).mean(axis=(0, 3))
    assert 0 < difference.mean() < 15
    # The middle one of nine rays is the centre ray: inside a field of one colour nothing changes much.
    assert np.median(difference[one.masks[0]]) < 25


def test_pictures_do_not_depend_on_how_many_frames_are_rendered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    config = ClipConfig(frames=5, image_size=40)
    whole = make_clip(3, config).pictures
    monkeypatch.setattr("attnchain_ros.lab.synthetic.render._CHUNK_PIXELS", 40 * 40 * 2)
    parted = make_clip(3, config).pictures
    for name in ("images", "masks", "depth", "parts", "xyz"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parted, name))


@pytest.mark.parametrize("size", [1, 33, 256])
def test_other_sizes(size: int) -> None:
    seen = make_clip(1, ClipConfig(frames=2, image_size=size)).pictures
    assert seen.images.shape == (2, size, size, 3) and seen.xyz.shape == (2, size, size, 3)
    if size > 1:
        # The whole animal is in the picture, in every frame.
        edge = np.concatenate([seen.masks[:, [0, -1]].ravel(), seen.masks[:, :, [0, -1]].ravel()])
        assert seen.masks.mean() > 0.05 and not edge.any()
