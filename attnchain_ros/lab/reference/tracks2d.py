"""Twin of chain.tracks2d: sums and windows written out, float64."""

from __future__ import annotations

import math

import numpy as np

from ...camera.crop import Crop


def patch_scores(anchor_patches: np.ndarray, token_tokens: np.ndarray, frame_patches: np.ndarray) -> np.ndarray:
    """Eq. 6 before the argmax, one frame: [Q, N], [N, M], [M, P] to [Q, P]."""
    queries, tokens = anchor_patches.shape
    scores = np.zeros((queries, frame_patches.shape[1]))
    for q in range(queries):
        for p in range(frame_patches.shape[1]):
            for t in range(tokens):
                for other in range(token_tokens.shape[1]):
                    flow = float(anchor_patches[q, t]) * float(token_tokens[t, other])
                    scores[q, p] += flow * float(frame_patches[other, p])
    return scores


def soft_argmax(scores: np.ndarray, grid: int) -> np.ndarray:
    """[Q, P] to (column, row) [Q, 2]: the weighted mean of the 3 x 3 patches around the best one, one by one."""
    places = []
    for line in scores:
        best = max(range(grid * grid), key=lambda p, line=line: float(line[p]))
        weight = x = y = 0.0
        for row in range(grid):
            for column in range(grid):
                if abs(row - best // grid) <= 1 and abs(column - best % grid) <= 1:
                    share = float(line[row * grid + column])
                    weight, x, y = weight + share, x + share * column, y + share * row
        places.append((x / weight, y / weight) if weight > 0 else (float(best % grid), float(best // grid)))
    return np.array(places, dtype=np.float64)


def hard_argmax(scores: np.ndarray, grid: int) -> np.ndarray:
    """[Q, P] to (column, row) [Q, 2] of the best patch, the first of equals, looked for one by one."""
    places = []
    for line in scores:
        best = 0
        for patch in range(grid * grid):
            if float(line[patch]) > float(line[best]):
                best = patch
        places.append((float(best % grid), float(best // grid)))
    return np.array(places, dtype=np.float64)


def track_patches(
    queries_px: np.ndarray, token_tokens: np.ndarray, token_patches: np.ndarray, crop: Crop
) -> np.ndarray:
    """Places [F, Q, 2] in full-frame pixels; NaN outside the crop. The crop's map is written out here."""
    frames, tokens, patches = token_patches.shape
    grid = math.isqrt(patches)
    step = crop.side / grid
    places = np.full((frames, len(queries_px), 2), np.nan)
    for q, (x, y) in enumerate(queries_px):
        column, row = math.floor((x - crop.x0) / step), math.floor((y - crop.y0) / step)
        if not (0 <= column < grid and 0 <= row < grid):
            continue
        looks = [float(token_patches[0, t, row * grid + column]) for t in range(tokens)]
        total = sum(looks)
        first = np.array([[look / total if total > 0 else 0.0 for look in looks]])
        for frame in range(frames):
            if frame == 0:
                places[frame, q] = x, y
                continue
            scores = patch_scores(first, token_tokens[frame], token_patches[frame])
            found = soft_argmax(scores, grid)[0]
            places[frame, q, 0] = x + (found[0] - column) * step
            places[frame, q, 1] = y + (found[1] - row) * step
    return places
