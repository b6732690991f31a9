"""Rigid parts from patches: neighbours that move as one are joined, the cheapest first (Ward's method)."""

from __future__ import annotations

import numpy as np

from ..shapes import check_shape
from .moments import SIZE, rigid_energies


def merge_patches(moments: np.ndarray, pairs: np.ndarray, ratio: float, stretch: int) -> np.ndarray:
    """Join touching patches while they move as one rigid part.

    What a join costs is how much farther the landmarks of the smaller one lie from their places under the common
    rigid motion than under their own: root mean square over a stretch of frames, the worst stretch. Joining ends when
    the cheapest join costs ``ratio`` times the median patch's own residual: soft things, whose patches are not rigid
    themselves by much, must not fall apart and not be frozen.

    Args:
        moments: [P, F, ``SIZE``] of the patches (``motion_moments``).
        pairs: [E, 2] patches that touch.
        ratio: of costs to the median residual.   stretch: frames of a stretch.
    Returns:
        [P] int64 part of each patch, numbered from 0.
    Raises:
        ShapeError: wrong shapes.
    Twin: ``lab.reference.parts.merge_patches``.
    """
    check_shape("pairs", pairs, "E 2")
    axes = check_shape("moments", moments, "P F M", M=SIZE)
    sums = np.array(moments, np.float64)
    energies = rigid_energies(sums)
    label = np.arange(axes["P"])
    starts = np.arange(0, axes["F"], stretch)
    own = np.sqrt(energies.sum(axis=1) / np.maximum(sums[:, :, 0].sum(axis=1), 1e-6))
    limit = ratio * float(np.median(own))

    def costs(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        joined = rigid_energies(sums[one] + sums[other])
        added = np.maximum(joined - energies[one] - energies[other], 0.0)
        smaller = np.minimum(sums[one, :, 0], sums[other, :, 0])
        share = np.add.reduceat(added, starts, axis=1)
        weight = np.add.reduceat(smaller, starts, axis=1)
        found: np.ndarray = np.sqrt((share / np.maximum(weight, 1e-6)).max(axis=1))
        return found

    pending: dict[tuple[int, int], float] = {}
    if len(pairs):
        pending = dict(zip(map(tuple, pairs.tolist()), costs(*pairs.T).tolist(), strict=True))
    while pending:
        (kept, gone), cost = min(pending.items(), key=lambda item: item[1])
        if cost > limit:
            break
        sums[kept] += sums[gone]
        energies[kept] = rigid_energies(sums[kept])
        label[label == gone] = kept
        touching = {patch for pair in pending if kept in pair or gone in pair for patch in pair} - {kept, gone}
        pending = {pair: cost for pair, cost in pending.items() if not {kept, gone} & set(pair)}
        if touching:
            new = np.array([sorted((kept, patch)) for patch in sorted(touching)])
            pending.update(zip(map(tuple, new.tolist()), costs(*new.T).tolist(), strict=True))
    return np.unique(label, return_inverse=True)[1].astype(np.int64)
