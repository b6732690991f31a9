"""Rounded boxes, the one primitive of the generator: signed distance to their union, projection onto its surface.

A rounded box is a box of half extents h grown by a radius r. Three kinds are used: a capsule has h = (L / 2, 0, 0), a
plate has h = (a, b, 0) and thickness 2 r, and a plain box has r = 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

_SIGNS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)


@dataclass(frozen=True)
class Solids:
    """P rounded boxes in one frame.

    Attributes:
        centers: [P, 3] float64.
        axes: [P, 3, 3] float64 rotations whose columns are a solid's own x, y and z.
        half: [P, 3] float64 half extents, at least 0.
        radii: [P] float64, at least 0.
    """

    centers: np.ndarray
    axes: np.ndarray
    half: np.ndarray
    radii: np.ndarray

    @cached_property
    def capsule(self) -> np.ndarray:
        """[P] bool: the solid is a capsule along its own x."""
        flat: np.ndarray = (self.half[:, 1:] == 0).all(axis=1)
        return flat

    def take(self, parts: np.ndarray) -> Solids:
        """The solids of the given numbers, or where a mask is true."""
        return Solids(self.centers[parts], self.axes[parts], self.half[parts], self.radii[parts])


def corner_points(centers: np.ndarray, axes: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Corners of the boxes before they are grown by the radius; balls of that radius about them span the solid.

    Args:
        centers: [..., P, 3]; axes: [..., P, 3, 3]; half: [P, 3].
    Returns:
        [..., P, 8, 3].
    """
    local = _SIGNS * half[:, None]
    corners: np.ndarray = np.einsum("...pij,pkj->...pki", axes, local) + centers[..., None, :]
    return corners


def axis_ends(centers: np.ndarray, axes: np.ndarray, half: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of every solid's longest axis: centers [..., P, 3], axes [..., P, 3, 3], half [P, 3] -> twice [..., P, 3].

    For a capsule these are the ends of its segment.
    """
    longest = half.argmax(axis=-1)
    along = np.take_along_axis(axes, longest[:, None, None] + np.zeros_like(axes[..., :1], dtype=int), axis=-1)[..., 0]
    reach = half.max(axis=-1)[:, None] * along
    return centers - reach, centers + reach


def solid_distances(points: np.ndarray, solids: Solids) -> np.ndarray:
    """Signed distance of every point to every solid, negative inside.

    Args:
        points: [n, 3] float32, object units.
        solids: P solids.
    Returns:
        [P, n] float32 (parts first, so that the minimum over parts runs over long rows). Exact but for rounding: up to
        3e-4 on the very axis of a capsule, about 1e-6 near the surface, in the unit sphere.
    Twin: ``lab.reference.solids.solid_distances``.
    """
    points = np.asarray(points, dtype=np.float32)
    found = np.empty((len(solids.radii), len(points)), dtype=np.float32)
    if solids.capsule.any():
        found[solids.capsule] = _capsule_distances(points, solids.take(solids.capsule))
    for part in np.flatnonzero(~solids.capsule):
        turn = solids.axes[part].astype(np.float32)
        local = turn.T @ points.T
        local -= (turn.T @ solids.centers[part].astype(np.float32))[:, None]
        np.abs(local, out=local)
        local -= solids.half[part].astype(np.float32)[:, None]
        inside = np.minimum(np.maximum(np.maximum(local[0], local[1]), local[2]), 0.0)
        np.maximum(local, 0.0, out=local)
        local *= local
        found[part] = np.sqrt(local[0] + local[1] + local[2]) + inside - np.float32(solids.radii[part])
    return found


def _capsule_distances(points: np.ndarray, solids: Solids) -> np.ndarray:
    """``solid_distances`` for capsules, several times quicker: squared distances are taken by two matrix products."""
    first, last = axis_ends(solids.centers, solids.axes, solids.half)
    axis = last - first
    length2 = (axis**2).sum(axis=1)
    along = (axis / length2[:, None]).astype(np.float32) @ points.T
    along -= ((axis * first).sum(axis=1) / length2).astype(np.float32)[:, None]
    clamped = np.clip(along, 0.0, 1.0)
    # |p - a - h b|^2 = |p - a|^2 - (2 h s - h^2) |b|^2 with s the unclamped fraction.
    along *= 2.0
    along -= clamped
    along *= clamped
    along *= length2.astype(np.float32)[:, None]
    distance = (-2.0 * first).astype(np.float32) @ points.T
    distance += (points**2).sum(axis=1)[None]
    distance += (first**2).sum(axis=1).astype(np.float32)[:, None]
    distance -= along
    np.maximum(distance, 0.0, out=distance)
    np.sqrt(distance, out=distance)
    distance -= solids.radii.astype(np.float32)[:, None]
    signed: np.ndarray = distance
    return signed


def union_distance(points: np.ndarray, solids: Solids) -> np.ndarray:
    """Signed distance [n] float32 of points [n, 3] to the union of the solids, negative inside.

    Outside and near the surface it is the exact distance; deep inside, where solids overlap, it is a bound (the depth
    in the deepest solid).
    """
    nearest: np.ndarray = solid_distances(points, solids).min(axis=0)
    return nearest


def nearest_surface(
    points: np.ndarray, solids: Solids, parts: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """For every point, the foot point on one solid's surface and the outward direction there.

    Args:
        points: [n, 3] float32; solids: P solids.
        parts: [n] which solid to take for every point; None takes the one with the smallest signed distance, so that
            the gradient of ``union_distance`` is the second result.
    Returns:
        ``(feet, normals)``, each [n, 3] float32.
    """
    points = np.asarray(points, dtype=np.float32)
    if parts is None:
        parts = solid_distances(points, solids).argmin(axis=0)
    half, radii = solids.half.astype(np.float32)[parts], solids.radii.astype(np.float32)[parts, None]
    centers, axes = solids.centers.astype(np.float32)[parts], solids.axes.astype(np.float32)[parts]
    local = np.einsum("nji,nj->ni", axes, points - centers)
    core = np.clip(local, -half, half)
    offset = local - core
    length = np.sqrt((offset * offset).sum(axis=1, keepdims=True))
    normals = offset / np.maximum(length, 1e-12)
    buried = np.flatnonzero(length[:, 0] <= 1e-12)
    if len(buried):
        # Inside the box itself the nearest face decides.
        rows = np.arange(len(buried))
        face = (np.abs(local[buried]) - half[buried]).argmax(axis=1)
        sign = np.where(local[buried, face] < 0, -1.0, 1.0)
        normals[buried] = 0.0
        normals[buried, face] = sign
        core[buried[rows], face] = sign * half[buried, face]
    feet = core + radii * normals
    return np.einsum("nij,nj->ni", axes, feet) + centers, np.einsum("nij,nj->ni", axes, normals)
