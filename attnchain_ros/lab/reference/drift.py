"""Twin of ``evaluation/drift.py``."""

from __future__ import annotations

import math

import numpy as np


def token_correlation(anchor: np.ndarray, last: np.ndarray, match: np.ndarray) -> float:
    """Pearson's formula, token by token."""
    tokens, channels = anchor.shape
    anchor_mean = [sum(anchor[:, k]) / tokens for k in range(channels)]
    last_mean = [sum(last[:, k]) / len(last) for k in range(channels)]
    total = 0.0
    for n in range(tokens):
        a = [anchor[n, k] - anchor_mean[k] for k in range(channels)]
        b = [last[match[n], k] - last_mean[k] for k in range(channels)]
        a_mean, b_mean = sum(a) / channels, sum(b) / channels
        together = sum((x - a_mean) * (y - b_mean) for x, y in zip(a, b, strict=True))
        spread = math.sqrt(sum((x - a_mean) ** 2 for x in a) * sum((y - b_mean) ** 2 for y in b))
        total += together / spread if spread > 0 else 0.0
    return total / tokens
