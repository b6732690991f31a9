"""Which triangle of a posed mesh a pixel sees: a z-buffer for whole images and exact rays for single queries.

Both use the edge functions of homogeneous rasterisation: for a ray d through the camera centre and a triangle a, b, c
the triple products d.(b x c), d.(c x a), d.(a x b) have one sign exactly if the ray meets the triangle; normalised to
sum 1 they are the perspective-correct barycentric coordinates, and det(a, b, c) over their sum is the depth along d.
Two triangles that share an edge compute it with exactly opposite signs, so that no ray slips through between them.

Triangles are seen from both sides. A triangle with a vertex at or behind ``NEAR`` is dropped whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..shapes import check_shape
from .intrinsics import check_intrinsics

NEAR = 1e-4
"""Depth in front of which a triangle is drawn, units of the vertices; objects are about 2 units long."""

_CELLS = 128  # most cells along each axis of the grid that pairs queries with triangles


@dataclass(frozen=True)
class RasterBuffer:
    """What each pixel centre sees.

    Attributes:
        depth: [H, W] float32 z in the camera frame, units of the vertices; inf = nothing.
        face: [H, W] int32 triangle; -1 = nothing.
        barycentric: [H, W, 3] float32 weights of the triangle's corners, summing to 1; zeros = nothing.
    """

    depth: np.ndarray
    face: np.ndarray
    barycentric: np.ndarray


@dataclass(frozen=True)
class _Edges:
    """Triangles in front of the camera as edge functions over pixels: value = x * along_x + y * along_y + constant.

    face [n]: index in the caller's list; along_x, along_y, constant [n, 3]: non-negative inside; volume [n] > 0;
    low, high [n, 2]: bounds of the projection, pixels.
    """

    face: np.ndarray
    along_x: np.ndarray
    along_y: np.ndarray
    constant: np.ndarray
    volume: np.ndarray
    low: np.ndarray
    high: np.ndarray


def rasterize(
    vertices_camera: np.ndarray, faces: np.ndarray, intrinsics: np.ndarray, height: int, width: int
) -> RasterBuffer:
    """Draw a mesh into a z-buffer: the nearest triangle at every pixel centre.

    A centre on an edge belongs to the triangle; of triangles at exactly the same depth the first in ``faces`` is kept.

    Args:
        vertices_camera: [V, 3] camera frame (x right, y down, z forward).
        faces: [T, 3] integers.
        intrinsics: [3, 3] K, pixels.
        height, width: size of the buffer, pixels.
    Returns:
        depth, face and barycentric images.
    Raises:
        ShapeError: wrong shapes.   InputError: K cannot be used, a vertex is not finite, or the buffer is empty.
    Twin: ``lab.reference.raycast.rasterize``, a 3 x 3 solve per pixel and triangle.
    """
    if height < 1 or width < 1:
        raise InputError(f"the buffer is {width}x{height}, wanted at least 1x1")
    edges = _edges(vertices_camera, faces, intrinsics)
    nearest = np.zeros(height * width)
    winner = np.full(height * width, len(faces), dtype=np.int64)
    pixel, slot, value = _covered(edges, height, width)
    total = value[0] + value[1] + value[2]
    closeness = total / edges.volume[slot]
    np.maximum.at(nearest, pixel, closeness)
    front = np.flatnonzero(closeness == nearest[pixel])
    np.minimum.at(winner, pixel[front], edges.face[slot[front]])
    front = front[winner[pixel[front]] == edges.face[slot[front]]]

    depth = np.full(height * width, np.inf, dtype=np.float32)
    face = np.full(height * width, -1, dtype=np.int32)
    barycentric = np.zeros((height * width, 3), dtype=np.float32)
    seen = pixel[front]
    depth[seen] = 1.0 / closeness[front]
    face[seen] = edges.face[slot[front]]
    for corner in range(3):
        barycentric[seen, corner] = value[corner][front] / total[front]
    return RasterBuffer(
        depth.reshape(height, width), face.reshape(height, width), barycentric.reshape(height, width, 3)
    )


def intersect_pixels(
    vertices_camera: np.ndarray, faces: np.ndarray, intrinsics: np.ndarray, pixels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest triangle along the exact ray of each query pixel (the lifting step of Eq. 9).

    Args:
        vertices_camera: [V, 3] camera frame.
        faces: [T, 3] integers.
        intrinsics: [3, 3] K, pixels.
        pixels: [Q, 2] (x, y), any fraction; NaN meets nothing.
    Returns:
        face [Q] int32, -1 where the ray meets nothing; barycentric [Q, 3] float32, zeros there.
    Raises:
        ShapeError: wrong shapes.   InputError: K cannot be used or a vertex is not finite.
    Twin: ``lab.reference.raycast.intersect_pixels``, every ray against every triangle (Moeller and Trumbore).
    """
    check_shape("pixels", pixels, "Q 2")
    pixels = np.asarray(pixels, dtype=np.float64)
    edges = _edges(vertices_camera, faces, intrinsics)
    face = np.full(len(pixels), -1, dtype=np.int32)
    barycentric = np.zeros((len(pixels), 3), dtype=np.float32)
    query, slot = _candidates(edges, pixels)
    x, y = pixels[query, 0], pixels[query, 1]
    value = edges.along_x[slot] * x[:, None] + (edges.along_y[slot] * y[:, None] + edges.constant[slot])
    total = value.sum(axis=1)
    hit = np.flatnonzero((value >= 0).all(axis=1) & (total > 0))
    query, slot, value, total = query[hit], slot[hit], value[hit], total[hit]
    closeness = total / edges.volume[slot]
    # Nearest first, then the first triangle; the first row of each query is its answer.
    order = np.lexsort((edges.face[slot], -closeness, query))
    answered, first = np.unique(query[order], return_index=True)
    chosen = order[first]
    face[answered] = edges.face[slot[chosen]]
    barycentric[answered] = value[chosen] / total[chosen, None]
    return face, barycentric


