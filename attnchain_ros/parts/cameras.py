"""The camera's motion from what of the object rests, or moves as the chain says.

With the background cut away a camera that goes round an object and an object that turns look the same. What the chain
says decides: where it lets the object rest, the turn is the camera's, and resting landmarks give it exactly; where it
turns the object about as much as the picture turns, the object has turned, and the camera is what makes the chain's
landmarks meet their tracks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from ..shapes import check_shape
from .solving import PartMotions, Sightings, pixel_misses

REST_SCALE, REST_START = 2.0, 8.0
"""Geman-McClure scale of a resting landmark's track, working pixels: last, and in the first round."""

AGREE_PX = 3.0
"""A track this near agrees with a pose, working pixels."""

LEAST_RESTING, LEAST_SHARE = 12, 0.3
"""Fewer landmarks, or a smaller share of the tracks' weight, do not say how the camera stands."""

REST_ERROR_DEG, CHAIN_ERROR_DEG = 2.0, 6.0
"""What a pose from resting landmarks, and one from landmarks where the chain has them, may be off."""

OBJECT_SHARE = 0.5
"""If the chain gives more than this share of the picture's turn to the object, it is believed."""

QUIET_PX, QUIET_CAMERA = 1.5, 0.3
"""If more than this share of all landmarks is seen where it was, the camera has not moved."""

GUESS_TURN_DEG = 10.0
"""What a pose that was not found from resting landmarks may be off (standard deviation)."""

ROUNDS = 10


@dataclass(frozen=True)
class TrackedPoints:
    """Landmarks whose pixels are known in one frame.

    Attributes:
        rest: [m, 3] places at rest; chain: [m, 3] where the chain has them, object frame.
        pixel: [m, 2]; weight: [m]; resting: [m] in 0 .. 1, how much the chain lets each rest, beside the others.
    """

    rest: np.ndarray
    chain: np.ndarray
    pixel: np.ndarray
    weight: np.ndarray
    resting: np.ndarray


@dataclass(frozen=True)
class PoseSeries:
    """Poses of consecutive frames, each from its own tracks.

    Attributes:
        poses: [n, 4, 4]; enough: [n] bool, as many tracks agreed as it takes.
        count: [n] tracks that agreed; miss: [n] their median distance, pixels (NaN without any).
        error_deg: what each may be off.
    """

    poses: np.ndarray
    enough: np.ndarray
    count: np.ndarray
    miss: np.ndarray
    error_deg: float


def camera_series(frames: Sequence[TrackedPoints], start: np.ndarray, intrinsics: np.ndarray) -> PoseSeries:
    """Poses [n, 4, 4] of the frames after one whose pose is ``start``; says whose the motion is."""
    rest = _series([(f.rest, f.pixel, f.weight * f.resting) for f in frames], start, intrinsics, REST_ERROR_DEG)
    if quiet_share(frames, start, intrinsics) > QUIET_CAMERA:
        return rest
    chain = _series([(f.chain, f.pixel, f.weight) for f in frames], start, intrinsics, CHAIN_ERROR_DEG)
    return chain if object_share(start, rest.poses, chain.poses) > OBJECT_SHARE else rest


def quiet_share(frames: Sequence[TrackedPoints], start: np.ndarray, intrinsics: np.ndarray) -> float:
    """Share of landmarks seen where they would be if neither they nor the camera had moved; mean over the frames."""
    shares = [0.0]
    for tracks in frames:
        flat = (tracks.rest @ start[:3, :3].T + start[:3, 3]) @ intrinsics.T
        away = np.linalg.norm(flat[:, :2] / flat[:, 2:] - tracks.pixel, axis=1)
        shares.append(float((away < QUIET_PX).mean()) if len(away) else 0.0)
    return float(np.mean(shares[1:])) if frames else 0.0


def object_share(start: np.ndarray, rest: np.ndarray, chain: np.ndarray) -> float:
    """How much of the turn of the picture (poses ``rest`` [n, 4, 4]) the chain gives to the object, 0 to 1 or so.

    Args:
        start: [4, 4] pose before.   rest: poses as if the object rested; chain: as if it moved as the chain says.
    """
    whole = Rotation.from_matrix(rest[:, :3, :3] @ start[:3, :3].T).as_rotvec()
    camera = Rotation.from_matrix(chain[:, :3, :3] @ start[:3, :3].T).as_rotvec()
    total = float((whole * whole).sum())
    return 1.0 - float((whole * camera).sum()) / total if total > 0 else 0.0


