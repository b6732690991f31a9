"""The one thread that owns the device and the rollout's state. ROS-free: what it drives is passed in.

A failed window is logged, counted and skipped, and the chain starts anew with the next one. Running out of memory is
tried once more with smaller pieces. Resets travel with the batches: a reset voids the window under way (it is
cancelled) and the next batch says that the rollout has to start anew. Each object has an engine beside the first one,
which shares its networks; of several objects whoever was served least is served next. With a ``Finisher`` what needs
no device is done in its thread beside the next window; if it fails there, the window that went on from it is cancelled,
too.
"""

from __future__ import annotations

import gc
import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Protocol

from ..config import RolloutConfig
from ..errors import AttnChainError, Cancelled
from ..rollout.window import Window, WindowResult
from ..stream.buffer import Batch
from ..stream.doubts import Doubts
from ..stream.prompted import AnyTracker
from ..stream.several import Member, ObjectStreams
from ..stream.turns import Turns
from .anchoring import NewAnchor
from .finisher import Finisher
from .parameters import NodeSettings
from .statistics import Statistics

_LOG = logging.getLogger(__name__)


class Engine(Protocol):
    """What the worker drives: an object's rollout. Made, called and dropped in the worker's thread only."""

    def beside(self, object_id: int) -> Engine:
        """Another object's rollout, from its first window on, with the same networks, anchor and options."""

    @property
    def description(self) -> str:
        """Checkpoint, device and precision, for the log; any thread."""

    def run(
        self, window: Window, progress: Callable[[str, int, int], None], cancelled: Callable[[], bool]
    ) -> WindowResult:
        """Compute one window; raises ``Cancelled`` soon after ``cancelled()`` turns true."""

    def begin(
        self, window: Window, progress: Callable[[str, int, int], None], cancelled: Callable[[], bool]
    ) -> Callable[[], WindowResult]:
        """The part of ``run`` that the next window waits for; what it returns does the rest, in any thread."""

    def reset(self) -> None:
        """Forget the chain so far."""

    def configure(self, config: RolloutConfig) -> None:
        """Use other options from the next window on."""

    def resolve(self, settings: NodeSettings) -> NodeSettings:
        """Settings with the checkpoint's own options in place of those that nobody set; any thread."""

    def make_tracker(self) -> AnyTracker:
        """What follows an object that was pointed at; only with foreground ``sam2``."""

    def take_anchor(self, new: NewAnchor) -> None:
        """Begin the next chain with another anchor."""

    def save_memory(self) -> None:
        """The device ran out of memory: give cached memory back and work in smaller pieces."""


class _Order(Enum):
    WAKE = auto()
    STOP = auto()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the device or the machine has no memory left (torch has no common class for it)."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and (type(error).__name__ == "OutOfMemoryError" or "out of memory" in str(error).lower())
    )


@dataclass(frozen=True)
class Work:
    """What is done with a batch around its computation, in the worker's thread.

    Attributes:
        assemble: batch to window.
        publish: is given each result, in the finisher's thread where there is one; returns it as it went out.
        gone: is told of each object that is retired and has nothing left to compute.
        make_masks: called between windows with what says that it has to stop; makes masks for frames that await one.
    """

    assemble: Callable[[Member, Batch], Window]
    publish: Callable[[Member, Batch, Window, WindowResult], WindowResult]
    gone: Callable[[Member], object] = lambda member: None
    make_masks: Callable[[Callable[[], bool]], None] = lambda stop: None


Rest = Callable[[], str | None]
"""What is left to do of a window; returns why its frames were dropped, None for a published one."""


@dataclass(eq=False)
class _Task:
    """One window on its way.

    Attributes:
        member, batch: whose, and which.
        started: when, by the worker's clock.
        void: whether nobody wants its result any more.
        broken: it came to nothing, so that no window can go on from it.
    """

    member: Member
    batch: Batch
    started: float
    void: Callable[[], bool]
    broken: bool = False


