"""Slow twin of ``evaluation.nearest``: every point against every triangle."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize


def nearest_on_surface(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest points [n, 3] float64 and their distances [n], by a small constrained minimisation per triangle."""
    found = np.zeros((len(points), 3))
    least = np.full(len(points), np.inf)
    limits = [(0.0, None)] * 3
    whole = {"type": "eq", "fun": lambda weights: weights.sum() - 1.0, "jac": lambda weights: np.ones(3)}
    for row, point in enumerate(np.asarray(points, np.float64)):
        for face in faces:
            corners = np.asarray(vertices, np.float64)[face]

            def squared(weights: np.ndarray, corners: np.ndarray = corners, point: np.ndarray = point) -> float:
                away = weights @ corners - point
                return float(away @ away)

            answer = minimize(
                squared, np.full(3, 1 / 3), bounds=limits, constraints=[whole], method="SLSQP", options={"ftol": 1e-14}
            )
            place = answer.x @ corners
            distance = float(np.linalg.norm(place - point))
            if distance < least[row]:
                least[row], found[row] = distance, place
    return found, least
