"""What several reads say about the same landmarks, weighed by how much each may err."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..shapes import check_shape
from .patches import Patches

OWN_ERROR = 0.05
"""What a read errs where nothing moved, object units."""

MOVED_ERROR = 0.3
"""What it errs on top, as a share of how far the patch moved between the read's anchor and the frame."""

INVALID = 5e-4
"""Weight of a match that was rejected: it counts only where there is nothing else."""

MOST_VARIANCE = 0.05
"""Largest variance handed on, squared object units."""


@dataclass(frozen=True)
class Read:
    """Where one read of the network finds the landmarks.

    Attributes:
        points: [F, K, 3] object frame; valid: [F, K] bool.
        source: [K, 3] the landmarks where the read is anchored.
        variance: [K] of these, squared object units; zeros for the rest pose.
    """

    points: np.ndarray
    valid: np.ndarray
    source: np.ndarray
    variance: np.ndarray


@dataclass(frozen=True)
class Fused:
    """Reads as one.

    Attributes:
        points: [F, K, 3] float64.
        weight: [F, K] in 0 .. 1 after smoothing over time: near 0 where no read was valid.
        variance: [K] of the last frame, squared object units, to hand on.
        found: [F, K] bool, valid in some read.
    """

    points: np.ndarray
    weight: np.ndarray
    variance: np.ndarray
    found: np.ndarray


def fuse_reads(reads: Sequence[Read], patches: Patches, sigma: float) -> Fused:
    """Weighted means of reads, landmark by landmark and frame by frame, then smoothed over the frames.

    The weight of a match is 1 / (variance of its anchor + ``OWN_ERROR``^2 + (``MOVED_ERROR`` d)^2). Displacement d and
    variance are means over the landmark's patch: a match that was left behind would otherwise call itself sure.

    Args:
        reads: at least one, of the same frames.
        patches: of the landmarks.
        sigma: of the Gaussian over the frames, frames; 0 = none.
    Raises:
        InputError: no read.   ShapeError: shapes disagree.
    Twin: ``lab.reference.parts.fuse_reads``.
    """
    if not reads:
        raise InputError("there is no read to fuse: give at least one")
    axes = check_shape("points", reads[0].points, "F K 3", K=len(patches.of))
    total = np.zeros((axes["F"], axes["K"], 3))
    information = np.zeros((axes["F"], axes["K"]))
    found = np.zeros((axes["F"], axes["K"]), bool)
    for read in reads:
        check_shape("points", read.points, "F K 3", **axes)
        check_shape("valid", read.valid, "F K", **axes)
        apart = np.linalg.norm(read.points - read.source, axis=2) * read.valid
        moved = (patches.sums(apart) + 1e-3) / (patches.sums(read.valid) + 1e-2)
        spread = patches.means(read.variance) + OWN_ERROR**2 + (MOVED_ERROR * moved[:, patches.of]) ** 2
        weight = np.where(read.valid, 1.0, INVALID) / spread
        total += weight[..., None] * read.points
        information += weight
        found |= read.valid
    points, weight = smooth_over_frames(total / information[..., None], np.where(found, 1.0, INVALID), sigma)
    variance = np.minimum(1.0 / np.maximum(information[-1], 1e-3), MOST_VARIANCE)
    return Fused(points, weight, variance, found)


def smooth_over_frames(points: np.ndarray, weights: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian means over time, cut off at three frames.

    Args:
        points: [F, K, 3]; weights: [F, K]; sigma: frames, 0 = none.
    Returns:
        points [F, K, 3], and the mean weight [F, K] that each rests on.
    """
    if sigma <= 0:
        return points, weights
    frame = np.arange(len(points))
    apart = np.abs(frame[:, None] - frame)
    kernel = np.where(apart <= 3, np.exp(-0.5 * (apart / sigma) ** 2), 0.0)
    total = kernel @ weights
    mean = np.einsum("fg,gka->fka", kernel, weights[..., None] * points) / np.maximum(total, 1e-12)[..., None]
    return mean, total / kernel.sum(axis=1)[:, None]
