"""Twin of ``free_of_offsets`` in ``rollout/animating.py``: a weighted SVD per landmark and frame."""

from __future__ import annotations

import numpy as np

from .skinning import procrustes_rotations


def free_of_offsets(
    points: np.ndarray, own: np.ndarray, lost: np.ndarray, index: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Matches [F, K, 3] plus each landmark's offset, turned as the landmarks around it turned.

    Args:
        points: [F, K, 3]; own: [K, 3]; frame 0 is the anchor.
        lost: [K] bool, landmarks that are not listened to.
        index, weight: [K, k] the landmarks around each landmark.
    """
    freed = points.copy()
    for landmark in range(len(own)):
        shares = [0.0 if lost[other] else float(w) for other, w in zip(index[landmark], weight[landmark], strict=True)]
        if sum(shares) <= 1e-6:
            shares = [float(w) for w in weight[landmark]]
        shares = [share / sum(shares) for share in shares]
        around = [own[other] for other in index[landmark]]
        centre = sum(share * place for share, place in zip(shares, around, strict=True))
        for frame in range(len(points)):
            if frame == 0:
                continue
            there = [points[frame, other] for other in index[landmark]]
            middle = sum(share * place for share, place in zip(shares, there, strict=True))
            covariance = sum(
                share * np.outer(a - centre, b - middle) for share, a, b in zip(shares, around, there, strict=True)
            )
            turn = procrustes_rotations(np.asarray(covariance))
            freed[frame, landmark] = points[frame, landmark] + turn @ (points[0, landmark] - own[landmark])
    return freed
