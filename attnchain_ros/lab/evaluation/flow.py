"""2D tracks from OpenCV's optical flow, as baselines: dense DIS flow, and pyramidal Lucas-Kanade."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import cv2
import numpy as np

from ...errors import InputError
from ...parts.flow import read_flow
from ...shapes import check_shape

BACK_PX = 1.5
"""A point is lost where the flow there and back again misses its start by more than this, in pixels of a 256-pixel
picture."""
_WINDOW_PX = 21
_LEVELS = 3


@dataclass(frozen=True)
class Tracks:
    """2D tracks of one sequence, in the form of the method's own.

    Attributes:
        points_px: [F, Q, 2] float32 pixels of the full picture; NaN = absent.
        visible: [F, Q] bool.
    """

    points_px: np.ndarray
    visible: np.ndarray


def still_tracks(queries_px: np.ndarray, frames: int) -> Tracks:
    """Points that stay where they were asked for, always visible."""
    count = check_shape("queries_px", queries_px, "Q 2")["Q"]
    points = np.repeat(np.asarray(queries_px, np.float32)[None], frames, axis=0)
    return Tracks(points, np.ones((frames, count), bool))


def dense_flow_tracks(images: np.ndarray, queries_px: np.ndarray) -> Tracks:
    """Follow points from frame to frame through dense flow (DIS, preset medium).

    A point moves by the flow at its place, read bilinearly. It is hidden where following the flow back does not return
    to its place, where it leaves the picture, and from then on (it has no way to come back).

    Args:
        images: [F, H, W, 3] uint8 RGB.
        queries_px: [Q, 2] pixels of the first frame.
    Raises:
        ShapeError, InputError: no pictures.
    Twin: ``lab.reference.flow.chain_flow`` for the chain; the flow itself is OpenCV's.
    """
    grey = _grey(images)
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    pairs = itertools.pairwise(grey)
    blank = np.zeros((*grey.shape[1:], 2), np.float32)
    flows = [
        (method.calc(first, second, blank.copy()), method.calc(second, first, blank.copy())) for first, second in pairs
    ]
    return chain_flow(flows, queries_px, _back_limit(grey.shape[1:]), grey.shape[1:3])


def chain_flow(
    flows: list[tuple[np.ndarray, np.ndarray]], queries_px: np.ndarray, back_px: float, size: tuple[int, ...]
) -> Tracks:
    """Follow points through flow fields, frame to frame.

    Args:
        flows: for each step, the flow to the next frame and the flow back from there, [H, W, 2] pixels.
        queries_px: [Q, 2] pixels of the first frame.
        back_px: largest miss after going there and back.
        size: height and width.
    Twin: ``lab.reference.flow.chain_flow``.
    """
    check_shape("queries_px", queries_px, "Q 2")
    place = np.asarray(queries_px, np.float64)
    points, visible = [place], [_inside(place, size)]
    for there, back in flows:
        onward = place + read_flow(there, place)
        returned = onward + read_flow(back, onward)
        held = (np.linalg.norm(returned - place, axis=1) <= back_px) & _inside(onward, size)
        visible.append(visible[-1] & held)
        points.append(onward)
        place = onward
    return Tracks(np.stack(points).astype(np.float32), np.stack(visible))


def sparse_flow_tracks(images: np.ndarray, queries_px: np.ndarray) -> Tracks:
    """Follow points from frame to frame with pyramidal Lucas-Kanade and a check there and back.

    A point is hidden from the frame on in which OpenCV loses it, the way back misses its place, or it leaves the
    picture; its position stays the last one.

    Args:
        images: [F, H, W, 3] uint8 RGB.
        queries_px: [Q, 2] pixels of the first frame.
    Raises:
        ShapeError, InputError: no pictures.
    """
    grey = _grey(images)
    check_shape("queries_px", queries_px, "Q 2")
    limit = _back_limit(grey.shape[1:])
    place = np.asarray(queries_px, np.float32)
    points, visible = [place], [_inside(place, grey.shape[1:])]
    for first, second in itertools.pairwise(grey):
        held = visible[-1].copy()
        follow = np.flatnonzero(held)
        onward = place.copy()
        if len(follow):
            asked = place[follow].reshape(-1, 1, 2)
            moved, found = _lucas_kanade(first, second, asked)
            returned, again = _lucas_kanade(second, first, moved)
            miss = np.linalg.norm((returned - asked).reshape(-1, 2), axis=1)
            good = (found.ravel() == 1) & (again.ravel() == 1) & (miss <= limit)
            moved = moved.reshape(-1, 2)
            held[follow] = good & _inside(moved, grey.shape[1:])
            onward[follow[good]] = moved[good]
        points.append(onward)
        visible.append(held)
        place = onward
    return Tracks(np.stack(points), np.stack(visible))


def _lucas_kanade(first: np.ndarray, second: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where points [n, 1, 2] of the first grey picture are in the second, and whether they were found [n, 1]."""
    moved, found, _ = cv2.calcOpticalFlowPyrLK(
        first, second, points, np.zeros_like(points), winSize=(_WINDOW_PX, _WINDOW_PX), maxLevel=_LEVELS
    )
    return np.asarray(moved), np.asarray(found)


def _grey(images: np.ndarray) -> np.ndarray:
    axes = check_shape("images", images, "F H W 3")
    if axes["F"] == 0 or images.dtype != np.uint8:
        raise InputError(f"{axes['F']} pictures of {images.dtype}, wanted at least one of uint8")
    return np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images])


def _back_limit(size: tuple[int, ...]) -> float:
    return BACK_PX * max(size) / 256


def _inside(points_px: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    height, width = size
    # Comparisons with NaN are false, so absent points are nowhere inside.
    inside = (points_px >= -0.5) & (points_px < np.array([width - 0.5, height - 0.5]))
    return np.asarray(inside.all(axis=1))
