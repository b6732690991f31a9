"""Several objects in one stream of events: a stream of its own for each, fed from the same images. Thread-safe.

With ``max_objects`` 1 there is one object from start to end, and every event goes to its stream as it is. Above, masks
hold ids (``IdImage``): an id that comes is admitted, one that stays away is retired (``roster``), and each has a
stream of its own, with its own chain, masks and account. Pictures are shared, never copied. With foreground ``sam2``
nobody sends ids: who makes masks asks for the images that await them (``awaiting``) and brings ids (``bring``).

An object that comes gets what it would have got had it been there before: the images whose masks have not come yet,
calibrations and depth images. One that goes leaves its account behind: its window under way is void and what waits is
dropped as ``retired``; with policy ``block`` both are still computed.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from .accounts import Accounts, MaskWait, total
from .config import StreamConfig, check_objects, check_queue
from .frame import Calibration, DepthImage, Event, Frame, IdImage, MaskImage, Refused
from .objects import id_areas, is_solid
from .roster import Roster
from .stream import Stream

_KEPT = 64
"""So many calibrations and depth images an object gets that comes later; its own books hold as many."""
_MOST_STRANGERS = 8
"""So many unknown ids are looked at in a mask, the largest first."""


@dataclass(frozen=True, eq=False)
class Member:
    """One object that is, or was, followed.

    Attributes:
        object_id: its id in the masks, and in messages.
        number: counts members; an id that comes again is another member.
        stream: of its frames.
    """

    object_id: int
    number: int
    stream: Stream


def _ignore(*ignored: object) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class Hooks:
    """Who is told; called from whichever thread it happens in, and to return at once.

    Attributes:
        ready: some stream may have a batch, or a member is to be tidied up.
        problem: (cause, sentence) about masks that cannot be used.
        admitted: a member is there, before its first frame.
        retired: a member gets no frames any more.
        turned_away: ids without room, once for each id until it is admitted.
    """

    ready: Callable[[], object] = _ignore
    problem: Callable[[str, str], object] = _ignore
    admitted: Callable[[Member], object] = _ignore
    retired: Callable[[Member], object] = _ignore
    turned_away: Callable[[tuple[int, ...]], object] = _ignore


class ObjectStreams:
    """A stream for each object; ``take_in`` may be called from any thread, events of a kind from one at a time.

    Args:
        config: options.
        frames: of a window.
        only_id: the object's number where ``max_objects`` is 1.
        hooks: who is told.
        waits, clock: see ``FrameBuffer``.
    Raises:
        ConfigError: the options do not go together.
    """

    def __init__(
        self,
        config: StreamConfig,
        frames: int,
        only_id: int = 1,
        hooks: Hooks | None = None,
        *,
        waits: bool = True,
        clock: bool = True,
    ) -> None:
        check_objects(config)
        check_queue(config, frames)
        self._config, self._frames = config, frames
        self._hooks = Hooks() if hooks is None else hooks
        self._waits, self._clock = waits, clock
        self._lock = threading.Condition()
        self._choosing = threading.Lock()
        self._made = self._arrivals = self._handed_out = 0
        self._members: list[Member] = []
        self._leaving: list[Member] = []
        self._gone = total(())
        self._enabled = self._open = True
        self._waiting: deque[tuple[Frame, bool]] = deque()  # images whose masks may come, and whether somebody has them
        self._unattended: Counter[str] = Counter()
        self._calibrations: deque[Calibration] = deque(maxlen=_KEPT)
        self._depths: deque[DepthImage] = deque(maxlen=_KEPT)
        self._told: set[int] = set()
        self._last: Frame | None = None
        self._newest_mask_ns: int | None = None
        self._unmasked_since_s: float | None = None
        self._roster: Roster | None = None
        if config.max_objects > 1:
            self._roster = Roster(config.max_objects, config.max_missing_s)
        else:
            self._members.append(self._make(only_id))

    # ------------------------------------------------------------------------------------------ who is there

    @property
    def several(self) -> bool:
        """Whether objects come and go by the ids in masks."""
        return self._roster is not None

    @property
    def members(self) -> tuple[Member, ...]:
        """Who is followed, in the order of admission."""
        with self._lock:
            return tuple(self._members)

    @property
    def serving(self) -> tuple[Member, ...]:
        """Whose batches are to be computed: members, and those retired that still have some."""
        with self._lock:
            return (*self._leaving, *self._members)

    def find(self, object_id: int) -> Member | None:
        """The member of an id; 0 = the one with the lowest id."""
        found = sorted(self.members, key=lambda member: member.object_id)
        return next((member for member in found if object_id in (0, member.object_id)), None)

    def counts(self) -> dict[str, int]:
        """Objects ``admitted`` and ``retired``, and ids ``turned_away``, so far; empty where there is only one."""
        with self._choosing:
            return {} if self._roster is None else dict(self._roster.counts)

    def tidy(self) -> tuple[Member, ...]:
        """Close the accounts of those who are retired and have nothing left; returns them. Call it now and then."""
        with self._lock:
            done = [member for member in self._leaving if _idle(member)]
            self._leaving = [member for member in self._leaving if member not in done]
            self._gone = total((self._gone, *(member.stream.buffer.accounts() for member in done)))
        return tuple(done)

    # ------------------------------------------------------------------------------------------ events

    def take_in(self, event: Event) -> None:
        """One thing that came, in the order of arrival."""
        if self._roster is None:
            self._members[0].stream.take_in(event)
        elif isinstance(event, IdImage):
            self._see(event, self._roster)
        elif isinstance(event, Frame):
            if self.brought:
                event = replace(event, mask=None)
            elif event.mask is not None:  # alpha knows no ids: it is object 1
                self._see(IdImage(event.mask.astype(np.uint8), event.stamp_ns), self._roster)
                event = replace(event, mask=None)
            for member in self._remember(event):
                member.stream.take_in(replace(event))  # the picture is shared; a stream writes into the rest
            if self.brought:
                with self._lock:
                    self._handed_out = event.arrival
                self._hooks.ready()
        else:
            with self._lock:
                members = tuple(self._members)
                if isinstance(event, Calibration):
                    self._calibrations.append(event)
                elif isinstance(event, DepthImage):
                    self._depths.append(event)
                elif isinstance(event, Refused) and event.frame and not members:
                    self._unattended["undecodable"] += 1
            for member in members:
                member.stream.take_in(event)

    def _remember(self, frame: Frame) -> tuple[Member, ...]:
        """Keep a frame for those who may come; returns who is there. Waits where no image may be lost."""
        with self._lock:
            if self.brought and self._waits and self._config.overflow_policy == "block":
                self._lock.wait_for(
                    lambda: not (self._open and self._enabled) or len(self._waiting) < self._config.queue_size
                )
            self._arrivals += 1
            frame.arrival = self._arrivals
            members = tuple(self._members)
            if self._last is not None and frame.stamp_ns < self._last.stamp_ns:  # another pass
                self._give_up(len(self._waiting))
                self._calibrations.clear()
                self._depths.clear()
            self._last = frame
            if self._unmasked_since_s is None:
                self._unmasked_since_s = frame.arrived_s
            if self._open and self._enabled:
                self._waiting.append((frame, bool(members)))
                self._give_up(len(self._waiting) - self._config.queue_size)
            elif not members:
                self._unattended["disabled" if self._open else "closed"] += 1
        return members

    def _give_up(self, count: int) -> None:
        """The oldest images that were kept: whoever comes now does not get them."""
        for _ in range(max(0, count)):
            _, attended = self._waiting.popleft()
            self._unattended["no_object"] += not attended
        self._lock.notify_all()

    def _see(self, event: IdImage, roster: Roster) -> None:
        """Admit and retire by a mask, then hand it to everybody."""
        oldest_ns = event.stamp_ns - self._config.tolerance_ns

        def late(frame: Frame) -> bool:
            return bool(event.stamp_ns) and frame.stamp_ns < oldest_ns

        if not self._call_the_roll(event.ids, event.stamp_ns, roster, late):
            return
        with self._lock:
            self._newest_mask_ns, self._unmasked_since_s = event.stamp_ns, None
        for member in self.members:
            member.stream.take_in(MaskImage(np.asarray(event.ids == member.object_id), event.stamp_ns))

    def _call_the_roll(self, ids: np.ndarray, stamp_ns: int, roster: Roster, late: Callable[[Frame], bool]) -> bool:
        """Admit and retire; who is new gets the images that are kept, but for those that are ``late``.

        Returns:
            False: nothing is taken in any more.
        """
        areas = id_areas(ids)
        with self._choosing:
            if not (self._open and self._enabled):
                return False
            known = [one for one in areas if one in roster.ids]
            strangers = [one for one in areas if one not in roster.ids][:_MOST_STRANGERS]
            change = roster.see(stamp_ns, [*known, *(one for one in strangers if is_solid(ids == one))])
            self._retire(change.retired)
            with self._lock:
                self._give_up(sum(1 for frame, _ in self._waiting if late(frame)))
            for one in change.admitted:
                self._admit(one)
            self._turn_away(change.turned_away)
        return True

    # ------------------------------------------------------------------------------------------ masks that are made

    @property
    def brought(self) -> bool:
        """Whether masks are made here, for each image, instead of coming by themselves."""
        return self._config.foreground == "sam2"

    def awaiting(self) -> tuple[Frame, ...]:
        """Images that await their masks, in the order of arrival; to be given back with ``bring`` or ``refuse``.

        Those that everybody has got: with policy ``block`` that takes as long as somebody's queue is full.
        """
        with self._lock:
            found = {frame.arrival: frame for frame, _ in self._waiting}
            members, newest = tuple(self._members), self._handed_out
        for member in members:
            for frame in member.stream.buffer.awaiting():
                found.setdefault(frame.arrival, frame)
        return tuple(found[arrival] for arrival in sorted(found) if arrival <= newest)

    @property
    def taken(self) -> int:
        """How many batches all objects handed out so far."""
        return sum(member.stream.buffer.taken for member in self.serving)

    def lacking(self) -> int:
        """How many more frames the next window needs of whoever needs most."""
        return max((member.stream.buffer.lacking() for member in self.members), default=self._frames)

    def bring(self, frame: Frame, ids: np.ndarray) -> None:
        """The objects in one of the images that await their masks; admits and retires as a mask that came does.

        Args:
            frame: of ``awaiting``; those before it were brought or refused.
            ids: [H, W] of whole numbers, 0 = none, else the object's id.
        """
        assert self._roster is not None
        self._call_the_roll(ids, frame.stamp_ns, self._roster, lambda kept: kept.arrival < frame.arrival)
        if ids.any():
            with self._lock:
                self._newest_mask_ns, self._unmasked_since_s = frame.stamp_ns, None
        for member in self.members:
            mask = np.asarray(ids == member.object_id)
            _put(member, frame, mask if mask.any() else None, "object_lost")
        self._judged(frame, "no_object")

    def refuse(self, frame: Frame, cause: str) -> None:
        """An image of ``awaiting`` gets no masks."""
        for member in self.members:
            _put(member, frame, None, cause)
        self._judged(frame, cause)

    def _judged(self, frame: Frame, cause: str) -> None:
        """Whoever comes now does not get this image."""
        with self._lock:
            for kept in [kept for kept in self._waiting if kept[0].arrival == frame.arrival]:
                self._waiting.remove(kept)
                self._unattended[cause] += not kept[1]
            self._lock.notify_all()

    def _turn_away(self, ids: Iterable[int]) -> None:
        new = tuple(one for one in ids if one not in self._told)
        if new:
            self._told.update(new)
            self._hooks.turned_away(new)

    def _admit(self, object_id: int) -> None:
        member = self._make(object_id)
        self._told.discard(object_id)
        self._hooks.admitted(member)
        with self._lock:
            frames = [replace(frame) for frame, _ in self._waiting]
            missed: list[Event] = [*self._calibrations, *self._depths, *frames]
            for event in missed:
                member.stream.take_in(event)  # an empty buffer has room for all of them: nothing waits here
            self._waiting = deque((frame, True) for frame, _ in self._waiting)
            self._members.append(member)

    def _retire(self, ids: Iterable[int], cause: str = "retired") -> None:
        for one in ids:
            member = next(member for member in self.members if member.object_id == one)
            self._hooks.retired(member)
            with self._lock:
                self._members.remove(member)
                self._leaving.append(member)
            if self._config.overflow_policy == "block" and cause == "retired":
                member.stream.buffer.end()
            else:
                member.stream.buffer.close(cause)
        self._hooks.ready()

    def _make(self, object_id: int) -> Member:
        stream = Stream(
            self._config, self._frames, self._on_ready, self._on_problem, waits=self._waits, clock=self._clock
        )
        self._made += 1
        return Member(object_id, self._made - 1, stream)

    def _on_ready(self) -> None:
        self._hooks.ready()

    def _on_problem(self, cause: str, text: str) -> None:
        # That an object is not in a mask is no fault where objects come and go.
        if not (self.several and cause == "mask_empty"):
            self._hooks.problem(cause, text)

    # ------------------------------------------------------------------------------------------ all together

    def reset(self, cause: str, object_id: int = 0) -> bool:
        """Drop everything that waits; the next frame starts anew. ``object_id``: of one object only; False = not there.

        Ids stay.
        """
        chosen = [member for member in self.members if object_id in (0, member.object_id)]
        if not object_id:
            with self._lock:
                self._give_up(len(self._waiting))
                self._last = self._unmasked_since_s = None
        for member in chosen:
            member.stream.buffer.reset(cause)
        return bool(chosen) or not object_id

    def clear(self, cause: str) -> None:
        """As ``reset``; where objects come and go, all are retired."""
        if self._roster is not None:
            with self._choosing:
                self._retire(self._roster.clear(), f"reset_{cause}")
        self.reset(cause)

    def clock_jumped(self, now_ns: int) -> None:
        """See ``FrameBuffer.clock_jumped``."""
        for member in self.members:
            member.stream.buffer.clock_jumped(now_ns)

    def close_idle(self) -> None:
        """See ``FrameBuffer.close_idle``."""
        for member in self.members:
            member.stream.buffer.close_idle()

    def end(self) -> None:
        """The recording is over: see ``FrameBuffer.end``."""
        with self._lock:
            self._give_up(len(self._waiting))
        for member in self.members:
            member.stream.buffer.end()

    def set_enabled(self, enabled: bool) -> None:
        """Disabled, every frame that comes is counted and dropped."""
        with self._lock:
            self._enabled = enabled
            self._lock.notify_all()
        for member in self.members:
            member.stream.buffer.set_enabled(enabled)

    def configure(self, config: StreamConfig, frames: int) -> None:
        """Change the options; ``max_objects`` stays.

        Raises:
            ConfigError: the queue cannot hold a window.
        """
        check_queue(config, frames)
        with self._choosing:
            self._config, self._frames = config, frames
            if self._roster is not None:
                self._roster.missing_s = config.max_missing_s
            for member in self.serving:
                member.stream.configure(config, frames)

    def close(self) -> None:
        """Release whoever waits and take nothing in any more."""
        with self._lock:
            self._open = False
            members = tuple(self._members)
            self._give_up(len(self._waiting))
        for member in members:
            member.stream.buffer.close()

    def accounts(self) -> Accounts:
        """All counts of all objects, those that are gone, too; images that no object took are ``no_object``."""
        if self._roster is None:
            return self._members[0].stream.buffer.accounts()
        with self._lock:
            parts = [member.stream.buffer.accounts() for member in (*self._leaving, *self._members)]
            dropped = {cause: count for cause, count in self._unattended.items() if count}
            waiting = sum(not attended for _, attended in self._waiting)
            own = Accounts(sum(dropped.values()) + waiting, 0, dropped, 0, waiting, waiting, {}, 1)
            return total((self._gone, own, *parts))

    def mask_wait(self) -> MaskWait:
        """Whether images wait for masks, and how far away these are; for the watchdog."""
        if self._roster is None:
            return self._members[0].stream.buffer.mask_wait()
        with self._lock:
            if self._last is None or self._unmasked_since_s is None:
                return MaskWait(0.0, None)
            newest = self._newest_mask_ns
            return MaskWait(
                self._last.arrived_s - self._unmasked_since_s,
                None if newest is None else abs(self._last.stamp_ns - newest) * 1e-9,
            )


def _put(member: Member, frame: Frame, mask: np.ndarray | None, cause: str) -> None:
    """Give an object its mask in an image, if it still awaits one; None: it has none, for a cause."""
    for mine in member.stream.buffer.awaiting():
        if mine.arrival == frame.arrival:
            mine.mask, mine.refused = mask, "" if mask is not None else cause
            member.stream.buffer.settle()


def _idle(member: Member) -> bool:
    found = member.stream.buffer.accounts()
    return not found.in_flight and not found.waiting
