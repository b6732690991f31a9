"""Twin of ``mesh/smoothing.py``: App. D.1 frame by frame and landmark by landmark."""

from __future__ import annotations

import math

import numpy as np

from ...config import AnimationConfig


def reject_outliers(
    anchor: np.ndarray, raw: np.ndarray, anchor_index: int, config: AnimationConfig, diagonal: float
) -> np.ndarray:
    """[F, K] bool, True = valid."""
    valid = np.zeros(raw.shape[:2], bool)
    for f, frame in enumerate(raw.astype(np.float64)):
        moved = [float(np.linalg.norm(p - a)) for p, a in zip(frame, anchor.astype(np.float64), strict=True)]
        finite = sorted(m for m in moved if math.isfinite(m))
        median = finite[(len(finite) - 1) // 2] if finite else 0.0
        for k, m in enumerate(moved):
            relative = m > max(config.outlier_ratio * median, config.outlier_floor * diagonal)
            absolute = m > config.outlier_limit * diagonal
            valid[f, k] = f == anchor_index or (math.isfinite(m) and not relative and not absolute)
    return valid


def keep_landmarks(
    valid_counts: np.ndarray, frames_seen: int, components: np.ndarray, config: AnimationConfig
) -> np.ndarray:
    """[K] bool: valid often enough, or among the best of the component."""
    keep = []
    for k, count in enumerate(valid_counts):
        better = sum(
            (other > count or (other == count and j < k)) and components[j] == components[k]
            for j, other in enumerate(valid_counts)
        )
        keep.append(count / frames_seen >= config.valid_share - 1e-12 or better < config.keep_landmarks)
    return np.array(keep)


def smooth_displacements(
    anchor: np.ndarray,
    raw: np.ndarray,
    valid: np.ndarray,
    anchor_index: int,
    sigma: float,
    history: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """[F, K, 3] smoothed positions."""
    frames, landmarks = raw.shape[:2]
    result = np.zeros(raw.shape)
    reach = math.ceil(3 * sigma)
    for k in range(landmarks):
        samples = {}
        for j in range(frames):
            if j == anchor_index:
                samples[j] = np.zeros(3)
            elif valid[j, k]:
                samples[j] = raw[j, k].astype(np.float64) - anchor[k]
        if history is not None:
            past, past_valid = history
            for i in range(len(past)):
                if past_valid[i, k]:
                    samples[i - len(past)] = past[i, k].astype(np.float64)
        means = {}
        for f in range(frames):
            near = [j for j in samples if abs(f - j) <= reach]
            weight = [math.exp(-((f - j) ** 2) / (2 * sigma**2)) if sigma > 0 else 1.0 for j in near]
            if near:
                means[f] = sum(w * samples[j] for w, j in zip(weight, near, strict=True)) / sum(weight)
        for f in range(frames):
            if f == anchor_index:
                shift = np.zeros(3)
            elif f in means:
                shift = means[f]
            else:
                lower, upper = [j for j in means if j < f], [j for j in means if j > f]
                if lower and upper:
                    a, b = max(lower), min(upper)
                    shift = means[a] + (f - a) / (b - a) * (means[b] - means[a])
                else:
                    shift = means[max(lower)] if lower else means[min(upper)]
            result[f, k] = anchor[k] + shift
    return result
