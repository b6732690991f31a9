"""Twin of chain.cycle: every sum and distance written out, float64."""

from __future__ import annotations

import math

import numpy as np

from ...config import MatchConfig
from .correspondence import match_surface


def return_points(
    found_tokens: np.ndarray,
    token_tokens: np.ndarray,
    anchor_tokens: np.ndarray,
    anchor_points: np.ndarray,
    config: MatchConfig,
    diagonal: float,
) -> np.ndarray:
    """[K, 3] where matched points come back to: token t' of the frame hands to token t the share A[t, t'] / column."""
    anchors, tokens = token_tokens.shape
    rows = np.zeros((len(found_tokens), anchors))
    for other in range(tokens):
        total = sum(float(token_tokens[t, other]) for t in range(anchors))
        for t in range(anchors):
            share = float(token_tokens[t, other]) / total if total > 0 else 0.0
            for v in range(len(found_tokens)):
                rows[v, t] += float(found_tokens[v, other]) * share
    return match_surface(rows, anchor_tokens, anchor_points, config, diagonal).points


def nearest_neighbours(points: np.ndarray, count: int) -> np.ndarray:
    """[K, n]: a full sort by distance and number for each point."""
    places = points.astype(np.float64).tolist()
    found = []
    for v, place in enumerate(places):
        others = sorted((math.dist(place, other), w) for w, other in enumerate(places) if w != v)
        found.append([w for _, w in others[:count]])
    return np.array(found, dtype=np.int64)


def neighbour_distortions(start: np.ndarray, found: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """[K] mean relative change of the distances to the neighbours, pair by pair."""
    before, after = start.astype(np.float64).tolist(), found.astype(np.float64).tolist()
    means = []
    for v, row in enumerate(neighbours.tolist()):
        changes = []
        for w in row:
            length = math.dist(before[v], before[w])
            if length > 0:
                changes.append(abs(math.dist(after[v], after[w]) - length) / length)
        means.append(sum(changes) / len(changes) if changes else 0.0)
    return np.array(means)
