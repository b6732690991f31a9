"""Errors of camera poses."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation
from scipy.stats import chi2

from ...shapes import check_shape

TWO_SIGMA = 0.9545
"""Share of a Gaussian within two standard deviations."""


def rotation_errors_deg(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """[F] angles in degrees between the rotations of poses [F, 4, 4]."""
    axes = check_shape("truth", truth, "F 4 4")
    check_shape("found", found, "F 4 4", **axes)
    between = np.asarray(found, np.float64)[:, :3, :3] @ np.swapaxes(np.asarray(truth, np.float64)[:, :3, :3], 1, 2)
    # From sine and cosine: the cosine alone loses half the digits at small angles.
    axis = np.stack(
        [between[:, 2, 1] - between[:, 1, 2], between[:, 0, 2] - between[:, 2, 0], between[:, 1, 0] - between[:, 0, 1]],
        axis=1,
    )
    sine = 0.5 * np.linalg.norm(axis, axis=1)
    cosine = 0.5 * (np.trace(between, axis1=1, axis2=2) - 1.0)
    angles: np.ndarray = np.degrees(np.arctan2(sine, cosine))
    return angles


def translation_errors(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """[F] distance between the object's places in the camera, as a share of the true distance; poses [F, 4, 4]."""
    axes = check_shape("truth", truth, "F 4 4")
    check_shape("found", found, "F 4 4", **axes)
    places = np.asarray(found, np.float64)[:, :3, 3], np.asarray(truth, np.float64)[:, :3, 3]
    shares: np.ndarray = np.linalg.norm(places[0] - places[1], axis=1) / np.linalg.norm(places[1], axis=1)
    return shares


def covariances_in_frame(
    camera_from_found: np.ndarray, covariances: np.ndarray, truth_from_found: np.ndarray
) -> np.ndarray:
    """Covariances of the poses that ``pose_in_frame`` gives.

    Args:
        camera_from_found: [F, 4, 4] rigid.
        covariances: [F, 6, 6] of a shift of the frame found and a turn, both along the axes of the camera.
        truth_from_found: [4, 4] similarity.
    Returns:
        [F, 6, 6] the same of the true object frame: its origin is elsewhere, so that a turn moves it, too.
    """
    axes = check_shape("camera_from_found", camera_from_found, "F 4 4")
    check_shape("covariances", covariances, "F 6 6", **axes)
    scale = float(np.cbrt(np.linalg.det(truth_from_found[:3, :3])))
    origin = np.linalg.inv(truth_from_found)[:3, 3]
    x, y, z = (np.asarray(camera_from_found, np.float64)[:, :3, :3] @ origin).T
    zero = np.zeros(axes["F"])
    jacobian = np.tile(np.diag([scale] * 3 + [1.0] * 3), (axes["F"], 1, 1))
    # A turn w moves a point p by w x p = -[p]x w.
    jacobian[:, :3, 3:] = -scale * np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    moved: np.ndarray = jacobian @ covariances @ np.swapaxes(jacobian, 1, 2)
    return moved


def pose_errors(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """[F, 6] shift and turn (rad) about x, y, z, along the camera's axes, from true to found poses [F, 4, 4]."""
    axes = check_shape("truth", truth, "F 4 4")
    check_shape("found", found, "F 4 4", **axes)
    turn = Rotation.from_matrix(found[:, :3, :3] @ np.swapaxes(truth[:, :3, :3], 1, 2)).as_rotvec()
    return np.concatenate([found[:, :3, 3] - truth[:, :3, 3], turn], axis=1)


def within_two_sigma(errors: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """[F] bool: errors [F, n] inside the ellipsoid of covariances [F, n, n] that holds what two sigma of one number do.

    That is 95.4 % of all errors, whatever n, if they are Gaussian and the covariances are right.
    """
    axes = check_shape("errors", errors, "F n")
    check_shape("covariances", covariances, "F n n", **axes)
    squared = np.einsum("fi,fi->f", errors, np.linalg.solve(covariances, errors[..., None])[..., 0])
    inside: np.ndarray = squared <= chi2.ppf(TWO_SIGMA, axes["n"])
    return inside


def pose_in_frame(camera_from_found: np.ndarray, truth_from_found: np.ndarray) -> np.ndarray:
    """Poses relative to another object frame: the camera sees the same picture of the object in that frame.

    Args:
        camera_from_found: [F, 4, 4] rigid, in units of the frame found.
        truth_from_found: [4, 4] similarity between the two object frames.
    Returns:
        [F, 4, 4] float64 camera_from_truth, rigid, in the truth's units.
    """
    check_shape("camera_from_found", camera_from_found, "F 4 4")
    check_shape("truth_from_found", truth_from_found, "4 4")
    scale = float(np.cbrt(np.linalg.det(truth_from_found[:3, :3])))
    # A camera's units scale with the object's: one factor on all lengths leaves the picture alone.
    moved: np.ndarray = np.asarray(camera_from_found, np.float64) @ np.linalg.inv(truth_from_found)
    moved[:, :3] *= scale
    return moved