def _series(
    tracks: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    start: np.ndarray,
    intrinsics: np.ndarray,
    error_deg: float,
) -> PoseSeries:
    pose, poses, enough, counts, misses = start, [], [], [], []
    for points, pixels, weights in tracks:
        found, away = pose_at_rest(points, pixels, weights, pose, intrinsics)
        agree = away < AGREE_PX
        good = bool(agree.sum() >= LEAST_RESTING and weights[agree].sum() >= LEAST_SHARE * weights.sum())
        pose = found if good else pose
        poses.append(pose)
        enough.append(good)
        counts.append(int(agree.sum()))
        misses.append(float(np.median(away[agree])) if agree.any() else np.nan)
    return PoseSeries(
        np.array(poses).reshape(-1, 4, 4), np.array(enough, bool), np.array(counts), np.array(misses), error_deg
    )


def pose_at_rest(
    points: np.ndarray, pixels: np.ndarray, weights: np.ndarray, start: np.ndarray, intrinsics: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The pose under which most landmarks are seen where they would be if they rested.

    Gauss-Newton under Geman and McClure's cost, whose scale falls from round to round.

    Args:
        points: [n, 3] landmarks at rest, object frame.   pixels: [n, 2] their tracks; weights: [n].
        start: [4, 4] camera_from_object.   intrinsics: [3, 3] of the pixels.
    Returns:
        [4, 4] pose, and [n] how far each track lies from its landmark under it, pixels.
    Raises:
        ShapeError: shapes disagree.
    Twin: ``lab.reference.parts.rest_residuals``, to which a general least-squares solver is applied.
    """
    axes = check_shape("points", points, "n 3")
    check_shape("pixels", pixels, "n 2", **axes)
    centre = points.mean(axis=0) if len(points) else np.zeros(3)
    tracks = Sightings(points - centre, np.zeros(len(points), np.int64), pixels, weights, start, intrinsics)
    motion = PartMotions(np.eye(3)[None], centre[None])
    for number in range(ROUNDS if len(points) else 0):
        scale = max(REST_SCALE, REST_START / 1.7**number)
        miss, jacobian = pixel_misses(motion, tracks)
        beyond = (miss**2).sum(axis=1) / scale**2
        weighted = jacobian * (weights / (1 + beyond) ** 2)[:, None, None]
        matrix = np.einsum("nab,nac->bc", weighted, jacobian)
        right = np.einsum("nab,na->b", weighted, miss)
        step = -np.linalg.solve(matrix + (1e-6 * np.trace(matrix) + 1e-12) * np.eye(6), right)
        turn = Rotation.from_rotvec(step[:3]).as_matrix() @ motion.turn[0]
        motion = PartMotions(turn[None], motion.place + step[3:])
    away = np.linalg.norm(pixel_misses(motion, tracks)[0], axis=1)
    moved = np.eye(4)
    moved[:3, :3] = motion.turn[0]
    moved[:3, 3] = motion.place[0] - motion.turn[0] @ centre
    pose: np.ndarray = start @ moved
    return pose, away


def smooth_poses(
    first: np.ndarray, poses: np.ndarray, error_deg: np.ndarray, turn_deg: float, middle: np.ndarray
) -> np.ndarray:
    """Poses of a camera that moves smoothly, from poses that are each uncertain.

    Least squares of turn and shift of the object's middle against each frame's pose and against the frame before.

    Args:
        first: [4, 4] camera_from_object of the frame before the first; it holds.
        poses: [F, 4, 4]; error_deg: [F] standard deviation of each, degrees about the object; inf = unknown.
        turn_deg: standard deviation of the camera's turn about the object from frame to frame.
        middle: [3] of the object, object frame.
    Returns:
        [F, 4, 4].
    Twin: ``lab.reference.parts.smooth_poses``.
    """
    frames = check_shape("poses", poses, "F 4 4")["F"]
    check_shape("error_deg", error_deg, "F", F=frames)
    centre = first[:3, :3] @ middle + first[:3, 3]
    turns = Rotation.from_matrix(poses[:, :3, :3] @ first[:3, :3].T).as_rotvec()
    shifts = poses[:, :3, :3] @ middle + poses[:, :3, 3] - centre
    known = np.where(np.isfinite(error_deg), 1.0 / np.maximum(error_deg, 1e-3) ** 2, 0.0)
    held = 1.0 / turn_deg**2
    matrix = np.diag(known + held * np.where(np.arange(frames) < frames - 1, 2.0, 1.0))
    matrix -= held * (np.eye(frames, k=1) + np.eye(frames, k=-1))
    values = np.where(known[:, None] > 0, np.concatenate([turns, shifts], axis=1), 0.0)
    found = np.linalg.solve(matrix, known[:, None] * values)
    smooth = np.tile(np.eye(4), (frames, 1, 1))
    smooth[:, :3, :3] = Rotation.from_rotvec(found[:, :3]).as_matrix() @ first[:3, :3]
    smooth[:, :3, 3] = centre + found[:, 3:] - smooth[:, :3, :3] @ middle
    return smooth
