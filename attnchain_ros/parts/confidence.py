"""How likely a 2D track is right: within ``CLOSE_PX`` of the truth, if the point is seen at all.

Two logistic curves, one for points that flow follows and one for those where the mesh has them, fitted on validation
clips of the synthetic set (docs/evaluation.md); what they are worth on other clips is shown by a reliability plot.
"""

from __future__ import annotations

import numpy as np

CLOSE_PX = 4.0
"""Working pixels."""

FOLLOWED = (4.35, -1.70, -0.56, 0.51)
"""Of a track that holds: constant, log(1 + frames since it was seen in a key picture), pixels beside where the mesh and
the tracks around expect it (at most 5), log(1 + support)."""

EXPECTED = (-0.06, -0.51, 0.72, -0.75)
"""Of a point where the mesh has it: constant, log(1 + frames since its track was lost), log(1 + support), and whether
the mesh hides it."""


def track_confidence(
    alive: np.ndarray, since: np.ndarray, beside: np.ndarray, support: np.ndarray, hidden: np.ndarray
) -> np.ndarray:
    """[...] float32 in 0 .. 1; all arguments [...].

    Args:
        alive: flow follows the point.
        since: frames since the track was last seen in a key picture, or since it was lost.
        beside: working pixels between the track and where it is expected; NaN = nowhere expected.
        support: tracks around that hold, by closeness.
        hidden: the mesh hides the point, or shows it outside the mask.
    """
    near = np.log1p(np.maximum(support, 0.0))
    age = np.log1p(np.maximum(since, 0.0))
    off = np.minimum(np.nan_to_num(beside, nan=5.0), 5.0)
    followed = FOLLOWED[0] + FOLLOWED[1] * age + FOLLOWED[2] * off + FOLLOWED[3] * near
    expected = EXPECTED[0] + EXPECTED[1] * age + EXPECTED[2] * near + EXPECTED[3] * hidden
    found: np.ndarray = (1.0 / (1.0 + np.exp(-np.where(alive, followed, expected)))).astype(np.float32)
    return found
