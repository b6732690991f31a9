"""How a long rollout drifts from window to window (Fig. 2, Table 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import InputError
from ...shapes import check_shape


def window_means(values: np.ndarray, windows: Sequence[range]) -> list[float]:
    """Mean of a figure over the frames of each window: the drift curve.

    With the unaligned CD of every frame (``CloudScores.frames_raw``) it is CD-3D against the window index. A window's
    first frame belongs to the window before it, except in the first.

    Args:
        values: [F] one figure for each frame of the sequence.
        windows: frame numbers of each window, as from ``stream.windows.split_frames``.
    Raises:
        InputError: a window has no frames of its own, or frames that do not exist.
    """
    check_shape("values", values, "F")
    means = []
    for index, window in enumerate(windows):
        own = window[1:] if index else window
        if not own or own[0] < 0 or own[-1] >= len(values):
            raise InputError(f"window {index} has frames {window}, wanted some of its own among 0 to {len(values) - 1}")
        means.append(float(np.mean(values[own.start : own.stop])))
    return means


def token_correlation(anchor: np.ndarray, last: np.ndarray, match: np.ndarray) -> float:
    """Mean correlation of matched latent tokens over one window (Fig. 2b).

    The window's anchor is the last frame of the window before, so this correlates the ends of consecutive windows. A
    token of the anchor is matched to the token of the window's last frame that it attends to most (the largest entry
    of its row of A_{Za→Zf}). The correlation of a pair is Pearson's over channels, after each channel's mean over the
    tokens of its own frame is taken off, since a part common to all tokens would make any two of them alike.

    Args:
        anchor: [N, c] latent of the anchor frame; last: [M, c] of the last frame.
        match: [N] token of the last frame for each token of the anchor.
    Returns:
        the mean over the anchor's tokens, in [-1, 1]. Tokens without any variation count as 0.
    Raises:
        ShapeError, InputError: sizes differ or a match does not exist.
    Twin: ``lab.reference.drift.token_correlation``.
    """
    axes = check_shape("anchor", anchor, "N c")
    check_shape("last", last, "M c", c=axes["c"])
    check_shape("match", match, "N", N=axes["N"])
    if not axes["N"] or match.min() < 0 or match.max() >= len(last):
        raise InputError(f"{axes['N']} tokens are matched to tokens that are not among 0 to {len(last) - 1}")
    first = np.asarray(anchor, np.float64)
    second = np.asarray(last, np.float64)
    first = first - first.mean(axis=0)
    second = (second - second.mean(axis=0))[match]
    first = first - first.mean(axis=1, keepdims=True)
    second = second - second.mean(axis=1, keepdims=True)
    size = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    products = (first * second).sum(axis=1)
    return float(np.divide(products, size, out=np.zeros_like(products), where=size > 0).mean())
