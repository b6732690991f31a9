"""attnchain_ros.camera.poses: round trips, known values, and against formulas written out."""

from __future__ import annotations

import numpy as np

from attnchain_ros.camera.poses import apply_pose, invert_pose, pose_from_quaternion, quaternion_xyzw


def random_rotations(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    found = []
    for _ in range(count):
        q, r = np.linalg.qr(rng.normal(size=(3, 3)))
        q = q * np.sign(np.diag(r))
        found.append(q if np.linalg.det(q) > 0 else q[:, [1, 0, 2]])
    # half turns, where the simple formula divides by zero
    return [*found, np.eye(3), np.diag([1.0, -1, -1]), np.diag([-1.0, 1, -1]), np.diag([-1.0, -1, 1])]


def test_quaternions_turn_as_the_matrix_does():
    for rotation in random_rotations(50):
        x, y, z, w = quaternion_xyzw(rotation)
        assert abs(x * x + y * y + z * z + w * w - 1) < 1e-12 and w >= 0
        # rotate a vector by q v q*, written out with cross products
        axis = np.array([x, y, z])
        for vector in np.eye(3):
            turned = vector + 2 * np.cross(axis, np.cross(axis, vector) + w * vector)
            np.testing.assert_allclose(turned, rotation @ vector, atol=1e-12)


def test_known_quaternion():
    quarter_about_z = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    np.testing.assert_allclose(quaternion_xyzw(quarter_about_z), [0, 0, np.sqrt(0.5), np.sqrt(0.5)])


def test_there_and_back():
    rng = np.random.default_rng(4)
    for rotation in random_rotations(20):
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = rotation, rng.normal(size=3)
        np.testing.assert_allclose(pose @ invert_pose(pose), np.eye(4), atol=1e-14)
        points = rng.normal(size=(2, 5, 3))
        back = apply_pose(invert_pose(pose), apply_pose(pose, points))
        np.testing.assert_allclose(back, points, atol=1e-14)
        again = pose_from_quaternion(pose[:3, 3], 3.0 * quaternion_xyzw(rotation))
        np.testing.assert_allclose(again, pose, atol=1e-14)
        assert abs(np.linalg.det(again[:3, :3]) - 1) < 1e-14


def test_the_largest_component_route_agrees():
    """The quaternion by its largest component, written out: exact for every angle."""
    for m in random_rotations(50):
        squares = 1 + np.array([[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, 1]]) @ np.diag(m)
        rows = np.array(
            [
                [squares[0], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0], m[2, 1] - m[1, 2]],
                [m[0, 1] + m[1, 0], squares[1], m[1, 2] + m[2, 1], m[0, 2] - m[2, 0]],
                [m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], squares[2], m[1, 0] - m[0, 1]],
                [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], squares[3]],
            ]
        )
        wanted = rows[np.argmax(squares)] / np.linalg.norm(rows[np.argmax(squares)])
        found = quaternion_xyzw(m)
        # A half turn has two quaternions with w = 0.
        assert min(np.abs(found - wanted).max(), np.abs(found + wanted).max()) < 1e-14
