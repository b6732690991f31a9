"""Rigid transforms [4, 4], such as ``camera_from_object``: their algebra in one place."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from ..errors import ConfigError


def invert_pose(pose: np.ndarray) -> np.ndarray:
    """The inverse of a rigid transform [4, 4]: ``object_from_camera`` of ``camera_from_object``.

    >>> shift = np.eye(4)
    >>> shift[:3, 3] = 1, 2, 3
    >>> invert_pose(shift)[:3, 3].tolist()
    [-1.0, -2.0, -3.0]
    """
    inverse = np.eye(4)
    inverse[:3, :3] = pose[:3, :3].T
    inverse[:3, 3] = -pose[:3, :3].T @ pose[:3, 3]
    return inverse


def invert_poses(poses: np.ndarray) -> np.ndarray:
    """The inverses [n, 4, 4] of rigid transforms [n, 4, 4]; float64."""
    inverse = np.tile(np.eye(4), (len(poses), 1, 1))
    inverse[:, :3, :3] = np.swapaxes(poses[:, :3, :3], 1, 2)
    inverse[:, :3, 3] = -(inverse[:, :3, :3] @ poses[:, :3, 3, None])[..., 0]
    return inverse


def invert_covariance(pose: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Covariance [6, 6] of a pose's inverse.

    A pose [R, t] is off by a small shift d and a small turn w about the axes of the frame that it leads to: t + d and
    exp(w) R. So ROS means a pose's covariance: position x, y, z, then turns about the fixed x, y and z axis. To first
    order the inverse is then off by -R^T (d + [t]x w) and -R^T w; the longer t, the more a turn moves it.

    Args:
        pose: [4, 4] rigid.   covariance: [6, 6] of (d, w): lengths squared, radians squared.
    Twin: ``lab.reference.poses.invert_covariance``.
    """
    back = -pose[:3, :3].T
    x, y, z = pose[:3, 3]
    jacobian = np.zeros((6, 6))
    jacobian[:3, :3] = jacobian[3:, 3:] = back
    jacobian[:3, 3:] = back @ np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    moved: np.ndarray = jacobian @ covariance @ jacobian.T
    return 0.5 * (moved + moved.T)


def apply_pose(pose: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points [..., 3] taken along by one rigid transform (or similarity) [4, 4]."""
    moved: np.ndarray = points @ pose[:3, :3].T + pose[:3, 3]
    return moved


def quaternion_xyzw(rotation: np.ndarray) -> np.ndarray:
    """A proper rotation [3, 3] as a unit quaternion [4] x, y, z, w with w >= 0; float64.

    >>> quaternion_xyzw(np.diag([1.0, -1.0, -1.0])).tolist()
    [1.0, 0.0, 0.0, 0.0]
    """
    found: np.ndarray = Rotation.from_matrix(np.asarray(rotation, np.float64)).as_quat(canonical=True)
    return found


def pose_from_quaternion(position: np.ndarray, xyzw: np.ndarray) -> np.ndarray:
    """[4, 4] from a position [3] and a quaternion [4] x, y, z, w of any length but 0."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat(np.asarray(xyzw, np.float64)).as_matrix()
    pose[:3, 3] = position
    return pose


def rotation_from_degrees(text: str, name: str = "anchor_rotation_deg") -> np.ndarray:
    """[3, 3] rotation of ``RolloutConfig.anchor_rotation_deg``: about the fixed x, then y, then z axis.

    Args:
        text: three angles in degrees, separated by commas.
        name: what the text is called in errors.

    Raises:
        ConfigError: not three numbers.

    >>> (rotation_from_degrees("0,0,90") @ [1.0, 0.0, 0.0]).round(6).tolist()
    [0.0, 1.0, 0.0]
    """
    try:
        angles = [float(part) for part in text.split(",")]
    except ValueError:
        angles = []
    if len(angles) != 3 or not np.isfinite(angles).all():
        raise ConfigError(f"{name} is {text!r}, wanted three angles such as '0,90,0'")
    return np.asarray(Rotation.from_euler("xyz", angles, degrees=True).as_matrix())
