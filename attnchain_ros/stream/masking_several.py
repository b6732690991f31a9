"""Masks of several objects for a live stream: each prompt begins an object or corrects the one that it lies on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from ..masks import Prompt, Sight, TrackedMask
from ..masks.config import Sam2Config
from .config import MOST_OBJECTS
from .frame import Frame
from .masking import FOLLOWING, Masking, Order, what_changed
from .prompted import ObjectTracker, id_image
from .several import ObjectStreams


class ObjectMasks(Masking[dict[int, TrackedMask]]):
    """Brings ids to the images of ``ObjectStreams`` with foreground ``sam2``.

    A prompt is meant for the newest image. Where it lies on no object's mask it begins one, under the next number, if
    there is room; the others go on. Where it lies on one's it corrects that, which starts a new chain. Who is retired
    is followed no longer: it has to be pointed at again. The prompts of the options hold for the first image, and for
    the first of a new pass (stamps that jump back) as long as nobody clicked; images of another size begin with nobody.

    Args:
        tracker: follows the objects.
        streams: with ``max_objects`` above 1.
        options: now; the prompts in it are those for the first image.
        most: objects at once.
        lossless, tell, clock: see ``Masking``.
    Raises:
        ConfigError: the prompts of the options cannot be used.
    """

    def __init__(
        self,
        tracker: ObjectTracker,
        streams: ObjectStreams,
        options: Callable[[], Sam2Config],
        most: int,
        *,
        lossless: Callable[[], bool] = lambda: False,
        tell: Callable[[str, str], object] = lambda code, text: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(streams, options, MOST_OBJECTS, lossless, tell, clock)
        self._tracker = tracker
        self._streams = streams
        self._most = most
        self._first = options().prompts(most)
        self._start_over()

    def _start_over(self) -> None:
        """Follow nobody; the prompts of the options hold for the next image."""
        self._tracker.forget()
        self._next_id = len(self._first) + 1
        self._fresh, self._clicked = True, False
        self._shape: tuple[int, ...] | None = None
        self._stamp_ns = 0
        self._new: set[int] = set()  # pointed at, but not admitted yet
        self._gone_ns: dict[int, int] = {}
        self._told: set[tuple[int, Sight]] = set()

    def work(self, stop: Callable[[], bool]) -> None:
        """Make masks for the frames that await one, as many as the budget allows; soon over once ``stop`` is true."""
        frames = self._streams.awaiting()
        if not frames:
            return
        for frame in self._chosen(frames):
            if stop():
                return
            if any(one.arrival == frame.arrival for one in self._streams.awaiting()):  # else it went with a reset
                self._mask(frame)

    def _give_up_first(self) -> None:
        self._first = {}

    def _refuse(self, frame: Frame, cause: str) -> None:
        self._streams.refuse(frame, cause)

    def _look(self, frame: Frame) -> dict[int, TrackedMask] | None:
        """Who is followed in a frame, None = nobody has said who."""
        with self._lock:
            forgetting, self._forgetting = self._forgetting, False
        if forgetting:
            self._start_over()
        if self._shape not in (None, frame.image.shape):
            self._start_over()
            self._streams.clear("image_size")
        elif self._first and not self._clicked and frame.stamp_ns < self._stamp_ns:
            self._start_over()
        self._shape, self._stamp_ns = frame.image.shape, frame.stamp_ns
        found: dict[int, TrackedMask] | None = None
        if self._fresh and self._first:
            found = self._tracker.track(frame.image, self._first)
            self._new |= set(self._first)
        self._fresh = False
        for order in self._due(frame):
            if order.image.shape != frame.image.shape:
                self._turn_down(order, "images have another size by now")
                continue
            answer = self._obey(order, found if order.image is frame.image else None)
            found = answer if order.image is frame.image else found
        if found is None and self._tracker.ids:
            found = self._tracker.track(frame.image)
        return found

    def _due(self, frame: Frame) -> list[Order]:
        """Prompts whose image is this one, or will not come any more."""
        later = {id(one.image) for one in self._streams.awaiting() if one.arrival > frame.arrival}
        with self._lock:
            due = [order for order in self._orders if id(order.image) not in later]
            for order in due:
                self._orders.remove(order)
        return due

    def _obey(self, order: Order, known: dict[int, TrackedMask] | None) -> dict[int, TrackedMask]:
        """Begin an object or correct one; returns all of them in the prompt's image.

        ``known``: masks in that image, if it was looked at already.
        """
        before = known if known is not None else self._tracker.track(order.image) if self._tracker.ids else {}
        meant = lies_on(order.prompt, before)
        if meant is None and len({*self._tracker.ids, *self._there()}) >= self._most:
            self._turn_down(order, f"max_objects is {self._most}, and all are there")
            return before
        self._clicked = True
        if meant is None:
            meant, self._next_id = self._next_id, self._next_id + 1
            self._new.add(meant)
        else:
            self._streams.reset("prompt", meant)
        found = self._tracker.track(order.image, {meant: order.prompt})
        # Looked at for the second time: what changed was told the first time.
        return {
            one: replace(each, sight=Sight.BACK)
            if each.sight is Sight.SEEN and one in before and before[one].sight is Sight.BACK
            else each
            for one, each in found.items()
        }

    def _turn_down(self, order: Order, why: str) -> None:
        with self._lock:
            self._refused += 1
            number = self._refused
        what = ",".join(f"{value:g}" for value in (order.prompt.box or order.prompt.points[0]))
        self._tell(f"prompt_refused {number}", f"the prompt {what} begins no object: {why}")

    def _there(self) -> set[int]:
        return {member.object_id for member in self._streams.members}

    def _hand_over(self, frame: Frame, found: dict[int, TrackedMask], seconds: float) -> None:
        self._streams.bring(frame, id_image(found, frame.image.shape))
        there = self._there()
        gone = [one for one in self._tracker.ids if one not in there]
        self._tracker.drop(gone)
        for one in gone:
            self._gone_ns.pop(one, None)
            if one in self._new:
                text = f"the prompt of object {one} marks nothing that the model sees: point at it again"
                self._tell(f"prompt_empty {one}", text)
        self._new.clear()
        self._account(frame, {one: each for one, each in found.items() if one in there}, seconds)

    def _account(self, frame: Frame, found: Mapping[int, TrackedMask], seconds: float) -> None:
        """Count what was seen, and say when it changes: each change once for each object."""
        for one, each in found.items():
            if each.sight.gone:
                self._gone_ns.setdefault(one, frame.stamp_ns)
            else:
                self._gone_ns.pop(one, None)
        lost = ", ".join(f"object {one} since {since * 1e-9:.3f} s" for one, since in sorted(self._gone_ns.items()))
        self._count([each.sight for each in found.values()], seconds, f"lost: {lost}" if lost else FOLLOWING)
        for one, each in found.items():
            what = what_changed(each.sight)
            if what and (one, each.sight) not in self._told:
                self._told.add((one, each.sight))
                text = f"at {frame.stamp_ns * 1e-9:.3f} s object {one} {what}"
                self._tell(f"object_{each.sight.value} {one}", text)


def lies_on(prompt: Prompt, found: Mapping[int, TrackedMask]) -> int | None:
    """Whose mask a prompt lies on: a point in it, or a box about most of it; None = nobody's.

    >>> mask = np.zeros((9, 9), bool)
    >>> mask[2:5, 2:5] = True
    >>> found = {7: TrackedMask(mask, Sight.SEEN, 1.0)}
    >>> lies_on(Prompt(points=((3, 4),)), found), lies_on(Prompt(points=((6, 4),)), found)
    (7, None)
    >>> lies_on(Prompt(box=(1, 1, 5, 5)), found), lies_on(Prompt(box=(4, 4, 5, 5)), found)
    (7, None)
    """
    for x, y in prompt.points:
        for one, each in found.items():
            if each.mask[round(y), round(x)]:
                return one
    if prompt.box is None:
        return None
    x, y, wide, high = prompt.box
    inside = np.s_[round(y) : round(y + high), round(x) : round(x + wide)]
    shares = {one: each.mask[inside].sum() / each.mask.sum() for one, each in found.items() if each.mask.any()}
    best = max(shares, key=lambda one: shares[one], default=None)
    return best if best is not None and shares[best] >= 0.5 else None
