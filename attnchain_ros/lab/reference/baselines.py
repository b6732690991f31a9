"""Twin of ``evaluation/baselines.py``."""

from __future__ import annotations

import math

import numpy as np


def _best_rotation(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Horn's quaternion, by the largest eigenvalue."""
    sums = np.zeros((3, 3))
    for p, q in zip(source, target, strict=True):
        sums += np.outer(p, q)
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = sums
    matrix = np.array([
        [xx + yy + zz, yz - zy, zx - xz, xy - yx],
        [yz - zy, xx - yy - zz, xy + yx, zx + xz],
        [zx - xz, xy + yx, yy - xx - zz, yz + zy],
        [xy - yx, zx + xz, yz + zy, zz - xx - yy],
    ])  # fmt: skip
    w, x, y, z = np.linalg.eigh(matrix)[1][:, -1]
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip


def rigid_vertices(vertices: np.ndarray, clouds: list[np.ndarray]) -> np.ndarray:
    """ICP with all pairs compared."""
    rotation, shift = np.eye(3), np.zeros(3)
    frames = []
    for cloud in clouds:
        least, best = math.inf, (rotation, shift)
        for _ in range(30):
            moved = [rotation @ v + shift for v in vertices]
            there = [min(range(len(cloud)), key=lambda j: float(((p - cloud[j]) ** 2).sum())) for p in moved]
            back = [min(range(len(moved)), key=lambda i: float(((moved[i] - q) ** 2).sum())) for q in cloud]
            distance = sum(float(np.linalg.norm(p - cloud[j])) for p, j in zip(moved, there, strict=True)) / len(moved)
            distance += sum(float(np.linalg.norm(moved[i] - q)) for q, i in zip(cloud, back, strict=True)) / len(cloud)
            settled = distance >= least * (1 - 1e-5)
            if distance < least:
                least, best = distance, (rotation, shift)
            if settled:
                break
            source = np.array([*vertices, *(vertices[i] for i in back)])
            target = np.array([*(cloud[j] for j in there), *cloud])
            middle, goal = source.mean(axis=0), target.mean(axis=0)
            rotation = _best_rotation(source - middle, target - goal)
            shift = goal - rotation @ middle
        rotation, shift = best
        frames.append([rotation @ v + shift for v in vertices])
    return np.array(frames)
