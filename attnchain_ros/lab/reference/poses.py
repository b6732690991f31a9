"""Covariances of poses from many poses that are off at random (``camera.poses``, ``camera.uncertainty``)."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation


def invert_covariance(pose: np.ndarray, covariance: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Covariance [6, 6] of a pose's inverse from ``count`` poses that are off by ``covariance``."""
    rng = np.random.default_rng(seed)
    inverse = np.linalg.inv(pose)
    return _spread([_error(inverse, np.linalg.inv(moved)) for moved in _moved(pose, covariance, count, rng)])


def pose_covariances(
    pose: np.ndarray, middle: np.ndarray, turn_rad: float, across: float, along: float, count: int, seed: int
) -> np.ndarray:
    """Covariance [6, 6] of one pose whose object is turned about its middle and then shifted, ``count`` times."""
    rng = np.random.default_rng(seed)
    place = pose[:3, :3] @ middle + pose[:3, 3]
    ray = place / np.linalg.norm(place)
    errors = []
    for _ in range(count):
        turn = Rotation.from_rotvec(rng.normal(0.0, turn_rad, 3)).as_matrix()
        sideways = rng.normal(0.0, across, 3)
        shift = sideways - (sideways @ ray) * ray + rng.normal(0.0, along) * ray
        moved = np.eye(4)
        moved[:3, :3] = turn @ pose[:3, :3]
        moved[:3, 3] = place + shift - moved[:3, :3] @ middle
        errors.append(_error(pose, moved))
    return _spread(errors)


def _moved(pose: np.ndarray, covariance: np.ndarray, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Poses [4, 4] that are off by a shift d and a turn w: [exp(w) R, t + d]."""
    found = []
    for error in rng.multivariate_normal(np.zeros(6), covariance, count):
        moved = np.eye(4)
        moved[:3, :3] = Rotation.from_rotvec(error[3:]).as_matrix() @ pose[:3, :3]
        moved[:3, 3] = pose[:3, 3] + error[:3]
        found.append(moved)
    return found


def _error(pose: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """[6] shift and turn between two poses, about the axes of the frame that they lead to."""
    turn = Rotation.from_matrix(moved[:3, :3] @ pose[:3, :3].T).as_rotvec()
    return np.concatenate([moved[:3, 3] - pose[:3, 3], turn])


def _spread(errors: list[np.ndarray]) -> np.ndarray:
    """Mean of the outer products [6, 6]."""
    return sum(np.outer(error, error) for error in errors) / len(errors)
