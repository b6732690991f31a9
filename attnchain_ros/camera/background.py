"""How a camera turned, from what stands still outside the object's mask.

Not in the paper. Corners are followed through the window with Lucas-Kanade flow; between two frames an essential matrix
(RANSAC over five points, refined on its inliers) gives the turn and the direction of the shift, of which only the turn
is kept: how far the camera moved no picture tells. Where the camera only turned, or stood, the essential matrix is not
defined, and the turn alone explains the pictures (the homography K R K^-1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from ..errors import InputError
from ..shapes import check_shape
from .intrinsics import check_intrinsics

WORK_PX = 640
"""Longer side of the pictures that are looked at; larger ones are shrunk."""

CORNERS = 400
"""Corners that are followed at once."""

LEAST_COMMON = 40
"""Corners that two frames must have in common."""

MOST_MISS_PX = 1.0
"""Median distance to the epipolar lines above which the background does not stand still."""

_STILL_PX = 0.06
"""Where a turn alone misses by no more than this in the median, there is no shift to be found."""

_BACK_PX = 0.5
"""A corner that does not come back to within this when followed backwards is dropped."""

_RANSAC_PX, _SOFT_PX = 1.0, 0.5
_REFILL = 0.7
_FLOW: dict[str, Any] = {
    "winSize": (21, 21),
    "maxLevel": 3,
    "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.01),
}


@dataclass(frozen=True)
class Surroundings:
    """A window's pictures, of which what lies outside the masks is looked at.

    Attributes:
        images: [F, H, W, 3] uint8 RGB, undistorted.   masks: [F, H, W] bool, the object.
        intrinsics: [3, 3] K, pixels.
    Raises:
        ShapeError: sizes disagree.   InputError: K cannot be used.
    """

    images: np.ndarray
    masks: np.ndarray
    intrinsics: np.ndarray

    def __post_init__(self) -> None:
        axes = check_shape("images", self.images, "F H W 3")
        check_shape("masks", self.masks, "F H W", **axes)
        check_intrinsics(self.intrinsics)


@dataclass(frozen=True)
class SeenTurns:
    """What the background says.

    Attributes:
        turns: [F, 3, 3] rotations that take the first camera's axes to each frame's; None where they are not known.
        reason: why not, for the user.
    """

    turns: np.ndarray | None
    reason: str = ""


def background_turns(seen: Surroundings) -> SeenTurns:
    """How the camera turned from the first frame of a window to each of them.

    Each frame is compared with the first one, or, where too few corners last so long, with the earliest frame that
    shares enough of them and whose own turn is known.
    """
    factor = min(1.0, WORK_PX / max(seen.images.shape[1:3]))
    # Pixel centres are whole numbers: a shrunk picture's edges stay where they were.
    to_small = np.array([[factor, 0, 0.5 * factor - 0.5], [0, factor, 0.5 * factor - 0.5], [0, 0, 1.0]])
    intrinsics = to_small @ np.asarray(seen.intrinsics, np.float64)
    tracks = follow_corners(*_shrunk(seen, factor))
    known = np.isfinite(tracks[..., 0])
    turns = np.tile(np.eye(3), (len(tracks), 1, 1))
    found: RelativeMotion | None = None
    compared = -1
    for frame in range(1, len(tracks)):
        common = (known[:frame] & known[frame]).sum(axis=1)
        if common.max() < LEAST_COMMON:
            return SeenTurns(
                None,
                f"{common.max()} corners outside the mask are seen in frame {frame} and one before, at least "
                f"{LEAST_COMMON} are needed: the background must show texture, and the picture must be sharp",
            )
        other = int(np.argmax(common >= LEAST_COMMON))
        both = known[other] & known[frame]
        near, compared = (found if other == compared else None), other
        found = relative_motion(tracks[other, both], tracks[frame, both], intrinsics, near)
        if not found.miss_px <= MOST_MISS_PX:
            return SeenTurns(
                None,
                f"corners outside the mask miss one camera motion by {found.miss_px:.1f} pixels in frame {frame}, "
                f"at most {MOST_MISS_PX:g} are allowed: the background must stand still",
            )
        turns[frame] = found.turn @ turns[other]
    return SeenTurns(turns)


@dataclass(frozen=True)
class RelativeMotion:
    """A camera's motion between two pictures.

    Attributes:
        turn: [3, 3] rotation from the first camera's axes to the second's.
        shift: [3] unit direction of ``second_from_first``'s translation; zeros of a camera that only turned.
        miss_px: median distance in pixels by which the corners miss it: their epipolar lines, or, of a camera that only
            turned, their places. Infinite where no motion was found.
    """

    turn: np.ndarray
    shift: np.ndarray
    miss_px: float


def relative_motion(
    first_px: np.ndarray, second_px: np.ndarray, intrinsics: np.ndarray, near: RelativeMotion | None = None
) -> RelativeMotion:
    """The camera's motion between two pictures of what stands still.

    Args:
        first_px, second_px: [n, 2] pixels of the same n corners, at least 8.   intrinsics: [3, 3] K.
        near: a motion that is probably near, such as that to the picture before, to be tried as well.
    Raises:
        ShapeError: sizes disagree.   InputError: fewer than 8 corners.
    """
    axes = check_shape("first_px", first_px, "n 2")
    check_shape("second_px", second_px, "n 2", **axes)
    if axes["n"] < 8:
        raise InputError(f"{axes['n']} corners, at least 8 are needed for a camera's motion")
    one, two = (np.asarray(points, np.float64) for points in (first_px, second_px))
    rays = [np.column_stack([points, np.ones(len(points))]) @ np.linalg.inv(intrinsics).T for points in (one, two)]
    focal = float(np.sqrt(intrinsics[0, 0] * intrinsics[1, 1]))
    turn, apart = turn_alone(rays[0], rays[1])
    still = RelativeMotion(turn, np.zeros(3), float(np.median(apart)) * focal)
    if still.miss_px <= _STILL_PX:
        return still
    starts = [] if near is None or not near.shift.any() else [(near.turn, near.shift)]
    matrix, _ = cv2.findEssentialMat(one, two, intrinsics, cv2.RANSAC, 0.999, _RANSAC_PX)
    for row in range(0, 0 if matrix is None else len(matrix), 3):
        # Each matrix means two turns, half a circle about the shift apart: the one nearer to the turn alone is meant.
        left, right, shift = cv2.decomposeEssentialMat(matrix[row : row + 3])
        starts.append((min((left, right), key=lambda option: _angle(option, turn)), shift[:, 0]))
    found = [_refined(start, shift, rays, focal) for start, shift in starts]
    return min(found, key=lambda option: option.miss_px, default=RelativeMotion(turn, np.zeros(3), np.inf))


def turn_alone(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rotation [3, 3] that takes rays [n, 3] nearest to others, robustly, and how far each misses, radians [n]."""
    one, two = (rays / np.linalg.norm(rays, axis=1, keepdims=True) for rays in (first, second))
    weight, turn, apart = np.ones(len(one)), np.eye(3), np.zeros(len(one))
    for _ in range(10):
        left, _, right = np.linalg.svd((two * weight[:, None]).T @ one)
        turn = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
        apart = np.linalg.norm(two - one @ turn.T, axis=1)
        weight = 1.0 / (1.0 + (apart / (2.0 * np.median(apart) + 1e-9)) ** 2) ** 2
    return turn, apart


