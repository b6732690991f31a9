"""Twin of chain.bridge: every patch against every vertex, float64."""

from __future__ import annotations

import math

import numpy as np


def patch_to_vertex(patch_tokens: np.ndarray, vertex_tokens: np.ndarray) -> np.ndarray:
    """[P, N] and [V, N] to the best vertex of each patch [P]; the first of equals."""
    return np.array([_best(row, vertex_tokens)[0] for row in patch_tokens], dtype=np.int64)


def vertex_to_patch(patch_tokens: np.ndarray, vertex_tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[P, N] and [V, N] to the best patch [V], its score [V] and the 3 x 3 mean (column, row) [V, 2]."""
    grid = math.isqrt(len(patch_tokens))
    patches, scores, places = [], [], []
    for row in vertex_tokens:
        best, score = _best(row, patch_tokens)
        weight = x = y = 0.0
        for line in range(max(best // grid - 1, 0), min(best // grid + 2, grid)):
            for column in range(max(best % grid - 1, 0), min(best % grid + 2, grid)):
                share = _product(row, patch_tokens[line * grid + column])
                weight, x, y = weight + share, x + share * column, y + share * line
        patches.append(best)
        scores.append(score)
        places.append((x / weight, y / weight) if weight > 0 else (float(best % grid), float(best // grid)))
    return np.array(patches, dtype=np.int64), np.array(scores), np.array(places)


def _product(a: np.ndarray, b: np.ndarray) -> float:
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def _best(row: np.ndarray, others: np.ndarray) -> tuple[int, float]:
    scores = [_product(row, other) for other in others]
    highest = max(scores)
    return scores.index(highest), highest