class Worker:
    """Takes batches from the buffer, computes and publishes them, until it is stopped.

    Args:
        streams: where batches come from; wire ``Hooks.ready`` to ``wake``.
        make_engine: builds the engine; called in the worker's thread.
        work: what is done around the computation.
        statistics: where to count.
        clock: seconds of a steady clock, the one of ``Frame.arrived_s``.
        finisher: ends windows beside the next one, and with the worker; None = the worker does everything itself.
    """

    def __init__(
        self,
        streams: ObjectStreams,
        make_engine: Callable[[], Engine],
        work: Work,
        statistics: Statistics,
        clock: Callable[[], float] = time.monotonic,
        *,
        finisher: Finisher | None = None,
    ) -> None:
        self._streams = streams
        self._make_engine = make_engine
        self._work = work
        self._statistics = statistics
        self._clock = clock
        self._finisher = finisher
        self._orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._running = threading.Event()
        self._lock = threading.Lock()
        self._awake = False
        self._new_settings: NodeSettings | None = None
        self._new_anchors: dict[int, NewAnchor] = {}
        self._engines: dict[int, Engine] = {}
        self._turns = Turns()
        self._last: dict[int, _Task] = {}  # of each member
        self._doubts: dict[int, Doubts] = {}
        self._doubtful_limit = 0
        self._ready: Future[Engine] = Future()
        # A daemon, because a step of torch cannot be interrupted: a program that has to end does not wait for it.
        self._thread = threading.Thread(target=self._main, name="attnchain-worker", daemon=True)

    def start(self) -> Future[Engine]:
        """Start the thread; the future holds the engine when it is built, or why it could not be."""
        self._thread.start()
        return self._ready

    def wake(self) -> None:
        """Look into the buffer; cheap, never blocks, any thread."""
        with self._lock:
            if self._awake:
                return
            self._awake = True
        self._orders.put(_Order.WAKE)

    def set_running(self, running: bool) -> None:
        """Whether batches are taken (the node is active); turned off, the window under way is cancelled."""
        if running:
            self._running.set()
            self.wake()
        else:
            self._running.clear()

    def configure(self, settings: NodeSettings) -> None:
        """Use other settings, for the engine and the buffer, from the next window on."""
        with self._lock:
            self._new_settings = settings
        self.wake()

    def take_anchor(self, member: Member, new: NewAnchor) -> None:
        """Use another anchor from an object's next chain on; the chain under way is for the caller to end."""
        with self._lock:
            self._new_anchors[member.number] = new

    def stop(self, timeout_s: float) -> bool:
        """Cancel what is under way and end the thread; False if it did not end in time."""
        self._stopping.set()
        self._orders.put(_Order.STOP)
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        ended = self._finisher is None or self._finisher.stop(timeout_s)
        return ended and not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _main(self) -> None:
        try:
            engine = self._make_engine()
        except Exception as error:  # handed to whoever waits for the future, with its traceback
            self._ready.set_exception(error)
            return
        self._ready.set_result(engine)
        while not self._stopping.is_set():
            if self._orders.get() is _Order.STOP:
                return
            with self._lock:
                self._awake = False
            try:
                while not self._stopping.is_set():
                    self._take_over(engine)
                    self._dismiss()
                    if not self._running.is_set():
                        break
                    self._work.make_masks(lambda: self._stopping.is_set() or not self._running.is_set())
                    found = self._next()
                    if found is None:
                        break
                    member, batch = found
                    started = self._clock()
                    self._process(engine, member, batch)
                    self._turns.charge(member.number, self._clock() - started)
            except Exception as error:  # the node has to live on, whatever happens here
                _LOG.exception("the worker met an error outside a window")
                self._statistics.error(f"{type(error).__name__}: {error}")

    def _take_over(self, engine: Engine) -> None:
        """Apply changed settings: to all at once, so that no batch is larger than the engine's windows."""
        with self._lock:
            settings, self._new_settings = self._new_settings, None
        if settings is not None:
            for one in {engine, *self._engines.values()}:
                one.configure(settings.rollout)
            self._doubtful_limit = settings.node.restart_doubtful
            self._streams.configure(settings.node, settings.rollout.frames)

    def _dismiss(self) -> None:
        """Let go of objects that are retired and have nothing left to compute."""
        for member in self._streams.tidy():
            self._engines.pop(member.number, None)
            self._last.pop(member.number, None)
            self._doubts.pop(member.number, None)
            with self._lock:
                self._new_anchors.pop(member.number, None)
            self._turns.keep(other.number for other in self._streams.serving)
            self._work.gone(member)

    def _next(self) -> tuple[Member, Batch] | None:
        """A batch of the object that was served least, among those that have one."""
        serving = {member.number: member for member in self._streams.serving}
        for number in self._turns.order(serving):
            batch = serving[number].stream.buffer.take()
            if batch is not None:
                return serving[number], batch
        return None

    def _process(self, engine: Engine, member: Member, batch: Batch) -> None:
        buffer = member.stream.buffer
        before = self._last.get(member.number) if batch.reset is None else None

        def void() -> bool:
            return (
                self._stopping.is_set()
                or not self._running.is_set()
                or batch.generation != buffer.generation
                or (before is not None and before.broken)
            )

        task = self._last[member.number] = _Task(member, batch, self._clock(), void)
        rest: Rest | str = "window_error"
        try:
            rest = self._begin(engine, task)
        finally:
            if isinstance(rest, str):
                self._settle(task, rest)
            self._statistics.stage("idle")
        if isinstance(rest, str):
            return
        if self._finisher is None:
            self._end(task, rest)
        else:
            self._finisher.hand(partial(self._end, task, rest))

    def _end(self, task: _Task, rest: Rest) -> None:
        """Do the rest of a window, in this thread or the finisher's."""
        fate: str | None = "window_error"
        try:
            fate = rest()
        finally:
            self._settle(task, fate)
            if self._finisher is not None:
                self.wake()  # whoever is retired may have nothing left now

    def _settle(self, task: _Task, fate: str | None) -> None:
        task.broken = fate is not None
        restart = self._doubts_of(task.member).due()
        task.member.stream.buffer.finish(task.batch, dropped=fate, restart=restart)

    def _engine_of(self, engine: Engine, member: Member) -> Engine:
        """The object's own; the first one, which holds the networks, computes nothing itself."""
        found = self._engines.get(member.number)
        if found is None:
            found = self._engines[member.number] = engine.beside(member.object_id)
        return found

    def _doubts_of(self, member: Member) -> Doubts:
        """The object's own, with the limit in force."""
        found = self._doubts.setdefault(member.number, Doubts())
        found.limit = self._doubtful_limit
        return found

    def _begin(self, engine: Engine, task: _Task) -> Rest | str:
        """As much of a window as the next one waits for: what is left then, or why its frames were dropped."""
        member, batch = task.member, task.batch
        try:
            engine = self._engine_of(engine, member)
            if batch.reset is not None:
                _LOG.info("the chain%s starts anew (%s)", self._whose(member), batch.reset)
                with self._lock:
                    anchor = self._new_anchors.pop(member.number, None)
                if anchor is not None:
                    engine.take_anchor(anchor)
                engine.reset()
            window = self._work.assemble(member, batch)
            finish = self._run(engine, window, task.void)
        except Exception as error:
            return self._skipped(task, error)
        return lambda: self._complete(task, window, finish)

    def _whose(self, member: Member) -> str:
        return f" of object {member.object_id}" if self._streams.several else ""

    def _skipped(self, task: _Task, error: Exception) -> str:
        """Why the frames of a window that ended so were dropped."""
        if isinstance(error, Cancelled):
            return "cancelled"
        text = f"{type(error).__name__}: {error}"
        _LOG.error(
            "a window of %d frames%s failed and is skipped: %s",
            len(task.batch.frames),
            self._whose(task.member),
            text,
            exc_info=None if _is_plain(error) else error,
        )
        self._statistics.failed(self._clock(), text)
        return "window_error"

    def _complete(self, task: _Task, window: Window, finish: Callable[[], WindowResult]) -> str | None:
        """Make and publish a result: None, or why the window's frames were dropped."""
        member, batch = task.member, task.batch
        if task.void():
            return "cancelled"
        try:
            try:
                result = finish()
            except MemoryError as error:
                self._statistics.error(f"{type(error).__name__}: {error}")
                gc.collect()
                result = finish()
        except Exception as error:
            return self._skipped(task, error)
        if task.void():
            return "cancelled"
        computed = self._clock()
        try:
            result = self._work.publish(member, batch, window, result)
        except Exception as error:
            if self._stopping.is_set():
                return "cancelled"
            _LOG.exception("a window could not be published")
            self._statistics.failed(self._clock(), f"publishing: {type(error).__name__}: {error}")
            return None  # the chain itself is whole
        self._doubts_of(member).saw(result.notes, begins=batch.reset is not None)
        done = self._clock()
        seconds, delay = computed - task.started, done - batch.frames[-1].arrived_s
        self._statistics.window(done, seconds, delay, done - computed, result)
        return None

    def _run(self, engine: Engine, window: Window, void: Callable[[], bool]) -> Callable[[], WindowResult]:
        def progress(stage: str, done: int, total: int) -> None:
            self._statistics.stage(f"{stage} {done}/{total}")

        def compute() -> Callable[[], WindowResult]:
            if self._finisher is not None:
                return engine.begin(window, progress, void)
            result = engine.run(window, progress, void)
            return lambda: result

        try:
            return compute()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            text = f"{type(error).__name__}: {error}"
        # Outside the except block: the traceback there still holds the tensors that have to go.
        _LOG.warning("out of memory in a window of %d frames (%s): once more with smaller pieces", window.frames, text)
        self._statistics.error(text)
        engine.save_memory()
        return compute()


def _is_plain(error: Exception) -> bool:
    """Errors raised on purpose explain themselves; of all others the traceback is wanted."""
    return isinstance(error, AttnChainError)
