"""Signed distance to a union of capsules and projection onto its surface."""

from __future__ import annotations

import numpy as np


def capsule_distances(points: np.ndarray, starts: np.ndarray, ends: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Signed distance of every point to every capsule, negative inside.

    Args:
        points: [n, 3] float32, object units.
        starts, ends: [P, 3] ends of the axes.
        radii: [P].
    Returns:
        [P, n] float32 (parts first, so that the minimum over parts runs over long rows). Squared distances are taken
        by two matrix products; cancellation costs up to 1e-5 next to an axis and about 1e-6 near the
        surface, in the unit sphere.
    """
    points = np.asarray(points, dtype=np.float32)
    axis = (ends - starts).astype(np.float64)
    length2 = (axis**2).sum(axis=1)
    first = starts.astype(np.float64)
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
    distance -= radii.astype(np.float32)[:, None]
    signed: np.ndarray = distance
    return signed


def union_distance(points: np.ndarray, starts: np.ndarray, ends: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Signed distance [n] float32 of points [n, 3] to the union of capsules, negative inside.

    Outside and near the surface it is the exact distance; deep inside, where capsules overlap, it is a bound (the
    depth in the deepest capsule).
    """
    nearest: np.ndarray = capsule_distances(points, starts, ends, radii).min(axis=0)
    return nearest


def nearest_surface(
    points: np.ndarray, starts: np.ndarray, ends: np.ndarray, radii: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For every point, the foot point on the capsule that is nearest and the outward direction there.

    Args:
        points: [n, 3] float32; starts, ends: [P, 3]; radii: [P].
    Returns:
        ``(feet, normals)``, each [n, 3] float32: the gradient of ``union_distance`` is ``normals``.
    """
    points = np.asarray(points, dtype=np.float32)
    nearest = capsule_distances(points, starts, ends, radii).argmin(axis=0)
    first = starts.astype(np.float32)[nearest]
    axis = (ends - starts).astype(np.float32)[nearest]
    offset = points - first
    along = np.clip((offset * axis).sum(axis=1) / (axis * axis).sum(axis=1), 0.0, 1.0)[:, None]
    offset -= along * axis
    normals = offset / np.maximum(np.sqrt((offset * offset).sum(axis=1, keepdims=True)), 1e-12)
    feet = points - offset + radii.astype(np.float32)[nearest][:, None] * normals
    return feet, normals
