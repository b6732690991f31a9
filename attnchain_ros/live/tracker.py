"""From picture to picture: where a window's points went, and the pose of the object that follows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..camera.poses import apply_pose
from ..camera.tracks3d import project
from ..parts.flow import find_again
from .config import LiveConfig
from .following import carry_pixels
from .pictures import LivePicture, full_pixels
from .rigid import RigidFit, fit_rigid
from .start import NO_ID, LiveStart

Lost = Literal["", "few_points", "disagreement", "uncertain", "too_old"]

DRIFT_SHARE, DRIFT_RAD = 0.01, 0.02
"""Standard deviations that the pose gains a second: position as a share of the distance, and turn."""

MOST_TURN_RAD = 0.5
"""A turn that is known no better than that (standard deviation) is not known."""

SOUGHT = 40
"""So many of the points that were given up are looked for in an image, in turns."""


MARGIN_PX = 32
"""So much is kept around the points that are looked for; the rest of the picture need not be touched."""


@dataclass(frozen=True, eq=False)
class LivePose:
    """The object in one image; arrays of n tracks.

    Attributes:
        stamp_ns: of the image; arrived_s: when it came in, seconds of a steady clock.
        age_s: image time since the last frame of the window it was carried on from.
        lost: why there is no pose, "" = there is one; the arrays are empty then.
        camera_from_object: [4, 4] float64, object units: where the last window's object, moved rigidly, is now.
        covariance: [6, 6] float64 of position (squared object units) and turn (rad^2), camera optical frame.
        ids: [n] int64 of the tracks that are still followed.
        points_px: [n, 2] float64 pixels of the undistorted full image.
        points_camera: [n, 3] float64 optical frame, object units: on the ray of the pixel, as deep as the pose says.
        colors: [n, 3] uint8 RGB.
        agrees: [n] bool, whether the point moves with the object as a whole.
        scale: published lengths per object unit.
    """

    stamp_ns: int
    arrived_s: float
    age_s: float
    lost: Lost
    camera_from_object: np.ndarray
    covariance: np.ndarray
    ids: np.ndarray
    points_px: np.ndarray
    points_camera: np.ndarray
    colors: np.ndarray
    agrees: np.ndarray
    scale: float


class LiveTracker:
    """Follows one start through pictures; what is lost may be found again, but never by guessing.

    Args:
        start: the window's last frame.
        config: when a pose is no pose.
    Attributes:
        stamp_ns: of the picture it has come to.
        lost: why there is no pose in that picture, "" = there is one.
    """

    def __init__(self, start: LiveStart, config: LiveConfig) -> None:
        self._start = start
        self._config = config
        self._grey = start.grey
        self._pixels = start.pixels.copy()
        self._alive = np.ones(len(start.points), bool)
        self._turn = 0  # which of the points that were given up are looked for next
        self._pose = start.camera_from_object
        self.stamp_ns = start.stamp_ns
        self.lost: Lost = ""

    def step(self, picture: LivePicture) -> LivePose:
        """Go on to a newer picture of the same size."""
        age_s = (picture.stamp_ns - self._start.stamp_ns) * 1e-9
        fit = None
        if age_s > self._config.max_age_s:
            self.lost = "too_old"
        else:
            fit = self._follow(picture.grey)
        self.stamp_ns = picture.stamp_ns
        if fit is None:
            return self._nothing(picture, age_s)
        return self._found(picture, age_s, fit)

    def _follow(self, grey: np.ndarray) -> RigidFit | None:
        """Carry the points on and fit the pose; sets ``lost`` where that is none."""
        start, config = self._start, self._config
        rows = np.flatnonzero(self._alive)
        onward, held = carry_pixels(self._grey, grey, self._pixels[rows])
        self._grey = grey
        self._pixels[rows] = onward
        self._alive[rows[~held]] = False
        rows = rows[held]
        if len(rows) < config.min_points:
            self.lost = "few_points"
            self._seek(grey)  # what hid the object may have gone by
            return None
        fit = fit_rigid(start.points[rows], self._pixels[rows], start.intrinsics, self._pose)
        agree = int(fit.agrees.sum())
        if agree < config.min_points or agree < config.min_share * len(rows):
            self.lost = "disagreement"
            return None
        if not np.sqrt(fit.covariance[3:, 3:].diagonal().max()) < MOST_TURN_RAD:
            self.lost = "uncertain"
            return None
        self.lost = ""
        self._pose = fit.camera_from_object
        agrees = np.zeros(len(start.points), bool)
        agrees[rows] = fit.agrees
        self._seek(grey)
        return replace(fit, agrees=agrees)

    def _seek(self, grey: np.ndarray) -> None:
        """Look for points that were given up where the pose says, as they looked in the window's last frame.

        What is found again has no drift, and counts from the next picture on.
        """
        start = self._start
        gone = np.flatnonzero(~self._alive)
        if not len(gone):
            return
        pick = gone[(self._turn + np.arange(min(SOUGHT, len(gone)))) % len(gone)]
        self._turn += SOUGHT
        guess = project(start.intrinsics, apply_pose(self._pose, start.points[pick]))
        with np.errstate(invalid="ignore"):
            inside = ((guess >= 0) & (guess < np.array(grey.shape[::-1]))).all(axis=1)
        pick, guess = pick[inside], guess[inside]
        if not len(pick):
            return
        rows, columns, corner = _box_around(np.concatenate([start.pixels[pick], guess]), grey.shape)
        found, held = find_again(
            start.grey[rows, columns], grey[rows, columns], start.pixels[pick] - corner, guess - corner
        )
        self._pixels[pick[held]] = (found + corner)[held]
        self._alive[pick[held]] = True

    def _found(self, picture: LivePicture, age_s: float, fit: RigidFit) -> LivePose:
        start = self._start
        pose = fit.camera_from_object
        rows = np.flatnonzero(self._alive & (start.ids != NO_ID))
        rigid = apply_pose(pose, start.points[rows])
        pixels = self._pixels[rows]
        rays = np.column_stack([pixels, np.ones(len(rows))]) @ np.linalg.inv(start.intrinsics).T
        distance = float(np.linalg.norm(pose[:3, 3]))
        grown = np.array([DRIFT_SHARE * distance, DRIFT_RAD]) * age_s
        return LivePose(
            stamp_ns=picture.stamp_ns,
            arrived_s=picture.arrived_s,
            age_s=age_s,
            lost="",
            camera_from_object=pose,
            covariance=fit.covariance + np.diag(np.repeat(start.spread**2 + grown**2, 3)),
            ids=start.ids[rows],
            points_px=full_pixels(pixels, start.full, picture.grey.shape),
            points_camera=rays * rigid[:, 2:],
            colors=start.colors[rows],
            agrees=fit.agrees[rows],
            scale=start.scale,
        )

    def _nothing(self, picture: LivePicture, age_s: float) -> LivePose:
        return LivePose(
            picture.stamp_ns, picture.arrived_s, age_s, self.lost,
            camera_from_object=np.eye(4), covariance=np.diag([np.inf] * 6), ids=np.zeros(0, np.int64),
            points_px=np.zeros((0, 2)), points_camera=np.zeros((0, 3)), colors=np.zeros((0, 3), np.uint8),
            agrees=np.zeros(0, bool), scale=self._start.scale,
        )  # fmt: skip


def _box_around(points_px: np.ndarray, shape: tuple[int, ...]) -> tuple[slice, slice, np.ndarray]:
    """The part of a picture (height, width) around points [n, 2]: rows, columns, and its corner's pixel [2]."""
    low = np.clip(np.floor(points_px.min(axis=0)) - MARGIN_PX, 0, None).astype(int)
    high = np.clip(np.ceil(points_px.max(axis=0)) + MARGIN_PX + 1, 0, shape[1::-1]).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0]), low.astype(np.float64)