def silhouette_iou(mask: np.ndarray, raster: RasterBuffer) -> float:
    """Overlap of a mask [H, W] bool with the drawn silhouette: intersection over union, NaN where both are empty.

    Raises:
        ShapeError: the mask has another size than the buffer.
    """
    axes = check_shape("raster.face", raster.face, "H W")
    check_shape("mask", mask, "H W", "draw the mesh at the mask's size", **axes)
    drawn, wanted = raster.face >= 0, np.asarray(mask).astype(bool, copy=False)
    union = int((drawn | wanted).sum())
    return float((drawn & wanted).sum() / union) if union else float("nan")


def _edges(vertices_camera: np.ndarray, faces: np.ndarray, intrinsics: np.ndarray) -> _Edges:
    """Edge functions of every triangle in front of the camera that is not seen exactly edge-on."""
    check_shape("vertices_camera", vertices_camera, "V 3")
    check_shape("faces", faces, "T 3")
    matrix = check_intrinsics(intrinsics)
    vertices = np.asarray(vertices_camera, dtype=np.float64)
    if not np.isfinite(vertices).all():
        bad = int(np.flatnonzero(~np.isfinite(vertices).all(axis=1))[0])
        raise InputError(f"vertex {bad} is {vertices[bad].tolist()}, wanted finite coordinates: check the pose")
    faces = np.asarray(faces, dtype=np.int64)
    kept = np.flatnonzero((vertices[faces, 2] > NEAR).all(axis=1)) if len(faces) else np.zeros(0, dtype=np.int64)
    corners = vertices[faces[kept]]
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    normals = np.stack([_cross(b, c), _cross(c, a), _cross(a, b)], axis=1)
    volume = a[:, 0] * normals[:, 0, 0] + a[:, 1] * normals[:, 0, 1] + a[:, 2] * normals[:, 0, 2]
    # The ray of pixel (x, y) is K^-1 [x, y, 1]. The sums are written out because a matrix product may round an edge's
    # two sides differently, and they have to cancel exactly.
    inverse = np.linalg.inv(matrix)
    along_x, along_y, constant = (
        normals[..., 0] * inverse[0, k] + normals[..., 1] * inverse[1, k] + normals[..., 2] * inverse[2, k]
        for k in range(3)
    )
    projected = vertices @ matrix.T
    with np.errstate(divide="ignore", invalid="ignore"):
        flat = (projected[:, :2] / projected[:, 2:])[faces[kept]]
    solid = volume != 0
    sign = np.sign(volume[solid])[:, None]
    return _Edges(
        face=kept[solid],
        along_x=along_x[solid] * sign,
        along_y=along_y[solid] * sign,
        constant=constant[solid] * sign,
        volume=np.abs(volume[solid]),
        low=flat[solid].min(axis=1),
        high=flat[solid].max(axis=1),
    )


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross products [n, 3] for which _cross(a, b) is exactly -_cross(b, a)."""
    return np.stack(
        [
            a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1],
            a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2],
            a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0],
        ],
        axis=1,
    )


def _expand(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For counts [n]: the owner of each of the sum(counts) items and its place 0 .. count - 1 within the owner."""
    owner = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    return owner, place


