"""Points on a surface: area-uniform samples and farthest points."""

from __future__ import annotations

import numpy as np
import torch

from ..errors import InputError, MeshError
from ..shapes import check_shape
from .types import check_mesh_arrays, face_areas_normals


def sample_surface(
    vertices: np.ndarray, faces: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw points uniformly over the area of a mesh, as the VAE's encoder wants them.

    Args:
        vertices: [V, 3].
        faces: [T, 3], counter-clockwise from outside.
        count: n.
        rng: source of randomness; the same generator state gives the same points.
    Returns:
        points [n, 3] float32, normals [n, 3] float32 (of the face), face [n] int64, barycentric [n, 3] float32.
    Raises:
        ShapeError, MeshError: the arrays are no mesh, or its area is zero.
    Twin: ``lab.reference.sampling.sample_surface``.
    """
    check_mesh_arrays(vertices, faces)
    areas, normals = face_areas_normals(vertices, faces)
    reach = np.cumsum(areas)
    if not reach[-1] > 0:
        raise MeshError(f"all {len(faces)} faces have zero area: give a mesh with a surface")
    draws = rng.random((count, 3))
    face = np.searchsorted(reach, draws[:, 0] * reach[-1], side="right")
    # The square root spreads points evenly from the corner to the opposite edge.
    root = np.sqrt(draws[:, 1])
    barycentric = np.stack([1 - root, root * (1 - draws[:, 2]), root * draws[:, 2]], axis=1)
    points = np.einsum("nc,ncd->nd", barycentric, vertices.astype(np.float64)[faces[face]])
    return points.astype(np.float32), normals[face].astype(np.float32), face, barycentric.astype(np.float32)


def farthest_points(points: torch.Tensor, count: int, start: int = 0) -> torch.Tensor:
    """Choose points that cover a cloud evenly: each is the farthest from those chosen before.

    Args:
        points: [n, 3] floating, any device.
        count: how many, at most n.
        start: index of the first.
    Returns:
        [count] int64 indices in the order chosen, on the device of ``points``; equal distances go to the lowest index.
    Raises:
        InputError: more points wanted than there are, or ``start`` out of range.
    Twin: ``lab.reference.sampling.farthest_points``.
    """
    total = check_shape("points", points, "n 3")["n"]
    if not 1 <= count <= total or not 0 <= start < total:
        raise InputError(f"cannot choose {count} points from {total} starting at {start}: lower the count")
    axes = points.to(torch.promote_types(points.dtype, torch.float32)).T.contiguous()
    nearest = torch.full_like(axes[0], torch.inf)
    chosen = torch.empty(count, dtype=torch.int64, device=points.device)
    chosen[0] = start
    offset, squared = torch.empty_like(axes), torch.empty_like(nearest)
    for i in range(1, count):
        torch.sub(axes, axes.index_select(1, chosen[i - 1 : i]), out=offset)
        offset.square_()
        torch.add(offset[0], offset[1], out=squared).add_(offset[2])
        torch.minimum(nearest, squared, out=nearest)
        # Below every distance: a chosen point is never chosen again, not even when only its duplicates are left.
        nearest.index_fill_(0, chosen[i - 1 : i], -1.0)
        torch.argmax(nearest, dim=0, keepdim=True, out=chosen[i : i + 1])
    return chosen
