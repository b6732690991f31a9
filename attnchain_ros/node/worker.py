"""The one thread that owns the device and the rollout's state. ROS-free: what it drives is passed in.

A failed window is logged, counted and skipped, and the chain starts anew with the next one. Running out of memory is
tried once more with smaller pieces. Resets travel with the batches: a reset voids the window under way (it is
cancelled) and the next batch says that the rollout has to start anew. With a ``Finisher`` what needs no device is done
in its thread beside the next window; if it fails there, the window that has begun on it is cancelled, too.
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
from ..stream.stream import Stream
from .anchoring import NewAnchor
from .finisher import Finisher
from .parameters import NodeSettings
from .statistics import Statistics

_LOG = logging.getLogger(__name__)


class Engine(Protocol):
    """What the worker drives: a rollout on its device. Made, called and dropped in the worker's thread only."""

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

    def take_anchor(self, new: NewAnchor) -> None:
        """Begin the next chain with another anchor."""

    def save_memory(self) -> None:
        """The device ran out of memory: give cached memory back and work in smaller pieces."""


Rest = Callable[[], str | None]
"""What is left to do of a window; returns why its frames were dropped, None for a published one."""


class _Order(Enum):
    WAKE = auto()
    STOP = auto()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the device or the machine has no memory left (torch has no common class for it)."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and (type(error).__name__ == "OutOfMemoryError" or "out of memory" in str(error).lower())
    )


@dataclass(eq=False)
class _Link:
    """One window in the chain; ``broken``: none may go on from it."""

    broken: bool = False


class Worker:
    """Takes batches from the buffer, computes and publishes them, until it is stopped.

    Args:
        stream: where batches come from; wire its ``on_ready`` to ``wake``.
        make_engine: builds the engine; called in the worker's thread.
        assemble: batch to window.
        publish: called with each result, in the worker's thread or the finisher's; returns it as it went out.
        statistics: where to count.
        clock: seconds of a steady clock, the one of ``Frame.arrived_s``.
        finisher: ends windows beside the next one, and with the worker; None = the worker does everything itself.
    """

    def __init__(
        self,
        stream: Stream,
        make_engine: Callable[[], Engine],
        assemble: Callable[[Batch], Window],
        publish: Callable[[Batch, Window, WindowResult], WindowResult],
        statistics: Statistics,
        clock: Callable[[], float] = time.monotonic,
        *,
        finisher: Finisher | None = None,
    ) -> None:
        self._stream = stream
        self._buffer = stream.buffer
        self._make_engine = make_engine
        self._assemble = assemble
        self._publish = publish
        self._statistics = statistics
        self._clock = clock
        self._finisher = finisher
        self._last: _Link | None = None
        self._orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._running = threading.Event()
        self._lock = threading.Lock()
        self._awake = False
        self._new_settings: NodeSettings | None = None
        self._new_anchor: NewAnchor | None = None
        self._doubts = Doubts()
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

    def take_anchor(self, new: NewAnchor) -> None:
        """Use another anchor from the next chain on; the chain under way is for the caller to end."""
        with self._lock:
            self._new_anchor = new

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
                    if not self._running.is_set():
                        break
                    batch = self._buffer.take()
                    if batch is None:
                        break
                    self._process(engine, batch)
            except Exception as error:  # the node has to live on, whatever happens here
                _LOG.exception("the worker met an error outside a window")
                self._statistics.error(f"{type(error).__name__}: {error}")

    def _take_over(self, engine: Engine) -> None:
        """Apply changed settings: to both at once, so that no batch is larger than the engine's windows."""
        with self._lock:
            settings, self._new_settings = self._new_settings, None
        if settings is not None:
            engine.configure(settings.rollout)
            self._doubts.limit = settings.node.restart_doubtful
            self._stream.configure(settings.node, settings.rollout.frames)

    def _process(self, engine: Engine, batch: Batch) -> None:
        before = self._last if batch.reset is None else None
        link = self._last = _Link()

        def void() -> bool:
            return (
                self._stopping.is_set()
                or not self._running.is_set()
                or batch.generation != self._buffer.generation
                or (before is not None and before.broken)
            )

        rest: Rest | str = "window_error"
        try:
            rest = self._compute(engine, batch, void)
        finally:
            if isinstance(rest, str):
                self._settle(batch, link, rest)
            self._statistics.stage("idle")
        if isinstance(rest, str):
            return
        if self._finisher is None:
            self._end(batch, link, rest)
        else:
            self._finisher.hand(partial(self._end, batch, link, rest))

    def _end(self, batch: Batch, link: _Link, rest: Rest) -> None:
        """Do the rest of a window, in this thread or the finisher's."""
        fate: str | None = "window_error"
        try:
            fate = rest()
        finally:
            self._settle(batch, link, fate)

    def _settle(self, batch: Batch, link: _Link, fate: str | None) -> None:
        link.broken = fate is not None
        # Beside the finisher the window that has begun already still belongs to a chain that is to start anew.
        self._buffer.finish(batch, dropped=fate, restart=None if fate else self._doubts.due())

    def _compute(self, engine: Engine, batch: Batch, void: Callable[[], bool]) -> Rest | str:
        """As much of a window as the next one waits for: what is left then, or why its frames were dropped."""
        started = self._clock()
        try:
            if batch.reset is not None:
                _LOG.info("the chain starts anew (%s)", batch.reset)
                with self._lock:
                    anchor, self._new_anchor = self._new_anchor, None
                if anchor is not None:
                    engine.take_anchor(anchor)
                engine.reset()
            window = self._assemble(batch)
            finish = self._run(engine, window, void)
        except Exception as error:
            return self._skipped(batch, error)
        return lambda: self._complete(batch, window, finish, started, void)

    def _skipped(self, batch: Batch, error: Exception) -> str:
        """Why the frames of a window that ended so were dropped."""
        if isinstance(error, Cancelled):
            return "cancelled"
        text = f"{type(error).__name__}: {error}"
        _LOG.error(
            "a window of %d frames failed and is skipped: %s",
            len(batch.frames),
            text,
            exc_info=None if _is_plain(error) else error,
        )
        self._statistics.failed(self._clock(), text)
        return "window_error"

    def _complete(
        self,
        batch: Batch,
        window: Window,
        finish: Callable[[], WindowResult],
        started: float,
        void: Callable[[], bool],
    ) -> str | None:
        """Make and publish a result: None, or why the window's frames were dropped."""
        if void():
            return "cancelled"
        try:
            try:
                result = finish()
            except MemoryError as error:
                self._statistics.error(f"{type(error).__name__}: {error}")
                gc.collect()
                result = finish()
        except Exception as error:
            return self._skipped(batch, error)
        if void():
            return "cancelled"
        computed = self._clock()
        try:
            result = self._publish(batch, window, result)
        except Exception as error:
            if self._stopping.is_set():
                return "cancelled"
            _LOG.exception("a window could not be published")
            self._statistics.failed(self._clock(), f"publishing: {type(error).__name__}: {error}")
            return None  # the chain itself is whole
        self._doubts.saw(result.notes, begins=batch.reset is not None)
        done = self._clock()
        self._statistics.window(done, computed - started, done - batch.frames[-1].arrived_s, done - computed, result)
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
