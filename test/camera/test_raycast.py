"""camera.raycast: known pictures, watertight edges, and the fast code against its twin."""

from __future__ import annotations

import numpy as np
import pytest

from attnchain_ros.camera.raycast import RasterBuffer, intersect_pixels, rasterize, silhouette_iou
from attnchain_ros.errors import InputError, ShapeError
from attnchain_ros.lab.reference import raycast as twin

K = np.array([[40.0, 0.7, 15.5], [0, 42.0, 11.5], [0, 0, 1]])


def soup(rng: np.random.Generator, triangles: int, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Triangles at random, some behind the camera and some across the near plane."""
    centers = rng.uniform([-1.5, -1.2, -0.5], [1.5, 1.2, 5.0], (triangles, 1, 3))
    return (centers + rng.normal(size=(triangles, 3, 3)) * size).reshape(-1, 3), np.arange(3 * triangles).reshape(-1, 3)


def grid_mesh(rng: np.random.Generator, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """A wavy sheet in front of the camera, without holes."""
    y, x = np.mgrid[: cells + 1, : cells + 1] / cells * 4 - 2
    vertices = np.stack([x, y, 3 + rng.uniform(-0.2, 0.2, x.shape)], axis=-1).reshape(-1, 3)
    corner = (np.arange(cells)[:, None] * (cells + 1) + np.arange(cells)).ravel()
    first = np.stack([corner, corner + 1, corner + cells + 2], axis=1)
    second = np.stack([corner, corner + cells + 2, corner + cells + 1], axis=1)
    return vertices, np.concatenate([first, second])


def depth_along(vertices: np.ndarray, faces: np.ndarray, face: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
    return (vertices[faces[face], 2] * barycentric).sum(axis=-1)


@pytest.mark.parametrize("triangles, size", [(1, 0.5), (12, 0.3), (25, 1.0)])
def test_rasterize_against_twin(triangles: int, size: float) -> None:
    for seed in range(3):
        vertices, faces = soup(np.random.default_rng(seed * 100 + triangles), triangles, size)
        fast, slow = rasterize(vertices, faces, K, 24, 32), twin.rasterize(vertices, faces, K, 24, 32)
        assert np.array_equal(fast.face, slow.face)
        # float32 outputs of float64 sums: 6e-8 relative, on depths up to about 8
        np.testing.assert_allclose(fast.depth, slow.depth, rtol=1e-6)
        np.testing.assert_allclose(fast.barycentric, slow.barycentric, atol=1e-6)


@pytest.mark.parametrize("triangles, size", [(1, 0.5), (40, 0.1), (40, 1.0)])
def test_intersect_against_twin(triangles: int, size: float) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed * 100 + triangles)
        vertices, faces = soup(rng, triangles, size)
        pixels = rng.uniform([-5, -5], [36, 28], (60, 2))
        fast, slow = intersect_pixels(vertices, faces, K, pixels), twin.intersect_pixels(vertices, faces, K, pixels)
        assert np.array_equal(fast[0], slow[0])
        np.testing.assert_allclose(fast[1], slow[1], atol=1e-6)


def test_image_and_rays_agree() -> None:
    vertices, faces = grid_mesh(np.random.default_rng(0), 9)
    raster = rasterize(vertices, faces, K, 24, 32)
    y, x = np.mgrid[:24, :32]
    face, barycentric = intersect_pixels(vertices, faces, K, np.stack([x.ravel(), y.ravel()], axis=1))
    assert np.array_equal(face, raster.face.ravel())
    np.testing.assert_allclose(barycentric, raster.barycentric.reshape(-1, 3), atol=1e-7)


def test_square_by_hand() -> None:
    """A square of side 2 at depth 4 with f = 40 covers 20 x 20 pixels around the centre."""
    k = np.array([[40.0, 0, 15.5], [0, 40.0, 15.5], [0, 0, 1]])
    vertices = np.array([[-1.0, -1, 4], [1, -1, 4], [1, 1, 4], [-1, 1, 4]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    raster = rasterize(vertices, faces, k, 32, 32)
    wanted = np.zeros((32, 32), dtype=bool)
    wanted[6:26, 6:26] = True
    assert np.array_equal(raster.face >= 0, wanted)
    assert (raster.depth[wanted] == 4).all() and np.isinf(raster.depth[~wanted]).all()
    assert raster.face[8, 20] == 0 and raster.face[20, 8] == 1
    turned = rasterize(vertices, faces[:, ::-1], k, 32, 32)
    assert np.array_equal(turned.face, raster.face), "both sides are seen"
    nearer = np.concatenate([vertices, vertices * 0.5])
    stacked = rasterize(nearer, np.concatenate([faces, faces + 4]), k, 32, 32)
    assert (stacked.depth[wanted] == 2).all() and (stacked.face[wanted] >= 2).all()


def test_barycentric_is_perspective_correct() -> None:
    vertices = np.array([[-1.0, -1, 2], [3, -1, 8], [-1, 2, 5]])
    raster = rasterize(vertices, np.array([[0, 1, 2]]), K, 24, 32)
    seen = raster.face == 0
    assert seen.sum() > 50
    points = raster.barycentric[seen].astype(np.float64) @ vertices
    flat = points @ K.T
    y, x = np.nonzero(seen)
    np.testing.assert_allclose(flat[:, :2] / flat[:, 2:], np.stack([x, y], axis=1), atol=2e-5)
    np.testing.assert_allclose(points[:, 2], raster.depth[seen], rtol=1e-6)


def test_no_pixel_slips_through_shared_edges() -> None:
    """Edges through pixel centres, at whole and at odd places, must not leave holes."""
    for cells in (4, 7, 13):
        vertices, faces = grid_mesh(np.random.default_rng(cells), cells)
        vertices[:, 2] = 4.0
        for shift in (0.0, 1 / 3):
            k = np.array([[10.0 + shift, 0, 15.0], [0, 10.0 + shift, 12.0], [0, 0, 1]])
            raster = rasterize(vertices, faces, k, 25, 31)
            y, x = np.mgrid[:25, :31]
            covered = (abs(x - 15) < 5) & (abs(y - 12) < 5)
            assert (raster.face[covered] >= 0).all()
            lines = np.linspace(11, 19, 33)
            pixels = np.stack(np.meshgrid(lines, lines - 3), axis=-1).reshape(-1, 2)
            assert (intersect_pixels(vertices, faces, k, pixels)[0] >= 0).all()


def test_centres_on_edges_belong_to_the_triangle() -> None:
    """Corners on pixel centres, in numbers that float64 holds exactly: edges and corners count."""
    k = np.array([[8.0, 0, 16.0], [0, 8.0, 16.0], [0, 0, 1]])
    vertices = np.array([[-4.0, -4, 4], [4, -4, 4], [-4, 4, 4]])
    y, x = np.mgrid[:32, :32]
    wanted = (x >= 8) & (y >= 8) & (x + y <= 32)
    for order in ([0, 1, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]):
        assert np.array_equal(rasterize(vertices, np.array([order]), k, 32, 32).face == 0, wanted)
        pixels = np.stack([x.ravel(), y.ravel()], axis=1)
        assert np.array_equal(intersect_pixels(vertices, np.array([order]), k, pixels)[0] == 0, wanted.ravel())


def test_equal_depth_keeps_the_first_face() -> None:
    vertices = np.array([[-1.0, -1, 4], [1, -1, 4], [0, 1, 4]])
    faces = np.array([[0, 1, 2], [0, 1, 2], [0, 1, 2]])
    raster = rasterize(vertices, faces, K, 24, 32)
    assert set(np.unique(raster.face)) == {-1, 0}
    assert intersect_pixels(vertices, faces, K, np.array([[15.5, 11.5]]))[0].tolist() == [0]


def test_faces_at_the_near_plane_are_dropped() -> None:
    vertices = np.array([[-1.0, -1, 4], [1, -1, 4], [0, 1, -1.0]])
    assert (rasterize(vertices, np.array([[0, 1, 2]]), K, 24, 32).face == -1).all()
    assert intersect_pixels(vertices, np.array([[0, 1, 2]]), K, np.array([[15.5, 9.0]]))[0].tolist() == [-1]


def test_nothing_to_see() -> None:
    none = np.zeros((0, 3), dtype=int)
    assert (rasterize(np.zeros((0, 3)), none, K, 3, 4).face == -1).all()
    face, barycentric = intersect_pixels(np.zeros((0, 3)), none, K, np.array([[1.0, 1.0], [np.nan, 2.0]]))
    assert face.tolist() == [-1, -1] and not barycentric.any()
    vertices, faces = grid_mesh(np.random.default_rng(1), 3)
    assert intersect_pixels(vertices, faces, K, np.array([[15.0, np.nan], [15.0, 11.0]]))[0].tolist()[0] == -1
    assert len(intersect_pixels(vertices, faces, K, np.zeros((0, 2)))[0]) == 0


def test_silhouette_overlap() -> None:
    face = np.full((4, 4), -1, dtype=np.int32)
    face[:2] = 3
    raster = RasterBuffer(np.ones((4, 4), np.float32), face, np.zeros((4, 4, 3), np.float32))
    mask = np.zeros((4, 4), dtype=bool)
    mask[1:3] = True
    assert silhouette_iou(mask, raster) == pytest.approx(1 / 3)
    empty = RasterBuffer(raster.depth, np.full((4, 4), -1, np.int32), raster.barycentric)
    assert np.isnan(silhouette_iou(~(mask | True), empty))
    with pytest.raises(ShapeError, match="mask has shape"):
        silhouette_iou(mask[:3], raster)


def test_bad_input_is_named() -> None:
    faces = np.array([[0, 1, 2]])
    with pytest.raises(InputError, match="vertex 1 is"):
        rasterize(np.array([[0, 0, 1], [np.nan, 0, 1], [0, 1, 1]]), faces, K, 4, 4)
    with pytest.raises(InputError, match="0x4"):
        rasterize(np.ones((3, 3)), faces, K, 4, 0)
    with pytest.raises(InputError, match="focal"):
        rasterize(np.ones((3, 3)), faces, np.zeros((3, 3)), 4, 4)
