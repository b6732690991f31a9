"""What a tracker says of one image: whether the object is seen, and where."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


class Sight(enum.Enum):
    """Whether the object was seen in an image."""

    SEEN = "seen"
    LOST = "lost"
    EMPTY = "empty"
    BACK = "back"

    @property
    def gone(self) -> bool:
        """Whether there is no mask."""
        return self in (Sight.LOST, Sight.EMPTY)


@dataclass(frozen=True, eq=False)
class TrackedMask:
    """The object in one image.

    Attributes:
        mask: [H, W] bool; all False where the object is lost.
        sight: seen; lost = the model says that it is not in the image; empty = the model says that it is, but marks no
            pixel; back = seen again after one of those.
        score: the model's logit that the object is in the image; above 0 it is.
    """

    mask: np.ndarray
    sight: Sight
    score: float


def describe(counts: Mapping[Sight, int], first_gone: int | None) -> str:
    """In how many images the object was seen, for people.

    Args:
        counts: images by what was seen.
        first_gone: number of the first image in which it was not, None = it always was.

    >>> describe({Sight.SEEN: 7, Sight.LOST: 2, Sight.EMPTY: 0, Sight.BACK: 1}, 4)
    '10 images, the object seen in 8; not seen in 2 (first: image 4), seen again 1 time'
    """
    total, gone = sum(counts.values()), sum(count for sight, count in counts.items() if sight.gone)
    told = f"{total} image{'s' * (total != 1)}, the object seen in {total - gone}"
    if not gone:
        return told
    back = counts[Sight.BACK]
    return f"{told}; not seen in {gone} (first: image {first_gone}), seen again {back} time{'s' * (back != 1)}"