def _pixel_bounds(low: np.ndarray, high: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """First pixel and number of pixels whose centres can lie in [low, high], inside an image of ``length`` pixels."""
    # The slack only admits candidates; the exact edge functions decide.
    first = np.ceil(np.clip(low - 1e-6, 0, length)).astype(np.int64)
    last = np.floor(np.clip(high + 1e-6, -1, length - 1)).astype(np.int64)
    return first, np.maximum(last - first + 1, 0)


def _covered(edges: _Edges, height: int, width: int) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """All (pixel, triangle) pairs with the centre inside: flat pixel [m], row of ``edges`` [m], edge values 3 x [m]."""
    first_y, rows = _pixel_bounds(edges.low[:, 1], edges.high[:, 1], height)
    first_x, columns = _pixel_bounds(edges.low[:, 0], edges.high[:, 0], width)
    slot, place = _expand(np.where(columns > 0, rows, 0))
    y = first_y[slot] + place
    # One scan line of one triangle: each edge function is linear in x, so it bounds the span from one side.
    slope = edges.along_x[slot]
    offset = edges.along_y[slot] * y[:, None] + edges.constant[slot]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = -offset / slope
    left = np.max(np.where(slope > 0, crossing, -np.inf), axis=1)
    right = np.min(np.where(slope < 0, crossing, np.inf), axis=1)
    left = np.maximum(left, first_x[slot])
    right = np.minimum(right, (first_x + columns - 1)[slot])
    start, count = _pixel_bounds(left, right, width)
    line, step = _expand(count)
    x = start[line] + step
    value = [slope[line, corner] * x + offset[line, corner] for corner in range(3)]
    inside = (value[0] >= 0) & (value[1] >= 0) & (value[2] >= 0) & (value[0] + value[1] + value[2] > 0)
    line, x = line[inside], x[inside]
    return y[line] * width + x, slot[line], [item[inside] for item in value]


def _candidates(edges: _Edges, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (query, row of ``edges``) that share a cell of a grid over the queries; every hit is among them."""
    known = np.flatnonzero(np.isfinite(pixels).all(axis=1))
    if len(known) == 0 or len(edges.face) == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    origin = pixels[known].min(axis=0)
    extent = pixels[known].max(axis=0) - origin
    cells = int(np.clip(np.sqrt(len(known)) * 2, 1, _CELLS))
    cell_side = np.maximum(extent, 1e-9) / cells

    def cell_of(points: np.ndarray) -> np.ndarray:
        cell: np.ndarray = np.floor(np.clip((points - origin) / cell_side, -1, cells)).astype(np.int64)
        return cell

    place = np.clip(cell_of(pixels[known]), 0, cells - 1)
    home = place[:, 1] * cells + place[:, 0]
    order = np.argsort(home, kind="stable")
    filled = np.bincount(home, minlength=cells * cells)
    begin = np.cumsum(filled) - filled

    # Queries on the far edge were put into the last cell, so triangles that only reach that edge go there too.
    low, high = cell_of(edges.low - 1e-6), cell_of(edges.high + 1e-6)
    outside = ((high < 0) | (edges.low - 1e-6 > origin + extent)).any(axis=1)
    low, high = np.clip(low, 0, cells - 1), np.clip(high, 0, cells - 1)
    span = np.where(outside[:, None], 0, high - low + 1)
    slot, step = _expand(span[:, 0] * span[:, 1])
    cell = (low[slot, 1] + step // span[slot, 0]) * cells + low[slot, 0] + step % span[slot, 0]
    used = filled[cell] > 0
    pair, rank = _expand(filled[cell[used]])
    return known[order[begin[cell[used]][pair] + rank]], slot[used][pair]
