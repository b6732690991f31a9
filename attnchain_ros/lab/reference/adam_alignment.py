"""Twin of ``evaluation/adam_alignment.py``: loops, float64, gradients by hand."""

from __future__ import annotations

import math

import numpy as np


def start_rotations() -> np.ndarray:
    """[24, 3, 3] Rx(azimuth) Ry(elevation) Rz(roll), written out angle by angle."""
    rows = []
    for azimuth in (0, 90, 180, 270):
        rows += [(azimuth, 0, roll) for roll in (0, 90, 180, 270)]
    for azimuth in (0, 90):
        for elevation in (90, -90):
            rows += [(azimuth, elevation, roll) for roll in (0, 90)]
    matrices = []
    for angles in rows:
        a, e, r = (math.radians(angle) for angle in angles)
        about_x = np.array([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])
        about_y = np.array([[math.cos(e), 0, math.sin(e)], [0, 1, 0], [-math.sin(e), 0, math.cos(e)]])
        about_z = np.array([[math.cos(r), -math.sin(r), 0], [math.sin(r), math.cos(r), 0], [0, 0, 1]])
        matrices.append(about_x @ about_y @ about_z)
    return np.array(matrices)


def rotation_from_6d(values: np.ndarray) -> np.ndarray:
    """[3, 3] of [6], Gram-Schmidt on rows."""
    a, b = values[:3], values[3:]
    first = a / math.sqrt(a @ a)
    b = b - (b @ first) * first
    second = b / math.sqrt(b @ b)
    return np.array([first, second, np.cross(first, second)])


def nearest_indices(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """[n] index of the nearest target point of each source point, first of equals."""
    found = []
    for p in source:
        best, best_distance = -1, math.inf
        for i, q in enumerate(target):
            distance = float(((p - q) ** 2).sum())
            if distance < best_distance:
                best, best_distance = i, distance
        found.append(best)
    return np.array(found)


def squared_chamfer(source: np.ndarray, target: np.ndarray) -> float:
    """Mean squared distance to the nearest point, both directions summed."""
    there = sum(min(float(((p - q) ** 2).sum()) for q in target) for p in source) / len(source)
    back = sum(min(float(((p - q) ** 2).sum()) for p in source) for q in target) / len(target)
    return there + back


def align_clouds(
    source: np.ndarray, target: np.ndarray, starts: int, iterations: int, learning_rate: float
) -> tuple[np.ndarray, float]:
    """[4, 4] target_from_source and its loss; gradients by central differences, Adam written out, start by start."""
    best, least = np.eye(4), math.inf
    for start in start_rotations()[:starts]:

        def place(values: np.ndarray, start: np.ndarray = start) -> tuple[np.ndarray, np.ndarray]:
            linear = values[9:, None] * (start @ rotation_from_6d(values[3:9]))
            return linear, source @ linear + values[:3]

        def loss_of(values: np.ndarray) -> float:
            return squared_chamfer(place(values)[1], target)

        values = np.array([0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 1, 1], np.float64)
        mean, square = np.zeros(12), np.zeros(12)
        for step in range(1, iterations + 1):
            loss = loss_of(values)
            if loss < least:
                least = loss
                best = np.eye(4)
                best[:3, :3], best[:3, 3] = place(values)[0].T, values[:3]
            gradient = np.zeros(12)
            for i in range(12):
                nudge = np.zeros(12)
                nudge[i] = 1e-6
                gradient[i] = (loss_of(values + nudge) - loss_of(values - nudge)) / 2e-6
            gradient /= starts
            mean = 0.9 * mean + 0.1 * gradient
            square = 0.999 * square + 0.001 * gradient**2
            rate = mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
            values = values - learning_rate * rate
    return best, least
