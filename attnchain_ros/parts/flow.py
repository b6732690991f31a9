"""Pixels followed from picture to picture by OpenCV's optical flow, with checks there and back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..camera.crop import Crop
from ..shapes import check_shape

BACK_PX = 1.5
"""A step of dense flow is refused where the way back misses the start by more than this, working pixels."""

AGAIN_BACK_PX = 0.7
"""The same for a point that is looked for in another picture from a guess."""

AGAIN_REACH_PX = 8.0
"""A point that is found again lies at most this far from the guess, working pixels."""

AGAIN_RESIDUAL = 12.0
"""Largest mean difference of grey values around a point that is found again."""

_AGAIN_WINDOW = 15


@dataclass(frozen=True)
class View:
    """A square of a frame at the working size.

    Attributes:
        grey: [S, S] uint8; mask: [S, S] bool, the object.
    """

    grey: np.ndarray
    mask: np.ndarray


def working_crop(square: Crop, size: int) -> Crop:
    """A square with whole pixels as edges that holds ``square``, of at most ``size`` pixels: it is never enlarged."""
    left, upper = np.floor(square.x0 + 0.5) - 0.5, np.floor(square.y0 + 0.5) - 0.5
    side = np.ceil(max(square.x0 + square.side - left, square.y0 + square.side - upper))
    return Crop(float(left), float(upper), float(side), int(min(size, side)))


def cut_view(image: np.ndarray, mask: np.ndarray, crop: Crop) -> View:
    """What a crop with whole pixels as edges (``working_crop``) shows of a frame; beyond it the border is repeated.

    Args:
        image: [H, W, 3] uint8 RGB; mask: [H, W] bool.   crop: edges at whole pixels.
    """
    axes = check_shape("image", image, "H W 3")
    check_shape("mask", mask, "H W", "one mask per frame, of the image's size", **axes)
    left, upper, side = round(crop.x0 + 0.5), round(crop.y0 + 0.5), round(crop.side)
    rows, columns = np.arange(upper, upper + side), np.arange(left, left + side)
    near = np.ix_(np.clip(rows, 0, axes["H"] - 1), np.clip(columns, 0, axes["W"] - 1))
    within = np.logical_and.outer((rows >= 0) & (rows < axes["H"]), (columns >= 0) & (columns < axes["W"]))
    grey = cv2.cvtColor(np.ascontiguousarray(image[near]), cv2.COLOR_RGB2GRAY)
    inside = (mask[near] & within).astype(np.uint8)
    if crop.size != side:
        grey = cv2.resize(grey, (crop.size, crop.size), interpolation=cv2.INTER_AREA)
        inside = cv2.resize(inside, (crop.size, crop.size), interpolation=cv2.INTER_NEAREST)
    return View(grey, inside.astype(bool))


def flow_both_ways(first: View, second: View) -> tuple[np.ndarray, np.ndarray]:
    """Dense flow (DIS, preset medium) from one picture to another and back, [S, S, 2] float32 pixels each."""
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    blank = np.zeros((*first.grey.shape, 2), np.float32)
    return method.calc(first.grey, second.grey, blank.copy()), method.calc(second.grey, first.grey, blank.copy())


def read_flow(flow: np.ndarray, points_px: np.ndarray) -> np.ndarray:
    """[Q, 2] float64 flow at points [Q, 2], bilinear; beyond the border, that of the nearest pixel; NaN stays NaN."""
    height, width = flow.shape[:2]
    absent = ~np.isfinite(points_px).all(axis=1)
    place = np.clip(np.nan_to_num(points_px), 0, [width - 1, height - 1])
    corner = np.minimum(np.floor(place).astype(np.int64), [max(width - 2, 0), max(height - 2, 0)])
    x, y = corner.T
    right, below = np.minimum(x + 1, width - 1), np.minimum(y + 1, height - 1)
    share_x, share_y = (place - corner).T[:, :, None]
    top = flow[y, x] * (1 - share_x) + flow[y, right] * share_x
    bottom = flow[below, x] * (1 - share_x) + flow[below, right] * share_x
    found: np.ndarray = np.asarray(top * (1 - share_y) + bottom * share_y, np.float64)
    found[absent] = np.nan
    return found


def step_points(
    points_px: np.ndarray, there: np.ndarray, back: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Follow points by one step of dense flow.

    Args:
        points_px: [Q, 2] working pixels; NaN = absent.
        there, back: [S, S, 2] flow to the next picture and from it.   mask: [S, S] bool of the next picture.
    Returns:
        where they go [Q, 2] float64, and [Q] bool whether that holds: the way back meets the start within ``BACK_PX``,
        and the object is there.
    Twin: ``lab.reference.parts.step_points``.
    """
    onward = points_px + read_flow(there, points_px)
    with np.errstate(invalid="ignore"):
        held = np.linalg.norm(onward + read_flow(back, onward) - points_px, axis=1) <= BACK_PX
    return onward, held & read_mask(mask, onward)


def read_mask(mask: np.ndarray, points_px: np.ndarray) -> np.ndarray:
    """[Q] bool: a mask [S, S] at the nearest pixel of points [Q, 2]; False outside and for NaN."""
    height, width = mask.shape
    with np.errstate(invalid="ignore"):
        within = (points_px >= -0.5) & (points_px < np.array([width - 0.5, height - 0.5]))
    inside: np.ndarray = np.asarray(within.all(axis=1))
    cell = np.rint(np.where(inside[:, None], points_px, 0.0)).astype(np.int64)
    found: np.ndarray = inside & mask[cell[:, 1], cell[:, 0]]
    return found


def find_again(
    first: np.ndarray, second: np.ndarray, points_px: np.ndarray, guess_px: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Look for points of one picture in another, near a guess (Lucas-Kanade, with a check back).

    Args:
        first, second: [S, S] and [T, T] uint8 grey pictures.
        points_px: [Q, 2] in the first.   guess_px: [Q, 2] in the second; both finite.
    Returns:
        [Q, 2] float64 places in the second picture, and [Q] bool whether they hold.
    """
    if not len(points_px):
        return np.zeros((0, 2)), np.zeros(0, bool)
    start = np.ascontiguousarray(points_px, np.float32)[:, None]
    guess = np.ascontiguousarray(guess_px, np.float32)[:, None]
    found, there, residual = _lucas_kanade(first, second, start, guess.copy())
    returned, back, _ = _lucas_kanade(second, first, found, start.copy())
    held = (there.ravel() == 1) & (back.ravel() == 1) & (residual.ravel() < AGAIN_RESIDUAL)
    held &= np.linalg.norm((returned - start)[:, 0], axis=1) < AGAIN_BACK_PX
    held &= np.linalg.norm((found - guess)[:, 0], axis=1) < AGAIN_REACH_PX
    return found[:, 0].astype(np.float64), held


def _lucas_kanade(
    first: np.ndarray, second: np.ndarray, points: np.ndarray, guess: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where points [n, 1, 2] of a picture are in another near a guess, whether they were found, and the residuals."""
    found, held, residual = cv2.calcOpticalFlowPyrLK(
        first, second, points, guess, winSize=(_AGAIN_WINDOW, _AGAIN_WINDOW), maxLevel=1,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )  # fmt: skip
    return np.asarray(found), np.asarray(held), np.asarray(residual)
