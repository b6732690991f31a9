"""Twin of chain.correspondence: sums written out, one landmark and one surface point at a time, float64."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ...config import MatchConfig


class Matches(NamedTuple):
    """points [K, 3], confidence [K], best [K], score_top [K, min(top, U)]; float64 and int64."""

    points: np.ndarray
    confidence: np.ndarray
    best: np.ndarray
    score_top: np.ndarray


def transport(vertex_tokens: np.ndarray, token_tokens: np.ndarray) -> np.ndarray:
    """Eq. 2 for one frame: [K, N] and [N, M] to [K, M]."""
    landmarks, tokens = vertex_tokens.shape
    carried = np.zeros((landmarks, token_tokens.shape[1]))
    for v in range(landmarks):
        for t in range(tokens):
            for other in range(token_tokens.shape[1]):
                carried[v, other] += float(vertex_tokens[v, t]) * float(token_tokens[t, other])
    return carried


def match_surface(
    token_rows: np.ndarray, surface_tokens: np.ndarray, surface_points: np.ndarray, config: MatchConfig, diagonal: float
) -> Matches:
    """Eq. 3 and 4: every score, a full sort by (score falling, index rising), then the blend."""
    points, confidence, best, tops = [], [], [], []
    for row in token_rows:
        scores = [sum(float(a) * float(b) for a, b in zip(row, other, strict=True)) for other in surface_tokens]
        order = sorted(range(len(scores)), key=lambda u: (-scores[u], u))[: config.top]
        first = order[0]
        highest = scores[first]
        blended, total = np.zeros(3), 0.0
        for u in order:
            away = math.dist([float(c) for c in surface_points[u]], [float(c) for c in surface_points[first]])
            if away > config.radius * diagonal:
                continue
            if highest > 0:
                weight = math.exp((scores[u] - highest) / (config.temperature * highest))
            else:
                weight = 1.0 if u == first else 0.0
            blended = blended + weight * np.asarray(surface_points[u], dtype=np.float64)
            total += weight
        points.append(blended / total)
        confidence.append(highest)
        best.append(first)
        tops.append([scores[u] for u in order])
    return Matches(np.array(points), np.array(confidence), np.array(best, dtype=np.int64), np.array(tops))
