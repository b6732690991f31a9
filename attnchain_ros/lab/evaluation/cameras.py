"""Errors of camera poses."""

from __future__ import annotations

import numpy as np

from ...shapes import check_shape


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
