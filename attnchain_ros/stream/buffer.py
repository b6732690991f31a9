"""From single camera frames to batches of a window each: bounded, contiguous, every frame accounted for. Thread-safe.

    received = used + dropped (by cause) + in flight + waiting            always, after every call

A frame first awaits its mask, then becomes ready; ready frames are handed out in batches of one window. Consecutive
batches of a segment share one frame: the last of one is the first of the next. A segment ends where the chain from
anchor to anchor cannot go on (stamps jump back, a gap, another image size or frame id, a reset from outside); the next
one starts anew. The last frames of a segment may still await their masks then; only where stamps jump back these could
no longer be told from those of the new pass.

Policies when frames come faster than windows are computed:
    adaptive     the stride between the frames of a window grows, so that windows stay contiguous and the delay bounded:
                 a window spreads over the whole backlog, and a full queue is thinned to every other frame.
    drop_oldest  the oldest waiting frame makes room; windows may have gaps inside.
    block        ``push`` waits for room: lossless, for bags.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from .accounts import Accounts, MaskWait
from .config import StreamConfig, check_queue
from .frame import Frame, break_cause
from .masks import MaskBook, Verdict
from .spreading import most_crowded
from .stamps import StampBook

_MOST_BREAKS = 64


@dataclass(eq=False)
class _Segment:
    """Frames between two resets: a chain that can be followed from anchor to anchor."""

    reset: str | None
    awaiting: deque[Frame] = field(default_factory=deque)
    ready: deque[Frame] = field(default_factory=deque)
    anchor: Frame | None = None
    started: bool = False  # a frame with a mask began the chain
    settled: int = 0
    settled_ns: int | None = None
    unusable: int = 0  # frames since the last one that settled
    thinning: int = 1  # only every so manyth settled frame is kept; a power of two, doubled by a full queue
    closed: bool = False

    def drop_all(self) -> int:
        """Forget what waits; returns how many frames that were."""
        count = len(self.awaiting) + len(self.ready)
        self.awaiting.clear()
        self.ready.clear()
        return count


@dataclass(frozen=True)
class Batch:
    """Frames for one window, as handed to the worker; to be given back with ``FrameBuffer.finish``.

    Attributes:
        frames: in time order; at most F.
        shared_first: frame 0 was the last frame of the batch before.
        reset: why the rollout has to start anew before this window, or None.
        stride: settled camera frames per window frame (1 = every frame).
        generation: number of resets from outside so far; a batch of an older generation is void.
        segment: the buffer's own.
    """

    frames: tuple[Frame, ...]
    shared_first: bool
    reset: str | None
    stride: int
    generation: int
    segment: _Segment = field(repr=False)

    @property
    def new_frames(self) -> int:
        """Frames that were not in the batch before."""
        return len(self.frames) - int(self.shared_first)


class FrameBuffer:
    """Bounded buffer between whoever brings frames and whoever takes batches. Any thread may call any method.

    Args:
        config: see ``StreamConfig``.
        frames: of a window.
        on_ready: called (without the lock) whenever ``take`` may have something new to give.
        on_problem: called (without the lock) with (cause, sentence) for masks that cannot be used.
        waits: with policy ``block`` a push waits for room; False where one thread pushes and takes in turns.
        clock: stamps are a clock's, so that a long time between two images says that some are missing. Where they only
            count frames the chain ends where those between two used ones could not be used for so long.
    Raises:
        ConfigError: the queue cannot hold a window.
    """

    def __init__(
        self,
        config: StreamConfig,
        frames: int = 16,
        on_ready: Callable[[], None] = lambda: None,
        on_problem: Callable[[str, str], object] = lambda cause, text: None,
        *,
        waits: bool = True,
        clock: bool = True,
    ) -> None:
        check_queue(config, frames)
        self._config = config
        self._frames = frames
        self._waits = waits
        self._clock = clock
        self._on_ready = on_ready
        self._on_problem = on_problem
        self._changed = threading.Condition()
        self._masks = MaskBook(config)
        self._segments: deque[_Segment] = deque([_Segment("start")])
        self._last: Frame | None = None
        self._received = self._used = self._in_flight = self._made_masks = self._taken = 0
        self._unmasked_since_s: float | None = None
        self._dropped: Counter[str] = Counter()
        self._resets: Counter[str] = Counter()
        self._problems: list[tuple[str, str]] = []
        self._breaks: StampBook[str] = StampBook(0, _MOST_BREAKS)
        self._before_last_ns: int | None = None
        self._stride = config.stride
        self._generation = 0
        self._open = True
        self._enabled = True

    # ------------------------------------------------------------------------------------------ frames and masks in

    def push(self, frame: Frame) -> None:
        """Take in one camera frame, in the order of arrival; with policy ``block`` this waits for room."""
        with self._changed:
            if self._blocks:
                self._changed.wait_for(
                    lambda: not (self._open and self._enabled) or self._waiting() < self._config.queue_size
                )
            self._received += 1
            if not (self._open and self._enabled):
                self._dropped["disabled" if self._open else "closed"] += 1
                return
            if not self._follow_on(frame):
                return
            segment = self._segments[-1]
            if len(segment.awaiting) >= self._config.queue_size:
                self._make_room(segment)
            segment.awaiting.append(frame)
            if self._unmasked_since_s is None:
                self._unmasked_since_s = frame.arrived_s
            self._settle()
        self._report()

    def _make_room(self, segment: _Segment) -> None:
        """One that awaits its mask goes; where masks are made here, so that the others still lie evenly in time."""
        if not self._masks.brought:
            segment.awaiting.popleft()
            self._dropped["no_mask"] += 1
            return
        thins = self._config.overflow_policy == "adaptive"
        del segment.awaiting[most_crowded([frame.stamp_ns for frame in segment.awaiting]) if thins else 0]
        self._dropped["mask_budget"] += 1

    def awaiting(self) -> tuple[Frame, ...]:
        """Frames without a mask, in order, for who makes masks: sets ``mask`` or ``refused``, then calls ``settle``."""
        with self._changed:
            return tuple(frame for segment in self._segments for frame in segment.awaiting)

    def settle(self) -> None:
        """Masks were put into frames, or refused: let the frames go on."""
        with self._changed:
            self._settle()
        self._report()

    @property
    def taken(self) -> int:
        """How many batches were handed out so far."""
        with self._changed:
            return self._taken

    def lacking(self) -> int:
        """How many more frames the next window needs."""
        with self._changed:
            segment = self._segments[0]
            return max(0, self._frames - len(segment.ready) - int(segment.anchor is not None))

    def push_mask(self, stamp_ns: int, mask: np.ndarray) -> None:
        """Take in one mask, [H, W] bool; stamp 0 matches any image. With policy ``block`` masks do not run ahead."""
        with self._changed:
            if self._blocks:
                self._changed.wait_for(
                    lambda: (
                        not (self._open and self._enabled)
                        or self._last is None
                        or self._masks.stamps.later_than(self._last.stamp_ns) < 2 * self._config.queue_size
                    )
                )
            if not (self._open and self._enabled):
                return
            self._masks.stamps.add(stamp_ns, mask)
            self._settle()
        self._report()

    def break_before(self, stamp_ns: int, cause: str) -> None:
        """The first image stamped so, or later, starts a new chain."""
        with self._changed:
            self._breaks.add(stamp_ns, cause)

    def count_refused(self, cause: str) -> None:
        """Account for a frame that cannot reach the buffer, for instance because it could not be decoded."""
        with self._changed:
            self._received += 1
            self._dropped[cause] += 1

    def _follow_on(self, frame: Frame) -> bool:
        """Compare with the frame before; start a new segment where the chain breaks. False: the frame was dropped."""
        last, cause = self._last, None
        if last is not None:
            if frame.stamp_ns == last.stamp_ns:
                self._dropped["repeated_stamp"] += 1
                return False
            if self._before_last_ns is not None and self._before_last_ns < frame.stamp_ns < last.stamp_ns:
                # Overtaken by its neighbour. Where stamps jump back, they go to before that.
                self._dropped["out_of_order"] += 1
                return False
            cause = break_cause(last.kind, frame.kind, self._config.max_gap_s if self._clock else 0.0)
            if cause == "frame_id" and not self._config.reset_on_frame_id_change:
                self._dropped["frame_id"] += 1
                return False
        if cause == "stamp_back":
            self._breaks.jump_back(frame.stamp_ns)
        due = self._breaks.take_until(frame.stamp_ns)
        if cause is None and due and last is not None:
            cause = due[-1]
        self._before_last_ns = None if last is None or cause is not None else last.stamp_ns
        self._last = frame
        if cause == "stamp_back":
            self._masks.stamps.jump_back(frame.stamp_ns)
        tail = self._segments[-1]
        if cause is not None and (tail.settled or tail.awaiting):  # else it has only just begun (idle, then a gap)
            self._start_segment(cause)
        return True

    def _start_segment(self, cause: str) -> None:
        self._resets[cause] += 1
        tail = self._segments[-1]
        tail.closed = True
        if cause in ("stamp_back", "clock_jump"):
            self._give_up(tail)
        if self._config.overflow_policy != "block":  # in a live stream old frames only add delay
            for segment in self._segments:
                self._dropped[f"reset_{cause}"] += segment.drop_all()
            self._segments.clear()
        self._segments.append(_Segment(cause))

    def _give_up(self, segment: _Segment) -> None:
        """What awaits its mask gets none, unless masks are made here: these come all the same."""
        if self._masks.brought:
            return
        self._dropped["no_mask"] += len(segment.awaiting)
        segment.awaiting.clear()

    def _split(self, segment: _Segment, cause: str) -> _Segment:
        """The chain cannot go on from the segment's last settled frame: what waits goes into a new one."""
        awaiting, segment.awaiting = segment.awaiting, deque()
        if segment.closed:  # its masks came after the next segment had begun
            rest = _Segment(cause, awaiting, closed=True)
            self._segments.insert(self._segments.index(segment) + 1, rest)
            self._resets[cause] += 1
            return rest
        self._start_segment(cause)
        self._segments[-1].awaiting = awaiting
        return self._segments[-1]

    def _settle(self) -> None:
        """Make those frames ready whose masks are here, in order; drop those that will never get one."""
        for segment in tuple(self._segments):
            if not self._settle_in(segment):
                break
        self._changed.notify_all()

    def _settle_in(self, segment: _Segment) -> bool:
        """False: a mask has to be waited for."""
        while segment.awaiting:
            frame = segment.awaiting[0]
            verdict = (
                Verdict(drop=frame.refused)
                if frame.refused
                else self._masks.judge(frame.stamp_ns, frame.image.shape, frame.mask, not segment.started)
            )
            if verdict.drop is not None:
                segment.awaiting.popleft()
                segment.unusable += 1
                self._dropped[verdict.drop] += 1
                if verdict.problem:
                    self._problems.append((verdict.drop, verdict.problem))
            elif verdict.settled:
                gap_ns = 0 if segment.settled_ns is None else frame.stamp_ns - segment.settled_ns
                if 0 < self._config.max_gap_s * 1e9 < gap_ns and (self._clock or segment.unusable):
                    # Frames came, but none that could be used. The first of the new chain is judged as such.
                    segment = self._split(segment, "gap")
                    continue
                segment.awaiting.popleft()
                frame.mask = verdict.mask
                segment.started = True
                self._unmasked_since_s = None
                self._made_masks += verdict.mask is None
                self._make_ready(segment, frame)
            else:
                return False
        return True

    def _make_ready(self, segment: _Segment, frame: Frame) -> None:
        if len(segment.ready) >= self._config.queue_size and self._overloaded(segment):
            segment = self._split(segment, "overload")
            segment.started = True
        frame.sequence = segment.settled
        segment.settled += 1
        segment.settled_ns = frame.stamp_ns
        segment.unusable = 0
        if len(segment.ready) >= self._config.queue_size:
            if self._config.overflow_policy == "adaptive":
                segment.thinning *= 2
                step = self._config.stride * segment.thinning
                kept = [waiting for waiting in segment.ready if waiting.sequence % step == 0]
                self._dropped["stride"] += len(segment.ready) - len(kept)
                segment.ready = deque(kept)
            elif self._config.overflow_policy == "drop_oldest":
                segment.ready.popleft()
                self._dropped["overflow"] += 1
        if frame.sequence % (self._config.stride * segment.thinning):
            self._dropped["stride"] += 1
        else:
            segment.ready.append(frame)

    def _overloaded(self, segment: _Segment) -> bool:
        """Whether a stride twice as large would leave a longer gap between used frames than a chain may have."""
        spacing_ns = (segment.ready[-1].stamp_ns - segment.ready[0].stamp_ns) / max(1, len(segment.ready) - 1)
        return self._config.overflow_policy == "adaptive" and 0 < self._config.max_gap_s * 1e9 < 2 * spacing_ns

    def _report(self) -> None:
        with self._changed:
            problems, self._problems = self._problems, []
        for cause, text in problems:
            self._on_problem(cause, text)
        self._on_ready()

    # ------------------------------------------------------------------------------------------ windows out

    def take(self) -> Batch | None:
        """The next window's frames if there are enough, else None; a closed segment also gives a short last window."""
        with self._changed:
            while True:
                segment = self._segments[0]
                batch = self._take_from(segment)
                if batch is not None:
                    self._in_flight += batch.new_frames
                    self._taken += 1
                    self._stride = batch.stride
                    self._changed.notify_all()
                    return batch
                if len(self._segments) == 1 or segment.awaiting:
                    return None
                self._segments.popleft()

    def _take_from(self, segment: _Segment) -> Batch | None:
        wanted = self._frames - 1
        available = len(segment.ready) - int(segment.anchor is None)
        if available < wanted and not (segment.closed and segment.ready and not segment.awaiting):
            return None
        spread = 1
        if self._config.overflow_policy == "adaptive" and not segment.closed:
            spread = self._spread(segment, available // wanted)
        shared = segment.anchor is not None
        frames = [segment.anchor if segment.anchor is not None else segment.ready.popleft()]
        for _ in range(min(wanted, available // spread)):
            for _ in range(spread - 1):
                segment.ready.popleft()
                self._dropped["stride"] += 1
            frames.append(segment.ready.popleft())
        segment.anchor = frames[-1]
        if not segment.ready:
            segment.thinning = max(1, segment.thinning // 2)  # the device keeps up: try a finer stride
        reset, segment.reset = segment.reset, None
        steps = len(frames) - 1
        stride = round((frames[-1].sequence - frames[0].sequence) / steps) if steps else self._config.stride
        return Batch(tuple(frames), shared, reset, stride, self._generation, segment)

    def _spread(self, segment: _Segment, most: int) -> int:
        """How many frames to step over the backlog, so that no used ones are farther apart than a chain may have."""
        limit_ns = self._config.max_gap_s * 1e9
        stamps = [frame.stamp_ns for frame in ([segment.anchor] if segment.anchor else []) + list(segment.ready)]
        for spread in range(most, 1, -1):
            used = stamps[::spread][: self._frames]
            if not limit_ns or all(later - earlier <= limit_ns for earlier, later in pairwise(used)):
                return spread
        return 1

    def finish(self, batch: Batch, dropped: str | None = None, restart: str | None = None) -> None:
        """Say what became of a batch.

        Args:
            batch: from ``take``.
            dropped: why it was not used; the chain starts anew then.   None = it was used.
            restart: why the chain starts anew although it was.
        """
        with self._changed:
            self._in_flight -= batch.new_frames
            if dropped is None:
                self._used += batch.new_frames
            else:
                self._dropped[dropped] += batch.new_frames
            cause = dropped or restart
            if cause is None or batch.generation != self._generation:
                return
            self._resets[cause] += 1
            segment = batch.segment
            segment.anchor, segment.reset = None, cause
            # A new chain needs a mask to start from, unless masks are made anyway.
            while segment.ready and segment.ready[0].mask is None and not self._masks.made:
                segment.ready.popleft()
                self._dropped["no_mask"] += 1
            segment.started = bool(segment.ready)
            self._changed.notify_all()
        self._on_ready()

    def end(self) -> None:
        """The recording is over: what still waits for a mask has none, and the rest is given out."""
        with self._changed:
            self._segments[-1].closed = True
        self.end_masks()

    def end_masks(self) -> None:
        """No mask will come any more; only for recordings."""
        with self._changed:
            self._masks.complete = True
            self._settle()
        self._report()

    def close_idle(self) -> None:
        """No frame came for longer than ``max_gap_s``, so a later one starts anew: give out what is ready."""
        with self._changed:
            for segment in self._segments:
                if segment.closed:
                    self._give_up(segment)
            self._settle()
            tail = self._segments[-1]
            if tail.ready:
                tail.closed = True
                self._give_up(tail)
                self._resets["idle"] += 1
                while len(self._segments) > 1 and self._config.overflow_policy != "block":  # bursts must not pile up
                    self._dropped["reset_idle"] += self._segments.popleft().drop_all()
                self._segments.append(_Segment("idle"))
            self._changed.notify_all()
        self._on_ready()

    def clock_jumped(self, now_ns: int) -> None:
        """The node's clock jumped back to ``now_ns``: the chain ends unless the images have jumped already."""
        with self._changed:
            if self._last is None or self._last.stamp_ns <= now_ns:
                return
            self._last = None
            self._masks.stamps.jump_back(now_ns)
            tail = self._segments[-1]
            if tail.settled or tail.awaiting:
                self._start_segment("clock_jump")
            self._changed.notify_all()
        self._on_ready()

    def reset(self, cause: str) -> None:
        """Drop everything that waits; the next frame starts anew."""
        with self._changed:
            for segment in self._segments:
                self._dropped[f"reset_{cause}"] += segment.drop_all()
            self._segments = deque([_Segment(cause)])
            self._resets[cause] += 1
            self._last = self._unmasked_since_s = self._before_last_ns = None
            self._masks.stamps.clear()
            self._generation += 1
            self._changed.notify_all()

    def set_enabled(self, enabled: bool) -> None:
        """Disabled, every frame that comes is counted and dropped."""
        with self._changed:
            self._enabled = enabled
            self._changed.notify_all()

    def configure(self, config: StreamConfig, frames: int) -> None:
        """Change the options; what waits is kept where it fits.

        Raises:
            ConfigError: the queue cannot hold a window.
        """
        check_queue(config, frames)
        with self._changed:
            old, self._config, self._frames = self._config, config, frames
            before, after = ((one.mask_mode, one.mask_tolerance_s, one.foreground) for one in (old, config))
            if before != after:
                self._masks = MaskBook(self._config)
            for segment in self._segments:
                for queue, cause in ((segment.awaiting, "no_mask"), (segment.ready, "overflow")):
                    while len(queue) > config.queue_size:
                        queue.popleft()
                        self._dropped[cause] += 1
            self._changed.notify_all()
        self._on_ready()

    def close(self, cause: str = "closed") -> None:
        """Release a blocked ``push`` and take nothing in any more; what waits is dropped for ``cause``."""
        with self._changed:
            self._open = False
            for segment in self._segments:
                self._dropped[cause] += segment.drop_all()
            self._segments = deque([_Segment("start")])
            self._generation += 1
            self._changed.notify_all()

    def accounts(self) -> Accounts:
        """A consistent snapshot of all counts."""
        with self._changed:
            return Accounts(
                received=self._received,
                used=self._used,
                dropped={cause: count for cause, count in self._dropped.items() if count},
                in_flight=self._in_flight,
                waiting=self._waiting(),
                awaiting_mask=sum(len(segment.awaiting) for segment in self._segments),
                resets=dict(self._resets),
                stride=self._stride,
                made_masks=self._made_masks,
            )

    def mask_wait(self) -> MaskWait:
        """Whether images wait for masks, and how far away these are; for the watchdog."""
        with self._changed:
            if self._last is None or self._unmasked_since_s is None:
                return MaskWait(0.0, None)
            distance = self._masks.stamps.distance_ns(self._last.stamp_ns)
            return MaskWait(
                self._last.arrived_s - self._unmasked_since_s, None if distance is None else distance * 1e-9
            )

    @property
    def generation(self) -> int:
        """Number of resets from outside so far."""
        with self._changed:
            return self._generation

    @property
    def _blocks(self) -> bool:
        return self._waits and self._config.overflow_policy == "block"

    def _waiting(self) -> int:
        return sum(len(segment.awaiting) + len(segment.ready) for segment in self._segments)
