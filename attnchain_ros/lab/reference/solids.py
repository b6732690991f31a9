"""Twin of ``synthetic.solids``: one point and one solid at a time, float64."""

from __future__ import annotations

import math

import numpy as np


def solid_distances(
    points: np.ndarray, centers: np.ndarray, axes: np.ndarray, half: np.ndarray, radii: np.ndarray
) -> np.ndarray:
    """Signed distances [P, n] of points [n, 3] to rounded boxes; axes [P, 3, 3] have a box's own axes as columns."""
    found = np.empty((len(radii), len(points)))
    for part, radius in enumerate(radii):
        for row, point in enumerate(points):
            beyond = []
            for axis in range(3):
                along = sum(float(point[i] - centers[part][i]) * float(axes[part][i][axis]) for i in range(3))
                beyond.append(abs(along) - float(half[part][axis]))
            if max(beyond) <= 0:
                # Inside the box the nearest face decides.
                distance = max(beyond)
            else:
                distance = math.sqrt(sum(max(value, 0.0) ** 2 for value in beyond))
            found[part, row] = distance - float(radius)
    return found


def nearest_surface(
    points: np.ndarray, centers: np.ndarray, axes: np.ndarray, half: np.ndarray, radii: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Foot points and outward directions, each [n, 3], on the solid with the least signed distance.

    The direction is the gradient of that distance, by central differences.
    """
    step = 1e-6
    feet, normals = np.empty((len(points), 3)), np.empty((len(points), 3))
    distances = solid_distances(points, centers, axes, half, radii)
    for row, point in enumerate(np.asarray(points, np.float64)):
        part = int(distances[:, row].argmin())
        one = slice(part, part + 1)
        for axis in range(3):
            shift = step * np.eye(3)[axis]
            ahead, behind = solid_distances(
                np.stack([point + shift, point - shift]), centers[one], axes[one], half[one], radii[one]
            )[0]
            normals[row, axis] = (ahead - behind) / (2 * step)
        feet[row] = point - distances[part, row] * normals[row]
    return feet, normals
