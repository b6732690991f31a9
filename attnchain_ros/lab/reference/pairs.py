"""Twin of chain.pairs: every token pair of every landmark, in loops, float64."""

from __future__ import annotations

import math

import numpy as np

from ...config import ReinforceConfig


def trace_pairs(
    vertex_tokens: np.ndarray,
    token_tokens: np.ndarray,
    surface_tokens_best: np.ndarray,
    confidence: np.ndarray,
    valid: np.ndarray,
    config: ReinforceConfig,
) -> dict[tuple[int, int], float]:
    """The traced pairs as {(anchor token, frame token): c_hat}."""
    landmarks = [v for v in range(len(valid)) if valid[v]]
    if not landmarks:
        return {}
    ordered = sorted(float(confidence[v]) for v in landmarks)
    place = config.confidence_quantile * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    scale = ordered[low] + (place - low) * (ordered[high] - ordered[low])

    by_confidence = sorted(landmarks, key=lambda v: (float(confidence[v]), v))
    left_out = int(len(landmarks) * config.drop_quantile + 1e-9)
    pairs: dict[tuple[int, int], float] = {}
    for v in by_confidence[left_out:]:
        sources = sorted(range(vertex_tokens.shape[1]), key=lambda t, v=v: -float(vertex_tokens[v, t]))[: config.top]
        targets = sorted(range(token_tokens.shape[1]), key=lambda t, v=v: -float(surface_tokens_best[v, t]))
        best, strongest = None, 0.0
        for source in sources:
            for target in targets[: config.top]:
                flow = float(vertex_tokens[v, source]) * float(token_tokens[source, target])
                flow *= float(surface_tokens_best[v, target])
                if flow > strongest:
                    best, strongest = (source, target), flow
        if best is None or confidence[v] <= 0:
            continue
        gain = min(max(float(confidence[v]) / scale, 0.0), 1.0)
        pairs[best] = max(pairs.get(best, 0.0), gain)
    return pairs
