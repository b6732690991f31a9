"""Twin of camera.raycast: every ray against every triangle, float64."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_NEAR = 1e-4


class RasterBuffer(NamedTuple):
    """depth [H, W] (inf = nothing), face [H, W] (-1 = nothing), barycentric [H, W, 3]; float64 and int64."""

    depth: np.ndarray
    face: np.ndarray
    barycentric: np.ndarray


def rasterize(
    vertices_camera: np.ndarray, faces: np.ndarray, intrinsics: np.ndarray, height: int, width: int
) -> RasterBuffer:
    """Solve corner matrix @ weights = ray for every pixel and triangle; positive weights are a hit."""
    depth = np.full((height, width), np.inf)
    face = np.full((height, width), -1, dtype=np.int64)
    barycentric = np.zeros((height, width, 3))
    inverse = np.linalg.inv(np.asarray(intrinsics, dtype=np.float64))
    for index, triangle in enumerate(faces):
        corners = np.asarray(vertices_camera, dtype=np.float64)[triangle].T
        if corners[2].min() <= _NEAR or abs(np.linalg.det(corners)) < 1e-14:
            continue
        for y in range(height):
            for x in range(width):
                weights = np.linalg.solve(corners, inverse @ [x, y, 1.0])
                # The ray has z = 1, so the corners' weights sum to 1 / depth.
                if weights.min() >= 0 and 1.0 / weights.sum() < depth[y, x]:
                    depth[y, x] = 1.0 / weights.sum()
                    face[y, x] = index
                    barycentric[y, x] = weights / weights.sum()
    return RasterBuffer(depth, face, barycentric)


def intersect_pixels(
    vertices_camera: np.ndarray, faces: np.ndarray, intrinsics: np.ndarray, pixels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Moeller and Trumbore's test for every query and triangle: face [Q] and barycentric [Q, 3]."""
    vertices = np.asarray(vertices_camera, dtype=np.float64)
    inverse = np.linalg.inv(np.asarray(intrinsics, dtype=np.float64))
    found = np.full(len(pixels), -1, dtype=np.int64)
    barycentric = np.zeros((len(pixels), 3))
    for q, (x, y) in enumerate(pixels):
        ray = inverse @ [x, y, 1.0]
        nearest = np.inf
        for index, (i, j, k) in enumerate(faces):
            a, b, c = vertices[i], vertices[j], vertices[k]
            if min(a[2], b[2], c[2]) <= _NEAR:
                continue
            side = np.cross(ray, c - a)
            determinant = (b - a) @ side
            if determinant == 0:
                continue
            u = -a @ side / determinant
            across = np.cross(-a, b - a)
            v = ray @ across / determinant
            distance = (c - a) @ across / determinant
            if u >= 0 and v >= 0 and u + v <= 1 and 0 < distance < nearest:
                nearest, found[q], barycentric[q] = distance, index, (1 - u - v, u, v)
    return found, barycentric