def epipolar_misses(turn: np.ndarray, shift: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Sampson's distance [n] of rays (x, y, 1) from their epipolar lines, in units of the focal length.

    Twin: ``lab.reference.background.epipolar_misses``.
    """
    x, y, z = shift
    matrix = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]]) @ turn
    there, back = first @ matrix.T, second @ matrix
    slope = np.sqrt(there[:, 0] ** 2 + there[:, 1] ** 2 + back[:, 0] ** 2 + back[:, 1] ** 2)
    misses: np.ndarray = (second * there).sum(axis=1) / np.maximum(slope, 1e-12)
    return misses


def _refined(start: np.ndarray, shift: np.ndarray, rays: list[np.ndarray], focal: float) -> RelativeMotion:
    """The motion nearby that fits all corners best."""
    across = np.linalg.svd(shift[None])[2][1:]

    def motion(step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        moved = shift + step[3:] @ across
        return Rotation.from_rotvec(step[:3]).as_matrix() @ start, moved / np.linalg.norm(moved)

    def misses(step: np.ndarray, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        return focal * epipolar_misses(*motion(step), rays[0][rows], rays[1][rows])

    step = np.zeros(5)
    for _ in range(2):
        # What moves by itself all goes one way: however little each counts, together they would pull.
        away = np.abs(misses(step))
        rows = np.flatnonzero(away <= 3.0 * max(_RANSAC_PX, float(np.median(away))))
        step = least_squares(misses, step, loss="soft_l1", f_scale=_SOFT_PX, args=(rows,)).x
    return RelativeMotion(*motion(step), float(np.median(np.abs(misses(step)))))


def _angle(one: np.ndarray, other: np.ndarray) -> float:
    return float(Rotation.from_matrix(one @ other.T).magnitude())


def _shrunk(seen: Surroundings, factor: float) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Grey pictures [h, w], and where corners may lie [h, w] uint8: away from the object."""
    greys, free = [], []
    for image, mask in zip(seen.images, seen.masks, strict=True):
        grey, outside = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (~mask).astype(np.uint8)
        if factor < 1.0:
            size = (max(1, round(grey.shape[1] * factor)), max(1, round(grey.shape[0] * factor)))
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
            outside = cv2.resize(outside, size, interpolation=cv2.INTER_NEAREST)
        # Flow looks at a square around a corner: none of it should be the object's.
        side = 2 * (max(grey.shape) // 32) + 1
        greys.append(grey)
        free.append(cv2.erode(outside, np.ones((side, side), np.uint8)))
    return greys, free


def follow_corners(greys: list[np.ndarray], free: list[np.ndarray]) -> np.ndarray:
    """Corners followed through F pictures; new ones are added where they become few.

    Args:
        greys: F of [h, w] uint8.   free: F of [h, w] uint8, not 0 where corners may lie.
    Returns:
        [F, N, 2] float32 pixels; NaN where a corner was not seen.
    """
    frames, (height, width) = len(greys), greys[0].shape
    columns: list[np.ndarray] = []
    alive: np.ndarray = np.zeros(0, np.int64)
    for frame in range(frames):
        places = np.array([columns[number][frame] for number in alive], np.float32).reshape(-1, 2)
        if len(alive) < _REFILL * CORNERS:
            fresh = _new_corners(greys[frame], free[frame], places)
            alive = np.concatenate([alive, len(columns) + np.arange(len(fresh))])
            for place in fresh:
                columns.append(np.full((frames, 2), np.nan, np.float32))
                columns[-1][frame] = place
            places = np.concatenate([places, fresh])
        if frame + 1 == frames or not len(places):
            continue
        start = np.ascontiguousarray(places[:, None])
        there, found, _ = cv2.calcOpticalFlowPyrLK(greys[frame], greys[frame + 1], start, start.copy(), **_FLOW)
        again, found_again, _ = cv2.calcOpticalFlowPyrLK(greys[frame + 1], greys[frame], there, there.copy(), **_FLOW)
        kept = (found[:, 0] > 0) & (found_again[:, 0] > 0)
        kept &= np.linalg.norm(again[:, 0] - start[:, 0], axis=1) < _BACK_PX
        cell = np.rint(there[:, 0]).astype(np.int64)
        kept &= (cell >= 0).all(axis=1) & (cell < [width, height]).all(axis=1)
        kept[kept] &= free[frame + 1][cell[kept, 1], cell[kept, 0]] > 0
        for number, place in zip(alive[kept], there[kept, 0], strict=True):
            columns[number][frame + 1] = place
        alive = np.asarray(alive[kept])
    return np.stack(columns, axis=1) if columns else np.zeros((frames, 0, 2), np.float32)


def _new_corners(grey: np.ndarray, free: np.ndarray, places: np.ndarray) -> np.ndarray:
    """[n, 2] float32 corners that lie away from those there are [m, 2]."""
    apart = max(4, grey.shape[1] // 50)
    allowed = free.copy()
    for x, y in np.rint(places).astype(np.int64).tolist():
        cv2.circle(allowed, (x, y), apart, 0, -1)
    found = cv2.goodFeaturesToTrack(grey, CORNERS - len(places), 0.01, apart, mask=allowed)
    return np.zeros((0, 2), np.float32) if found is None else found[:, 0]
