"""Twin of ``mesh/skinning.py``: App. D.2 with one SVD per vertex and frame."""

from __future__ import annotations

import numpy as np


def procrustes_rotations(covariance: np.ndarray) -> np.ndarray:
    """Proper rotation R [3, 3] maximising trace(R @ covariance); identity where the rank is at most 1."""
    left, sizes, right = np.linalg.svd(covariance.astype(np.float64))
    if sizes[0] == 0 or sizes[1] <= 1e-8 * sizes[0]:
        return np.eye(3)
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    return right.T @ flip @ left.T


def skin_vertices(
    rest: np.ndarray, landmarks_rest: np.ndarray, landmarks_now: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """[F, V, 3] from dense weights [V, K]."""
    result = np.zeros((len(landmarks_now), len(rest), 3))
    for v, vertex in enumerate(rest.astype(np.float64)):
        used = [k for k in range(len(landmarks_rest)) if weights[v, k] > 0]
        share = {k: float(weights[v, k]) / float(sum(weights[v, j] for j in used)) for k in used}
        centre = sum(share[k] * landmarks_rest[k].astype(np.float64) for k in used)
        for f, frame in enumerate(landmarks_now.astype(np.float64)):
            centre_now = sum(share[k] * frame[k] for k in used)
            covariance = sum(share[k] * np.outer(landmarks_rest[k] - centre, frame[k] - centre_now) for k in used)
            result[f, v] = procrustes_rotations(covariance) @ (vertex - centre) + centre_now
    return result
