"""Vertex colours, gathered from what all frames so far saw of each vertex."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

PLAIN_COLOR = 200
"""Grey of vertices while no camera saw any."""
LATER_MOST = 8.0
"""Later looks at a vertex count together no more than so many head-on ones."""


@dataclass(frozen=True)
class Paint:
    """What was seen of each vertex of the welded mesh; its size does not grow.

    Attributes:
        first: [V, 3] float32 colour times weight in the first frame of the chain.   first_weight: [V] float32.
        later: [V, 3] float32 sum of the same over later frames.   later_weight: [V] float32.
    """

    first: np.ndarray
    first_weight: np.ndarray
    later: np.ndarray
    later_weight: np.ndarray

    @classmethod
    def blank(cls, count: int) -> Paint:
        """Nothing seen yet of ``count`` vertices."""
        return cls(*(np.zeros((count, 3) if wide else count, np.float32) for wide in (True, False, True, False)))

    def colors(self, rest: np.ndarray) -> np.ndarray:
        """[V, 3] uint8: the weighted mean of what was seen, else the colour of the nearest vertex that was.

        Args:
            rest: [V, 3] the mesh's rest pose.
        """
        bounded = np.minimum(self.later_weight, LATER_MOST) / np.maximum(self.later_weight, 1e-12)
        total = self.first_weight + self.later_weight * bounded
        seen = total > 0
        if not seen.any():
            return np.full((len(rest), 3), PLAIN_COLOR, np.uint8)
        mean = (self.first + self.later * bounded[:, None])[seen] / total[seen, None]
        found = np.zeros((len(rest), 3), np.uint8)
        found[seen] = np.rint(mean)
        if not seen.all():
            _, nearest = cKDTree(rest[seen]).query(rest[~seen])
            found[~seen] = found[seen][nearest]
        return found
