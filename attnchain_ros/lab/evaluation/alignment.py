"""Similarity alignment of one surface to another, and Chamfer distances after it."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from ...errors import InputError
from ...shapes import check_shape

_STEPS = 50
_SETTLED = 1e-4
"""Share of the distance that a step must still gain."""


def fit_similarity(source: np.ndarray, target: np.ndarray, rigid: bool = False) -> np.ndarray:
    """The similarity that best carries paired points: Umeyama's closed form, proper rotations only.

    Args:
        source, target: [n, 3] pairs, n >= 3, not all on one line.
        rigid: keep the scale at 1.
    Returns:
        [4, 4] float64 target_from_source: scale times rotation, and shift.
    Raises:
        ShapeError: sizes disagree.   InputError: fewer than 3 pairs or no extent.
    """
    count = check_shape("source", source, "n 3")["n"]
    check_shape("target", target, "n 3", "give pairs", n=count)
    if count < 3:
        raise InputError(f"{count} pairs do not fix a similarity, wanted at least 3")
    a, b = np.asarray(source, np.float64), np.asarray(target, np.float64)
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    a, b = a - mean_a, b - mean_b
    spread = float((a * a).sum())
    if not spread > 0:
        raise InputError("all points lie on one place, which fixes no similarity")
    left, values, right = np.linalg.svd(b.T @ a)
    flip = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    rotation = (left * flip) @ right
    scale = 1.0 if rigid else float((values * flip).sum()) / spread
    similarity = np.eye(4)
    similarity[:3, :3] = scale * rotation
    similarity[:3, 3] = mean_b - scale * rotation @ mean_a
    return similarity


def apply_similarity(similarity: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points [..., 3] through a [4, 4] similarity; float64."""
    moved: np.ndarray = np.asarray(points, np.float64) @ similarity[:3, :3].T + similarity[:3, 3]
    return moved


def align_surfaces(
    source: np.ndarray,
    target: np.ndarray,
    *,
    start: np.ndarray | None = None,
    rigid: bool = False,
    steps: int = _STEPS,
    settled: float = _SETTLED,
) -> np.ndarray:
    """Iterated closest points, with scale unless ``rigid``.

    Pairs are taken in both directions (every source point with its nearest target point and the other way round):
    with one direction alone, a shrinking source would have ever smaller distances. Without a start it begins
    with the identity: where both surfaces are meant to be in the canonical frame, an object that was generated turned
    around stays an error.

    Args:
        source: [n, 3], target: [m, 3] samples of two surfaces.
        start: [4, 4] target_from_source to begin with.
        rigid: keep the scale at 1.
        steps: at most so many.   settled: share of the distance that a step must still gain.
    Returns:
        [4, 4] float64 target_from_source, of the least symmetric Chamfer distance met on the way.
    """
    check_shape("source", source, "n 3")
    check_shape("target", target, "m 3")
    a, b = np.asarray(source, np.float64), np.asarray(target, np.float64)
    tree_b = cKDTree(b)
    similarity = best = np.eye(4) if start is None else start
    least = np.inf
    for _ in range(steps):
        moved = apply_similarity(similarity, a)
        to_b, pair_b = tree_b.query(moved)
        to_a, pair_a = cKDTree(moved).query(b)
        distance = float(to_b.mean() + to_a.mean())
        done = distance >= least * (1 - settled)
        if distance < least:
            least, best = distance, similarity
        if done:
            break
        similarity = fit_similarity(np.concatenate([a, a[pair_a]]), np.concatenate([b[pair_b], b]), rigid)
    return best


def chamfer_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Mean distance to the nearest point of the other cloud, both directions summed, not squared.

    >>> chamfer_distance(np.array([[0.0, 0, 0]]), np.array([[1.0, 0, 0], [0, 3, 0]]))
    3.0
    """
    check_shape("first", first, "n 3")
    check_shape("second", second, "m 3")
    return float(cKDTree(second).query(first)[0].mean() + cKDTree(first).query(second)[0].mean())
