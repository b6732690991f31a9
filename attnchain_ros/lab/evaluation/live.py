"""How far the live pose is off, against the age of the window it was carried on from.

A deforming thing has no one pose. What is compared with is the rigid motion that best carries the surface points seen
at the start to where they are later, by least squares. Holding the last pose, and going on as from the frame before
the last one to the last, are the alternatives that a robot has; the second is given both frames without error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from ...camera.poses import apply_pose, invert_pose
from ...camera.tracks3d import project
from ...live.config import LiveConfig
from ...live.lane import LiveLane
from ...live.pictures import LivePicture, small_picture
from ...live.start import LiveStart
from ...live.tracker import LivePose
from ...stream.frame import ImageKind
from ..synthetic import Clip
from .alignment import fit_similarity
from .cameras import rotation_errors_deg, translation_errors

LIVE, HOLD, VELOCITY = "live lane", "last pose held", "constant velocity"
METHODS = (LIVE, HOLD, VELOCITY)

START_FRAME = 15
"""The last frame of a first window."""

POSE_NOISE_DEG, POSE_NOISE, POINT_NOISE = 1.0, 0.005, 0.01
"""Standard deviations of what a window gets wrong: turn, position (share of the distance), points (object units)."""

_RATE_HZ = 30.0


@dataclass(frozen=True)
class LiveError:
    """One method's error at one age.

    Attributes:
        method: of ``METHODS``.   frames: age in frames of 1/30 s.
        rotation_deg, translation: of the pose, translation as a share of the distance; NaN where it is lost.
        points: median distance of the points seen at the start from where they are, share of the distance.
        sigmas: rotation error in standard deviations of what the covariance says; NaN for the other methods.
    """

    method: str
    frames: int
    rotation_deg: float
    translation: float
    points: float
    sigmas: float = float("nan")


def measure_live(clip: Clip, ages: tuple[int, ...], config: LiveConfig, seed: int) -> list[LiveError]:
    """Follow a clip from ``START_FRAME`` on, from the truth with noise, at 30 images a second.

    Args:
        clip: at least ``START_FRAME`` + the largest age + 1 frames.
        ages: in frames, ascending, from 1.
        config: of the lane.
        seed: of the noise.
    Returns:
        an error for each method and age.
    """
    first = START_FRAME
    rng = np.random.default_rng(seed)
    cameras = clip.camera_from_object
    points = clip.surface_points[:, clip.surface_visible[first]].astype(np.float64)
    chosen = rng.permutation(points.shape[1])[: config.points]
    points = points[:, np.sort(chosen)]
    seen = np.stack([apply_pose(pose, some) for pose, some in zip(cameras, points, strict=True)])
    distance = float(np.linalg.norm(cameras[first][:3, 3]))

    start_pose = cameras[first].copy()
    turn = Rotation.from_rotvec(np.deg2rad(POSE_NOISE_DEG) / np.sqrt(3) * rng.normal(size=3)).as_matrix()
    start_pose[:3, :3] = turn @ start_pose[:3, :3]
    start_pose[:3, 3] += POSE_NOISE * distance / np.sqrt(3) * rng.normal(size=3)
    start_points = points[first] + POINT_NOISE / np.sqrt(3) * rng.normal(size=points[first].shape)
    # As the camera saw it one frame earlier, then the last frame, and so on.
    before = fit_similarity(points[first], seen[first - 1], rigid=True)
    velocity = cameras[first] @ invert_pose(before)

    found = _follow(clip, start_pose, start_points, config, first + ages[-1])
    errors = []
    for age in ages:
        true = fit_similarity(points[first], seen[first + age], rigid=True)
        live = found[age - 1]
        poses = {
            HOLD: start_pose,
            VELOCITY: np.linalg.matrix_power(velocity, age) @ start_pose,
        }
        for method, pose in poses.items():
            away = np.linalg.norm(apply_pose(pose, start_points) - seen[first + age], axis=1)
            errors.append(LiveError(method, age, *_pose_errors(pose, true), float(np.median(away)) / distance))
        if live is None or live.lost:
            errors.append(LiveError(LIVE, age, *[float("nan")] * 3))
            continue
        away = np.linalg.norm(live.points_camera - seen[first + age][live.ids], axis=1)
        rotation, translation = _pose_errors(live.camera_from_object, true)
        spread = np.degrees(np.sqrt(live.covariance[3:, 3:].trace()))
        errors.append(
            LiveError(LIVE, age, rotation, translation, float(np.median(away)) / distance, float(rotation / spread))
        )
    return errors


def _pose_errors(pose: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    return float(rotation_errors_deg(pose[None], true[None])[0]), float(translation_errors(pose[None], true[None])[0])


def _follow(clip: Clip, pose: np.ndarray, points: np.ndarray, config: LiveConfig, last: int) -> list[LivePose | None]:
    """The lane's answers to every frame after the first one."""
    lane = LiveLane(config)
    answers: list[LivePose | None] = []
    for frame in range(START_FRAME, last + 1):
        image = clip.images[frame]
        stamp = round(frame * 1e9 / _RATE_HZ)
        grey = small_picture(image, config.size_px)
        picture = LivePicture(grey, ImageKind(stamp, image.shape, ""), stamp * 1e-9, clip.intrinsics)
        answers.append(lane.see(picture))
        if frame == START_FRAME:
            error_px = np.deg2rad(POSE_NOISE_DEG)
            distance = float(np.linalg.norm(pose[:3, 3]))
            lane.begin(
                LiveStart(
                    stamp_ns=stamp, arrived_s=stamp * 1e-9, grey=grey, intrinsics=clip.intrinsics,
                    full=(image.shape[0], image.shape[1]), camera_from_object=pose, points=points,
                    pixels=project(clip.intrinsics, apply_pose(pose, points)), ids=np.arange(len(points)),
                    colors=np.zeros((len(points), 3), np.uint8), scale=1.0,
                    spread=np.array([POSE_NOISE * distance, error_px]) / np.sqrt(3),
                )
            )  # fmt: skip
    return answers[1:]
