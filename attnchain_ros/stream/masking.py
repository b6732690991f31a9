"""Masks for a live stream from what was pointed at, made between two windows by the thread that owns the device."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np

from ..errors import InputError
from ..masks import Prompt, Sight, TrackedMask
from ..masks.config import Sam2Config
from .buffer import FrameBuffer
from .frame import Frame
from .prompted import Tracker
from .spreading import spread

_LOG = logging.getLogger(__name__)
_RECENT = 50
WAITING, FOLLOWING = "waiting for a prompt", "following"
NO_PROMPT = (
    "nothing was pointed at yet: click on the object (a point on ~/prompt, a box on ~/prompt_box), or set sam2.point"
)


@dataclass(frozen=True)
class MaskFigures:
    """What the masks are doing.

    Attributes:
        state: "waiting for a prompt", "following", or "lost" with since when.
        images: by what was seen in them.
        prompts, refused: prompts that were taken, and that were not.
        errors: images whose mask failed.
        p95_s: seconds of the device for one mask; NaN = none was made.
    """

    state: str
    images: dict[Sight, int]
    prompts: int
    refused: int
    errors: int
    p95_s: float

    def why_no_mask(self) -> str:
        """Why images have got no mask for a while, and what to do."""
        if self.state == WAITING:
            return NO_PROMPT
        if self.state == FOLLOWING:
            return (
                f"masks take {self.p95_s:.2g} s each, with windows between them: give the device less to do, or let "
                "them have more of it (sam2.budget_s)"
            )
        return f"the object is {self.state}: if it is in the picture, point at it again (~/prompt)"


@dataclass(frozen=True, eq=False)
class Order:
    """A prompt and the image that it is meant for."""

    prompt: Prompt
    image: np.ndarray


class Images(Protocol):
    """Where images await their masks: a ``FrameBuffer``, or ``ObjectStreams``."""

    def awaiting(self) -> tuple[Frame, ...]:
        """Those, in order."""

    @property
    def taken(self) -> int:
        """How many batches were handed out so far."""

    def lacking(self) -> int:
        """How many more frames the next window needs."""


@dataclass(eq=False)
class _Following:
    """What is followed: since which image size, and how long it has been gone."""

    shape: tuple[int, ...]
    stamp_ns: int
    by_click: bool
    gone_ns: int | None = None
    told: set[str] = field(default_factory=set)


def what_changed(sight: Sight) -> str:
    """What there is to say of an object, "" = nothing."""
    return {
        Sight.LOST: "is not seen any more: images are left out until it is seen or pointed at again",
        Sight.EMPTY: "is seen by the model, which marks no pixel: these images are left out",
        Sight.BACK: "is seen again",
    }.get(sight, "")


_Found = TypeVar("_Found")


class Masking(ABC, Generic[_Found]):
    """What making masks has in common for one object and for several: prompts, the budget, and figures.

    ``see``, ``point``, ``box``, ``forget`` and ``figures`` may be called from any thread and return at once; ``work``
    belongs to the thread that owns the device.

    Args:
        images: where they await their masks.
        options: now; the prompts in it are those for the first image.
        orders: prompts that are kept until their image is looked at; the newest ones.
        lossless: no image may be left out to save time (policy ``block``).
        tell: (code, sentence) for the log.
        clock: seconds of a steady clock.
    """

    def __init__(
        self,
        images: Images,
        options: Callable[[], Sam2Config],
        orders: int,
        lossless: Callable[[], bool],
        tell: Callable[[str, str], object],
        clock: Callable[[], float],
    ) -> None:
        self._awaited = images
        self._options = options
        self._lossless = lossless
        self._tell = tell
        self._clock = clock
        self._lock = threading.Lock()
        self._newest: np.ndarray | None = None
        self._orders: deque[Order] = deque(maxlen=orders)
        self._forgetting = False
        self._images: Counter[Sight] = Counter()
        self._seconds: deque[float] = deque(maxlen=_RECENT)
        self._prompts = self._refused = self._errors = 0
        self._state = ""
        self._spent_s = 0.0
        self._window = 0

    # ------------------------------------------------------------------------------------------ any thread

    def see(self, frame: Frame) -> None:
        """An image came; the next prompt is meant for it."""
        with self._lock:
            self._newest = frame.image

    def point(self, x: float, y: float) -> None:
        """Follow what lies under a pixel of the newest image, from now on.

        Raises:
            InputError: no image came yet, it is outside, or not a number.
        """
        self._ask(lambda: Prompt(points=((x, y),)))

    def box(self, x: float, y: float, width: float, height: float) -> None:
        """Follow what is inside a box in the newest image; in pixels.

        Raises:
            InputError: as for ``point``, or the box has no inside.
        """
        self._ask(lambda: Prompt(box=(x, y, width, height)))

    def _ask(self, make: Callable[[], Prompt]) -> None:
        with self._lock:
            try:
                prompt = make()
                if self._newest is None:
                    raise InputError("no image came yet, so that there is nothing to point at: try again when one has")
                prompt.check_inside(*self._newest.shape[:2])
            except InputError:
                self._refused += 1
                raise
            self._orders.append(Order(prompt, self._newest))
            self._prompts += 1
        self._ordered()

    def _ordered(self) -> None:
        """An order is there."""

    def forget(self) -> None:
        """Follow nothing; the prompt of the options holds again for the next image."""
        with self._lock:
            self._newest = None
            self._orders.clear()
            self._forgetting = True
            self._state = ""

    def figures(self) -> MaskFigures:
        """What was done so far."""
        with self._lock:
            return MaskFigures(
                state=self._state or "waiting for an image",
                images={sight: self._images[sight] for sight in Sight},
                prompts=self._prompts,
                refused=self._refused,
                errors=self._errors,
                p95_s=float(np.quantile(np.array(self._seconds), 0.95)) if self._seconds else float("nan"),
            )

    # ------------------------------------------------------------------------------------------ the device's thread

    def _chosen(self, frames: tuple[Frame, ...]) -> list[Frame]:
        """Those that get a mask now; the others are refused, or wait where nothing is known of how long it takes."""
        if self._lossless():
            return list(frames)
        if not self._seconds:
            return [frames[0]]
        if self._awaited.taken != self._window:
            self._window, self._spent_s = self._awaited.taken, 0.0
        pace = float(np.median(np.array(self._seconds)))
        affordable = int(max(0.0, self._options().budget_s - self._spent_s) / pace) if pace > 0 else len(frames)
        places = spread([frame.stamp_ns for frame in frames], max(affordable, self._awaited.lacking(), 1))
        chosen = [frames[place] for place in places]
        for frame in set(frames).difference(chosen):
            self._refuse(frame, "mask_budget")
        return chosen

    def _mask(self, frame: Frame) -> None:
        started = self._clock()
        try:
            found = self._look(frame)
        except InputError as error:  # the prompt of the options does not fit the images
            self._refuse(frame, "no_prompt")
            self._give_up_first()
            with self._lock:
                self._refused += 1
                self._state = WAITING
            self._tell("prompt_refused", f"sam2.point or sam2.box cannot be used: {error}")
            return
        except Exception as error:  # no image may stop the others
            self._refuse(frame, "mask_error")
            with self._lock:
                self._errors += 1
            self._tell("mask_error", f"no mask could be made: {type(error).__name__}: {error}")
            _LOG.debug("a mask failed", exc_info=error)
            return
        seconds = self._clock() - started
        if found is None:
            self._refuse(frame, "no_prompt")
            with self._lock:
                self._state = WAITING
            self._tell("no_prompt", NO_PROMPT)
            return
        self._spent_s += seconds
        self._hand_over(frame, found, seconds)

    def _count(self, sights: Iterable[Sight], seconds: float, state: str) -> None:
        """Count what was seen in an image, and how long that took."""
        with self._lock:
            self._images.update(sights)
            self._seconds.append(seconds)
            self._state = state

    @abstractmethod
    def _look(self, frame: Frame) -> _Found | None:
        """What is followed in a frame, None = nobody has said what.

        Raises:
            InputError: the prompt of the options does not fit the images.
        """

    @abstractmethod
    def _give_up_first(self) -> None:
        """The prompt of the options cannot be used."""

    @abstractmethod
    def _refuse(self, frame: Frame, cause: str) -> None:
        """A frame gets no mask."""

    @abstractmethod
    def _hand_over(self, frame: Frame, found: _Found, seconds: float) -> None:
        """Give a frame what was found in it, and count it."""


class MaskMaker(Masking[TrackedMask]):
    """Puts masks into the frames of a buffer with foreground ``sam2``.

    A prompt is meant for the newest image and starts a new chain. What is followed stays so through other resets; where
    images begin anew (another size, or stamps that jump back) the prompt of the options is used again if there is one.

    Args:
        tracker: follows the object.
        buffer: holds the frames.
        options, lossless, tell, clock: see ``Masking``.
    Raises:
        ConfigError: the prompt of the options cannot be used.
    """

    def __init__(
        self,
        tracker: Tracker,
        buffer: FrameBuffer,
        options: Callable[[], Sam2Config],
        *,
        lossless: Callable[[], bool] = lambda: False,
        tell: Callable[[str, str], object] = lambda code, text: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(buffer, options, 1, lossless, tell, clock)
        self._tracker = tracker
        self._buffer = buffer
        self._first = options().prompt()
        self._following: _Following | None = None

    def _ordered(self) -> None:
        # After the order is there: the first frame of the new chain must find it.
        self._buffer.reset("prompt")

    def work(self, stop: Callable[[], bool]) -> None:
        """Make masks for the frames that await one, as many as the budget allows; soon over once ``stop`` is true."""
        frames = self._buffer.awaiting()
        if not frames:
            return
        generation = self._buffer.generation
        for frame in self._chosen(frames):
            if stop() or self._buffer.generation != generation:
                return
            self._mask(frame)
            self._buffer.settle()

    def _give_up_first(self) -> None:
        self._first = None

    def _refuse(self, frame: Frame, cause: str) -> None:
        frame.refused = cause

    def _hand_over(self, frame: Frame, found: TrackedMask, seconds: float) -> None:
        self._account(frame, found, seconds)
        if found.sight.gone:
            frame.refused = "object_lost" if found.sight is Sight.LOST else "mask_empty"
        else:
            frame.mask = found.mask

    def _look(self, frame: Frame) -> TrackedMask | None:
        """The object in a frame, None = nobody has said which."""
        with self._lock:
            order = self._orders.popleft() if self._orders else None
            if self._forgetting:
                self._following, self._forgetting = None, False
        if order is not None:
            self._following = None
            found = self._tracker.start(order.image, order.prompt)
            self._following = _Following(order.image.shape, frame.stamp_ns, by_click=True)
            if found.sight.gone:
                self._tell("prompt_empty", "the prompt marks nothing that the model sees: point at the object again")
            if frame.image is order.image:
                return found
        following = self._following
        if following is not None and self._begins_anew(following, frame):
            following = self._following = None
        if following is not None:
            following.stamp_ns = frame.stamp_ns
            return self._tracker.follow(frame.image)
        if self._first is None:
            return None
        found = self._tracker.start(frame.image, self._first)
        self._following = _Following(frame.image.shape, frame.stamp_ns, by_click=False)
        return found

    def _begins_anew(self, following: _Following, frame: Frame) -> bool:
        """Whether what was followed cannot be followed into this frame, or should not."""
        if frame.image.shape != following.shape:
            return True
        return frame.stamp_ns < following.stamp_ns and not following.by_click and self._first is not None

    def _account(self, frame: Frame, found: TrackedMask, seconds: float) -> None:
        """Count what was seen, and say when it changes: each change once for what is followed."""
        following = self._following
        if following is None:
            return
        if not found.sight.gone:
            following.gone_ns, state = None, FOLLOWING
        else:
            since = following.gone_ns = frame.stamp_ns if following.gone_ns is None else following.gone_ns
            state = f"lost since {since * 1e-9:.3f} s"
        self._count([found.sight], seconds, state)
        what = what_changed(found.sight)
        if what and found.sight.value not in following.told:
            following.told.add(found.sight.value)
            code = f"object_{found.sight.value} {self._prompts}"
            self._tell(code, f"at {frame.stamp_ns * 1e-9:.3f} s the object {what}")
