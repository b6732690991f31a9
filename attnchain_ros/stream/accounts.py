"""Where the frames of a stream went: every one that came in is used, dropped for a cause, in flight, or waiting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ..notes import Note

DROPPED = {
    "no_mask": "without a mask of their own",
    "mask_size": "with a mask of another size",
    "mask_empty": "with an empty mask",
    "repeated_stamp": "with the stamp of the one before",
    "out_of_order": "that came after a later one",
    "frame_id": "of another frame_id",
    "undecodable": "that could not be decoded",
}
"""Causes for which a recording's frames are left out, in words; the node's live causes need none."""


@dataclass(frozen=True)
class Accounts:
    """``received == used + sum(dropped) + in_flight + waiting``; ``resets`` counts by cause.

    Attributes:
        received, used, in_flight, waiting: frames.
        dropped: frames by cause.
        awaiting_mask: those of ``waiting`` whose mask has not come.
        resets: new chains by cause.
        stride: settled camera frames per window frame of the newest batch.
        made_masks: frames without a mask of their own: GrabCut makes it when their window is assembled.
    """

    received: int
    used: int
    dropped: dict[str, int]
    in_flight: int
    waiting: int
    awaiting_mask: int
    resets: dict[str, int]
    stride: int
    made_masks: int = 0

    def describe(self) -> str:
        """All frames in one line of log."""
        dropped = sum(self.dropped.values())
        causes = ", ".join(f"{cause} {count}" for cause, count in sorted(self.dropped.items()))
        rest = self.in_flight + self.waiting
        return (
            f"frames: {self.received} in = {self.used} used + {dropped} dropped"
            + (f" ({causes})" if causes else "")
            + (f" + {rest} left behind" if rest else "")
        )

    def notes(self) -> list[Note]:
        """What was left out of a recording, a sentence a cause."""
        return [
            Note(cause, f"{count} of {self.received} images were left out: {words}")
            for cause, words in DROPPED.items()
            if (count := self.dropped.get(cause, 0))
        ]


def total(parts: Iterable[Accounts]) -> Accounts:
    """All frames of several accounts; an image that two objects took counts twice. ``stride`` is the largest."""
    found = list(parts)

    def added(counts: Iterable[dict[str, int]]) -> dict[str, int]:
        return dict(sum(map(Counter, counts), Counter()))

    return Accounts(
        received=sum(part.received for part in found),
        used=sum(part.used for part in found),
        dropped=added(part.dropped for part in found),
        in_flight=sum(part.in_flight for part in found),
        waiting=sum(part.waiting for part in found),
        awaiting_mask=sum(part.awaiting_mask for part in found),
        resets=added(part.resets for part in found),
        stride=max((part.stride for part in found), default=1),
        made_masks=sum(part.made_masks for part in found),
    )


@dataclass(frozen=True)
class MaskWait:
    """How the masks keep up with the images.

    Attributes:
        seconds: for how long images have come without one that got its mask; 0 = the last one got it.
        nearest_s: from the newest image's stamp to the nearest mask's; None = no mask came.
    """

    seconds: float
    nearest_s: float | None
