"""Everything that lives from configure to cleanup: buffer, worker, inputs and outputs, wired to one another."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout

from rclpy.lifecycle import LifecycleNode

from ..errors import Cancelled
from ..rollout.window import Window, WindowResult
from ..stream.buffer import Batch
from ..stream.camera import CameraModel
from ..stream.frame import Frame
from ..stream.stream import Stream
from .anchoring import Anchoring, AnchorWish, NewAnchor, Understood
from .finisher import Finisher
from .inputs import Inputs
from .live import LiveFigures, LiveThread
from .log_once import LogOnce
from .outputs import Outputs
from .parameters import NodeSettings
from .statistics import Statistics
from .worker import Engine, Worker

MOST_UNDER_WAY = 3
"""Windows between assembling and publishing, at most: one is computed, one waits for the finisher, one is with it."""

STOP_TIMEOUT_S = 3.0
"""How long a window under way may take to notice that it is cancelled."""


class Session:
    """The configured node.

    Args:
        node: owner of publishers and subscriptions.
        settings: the parameters.
        make_engine: builds the engine from settings, in the worker's thread.
        stopping: true when the program wants to end; then building is not waited for.
    Raises:
        Exception: whatever ``make_engine`` raised; nothing is left behind then.
    """

    def __init__(
        self,
        node: LifecycleNode,
        settings: NodeSettings,
        make_engine: Callable[[NodeSettings], Engine],
        stopping: Callable[[], bool],
    ) -> None:
        self._node = node
        self._complain = LogOnce(lambda text: node.get_logger().warning(text))
        self.statistics = Statistics()
        self.latest: WindowResult | None = None
        self._closing = threading.Lock()  # the timer that looks after things runs beside transitions
        self._closed = False
        self._overlap_awaited = False
        self._assembled: deque[tuple[weakref.ref[Window], CameraModel]] = deque(maxlen=MOST_UNDER_WAY)
        self._anchoring = Anchoring(self._take_anchor, self._on_anchor_failure)
        self._settings = settings
        self._stream = Stream(settings.node, settings.rollout.frames, self._on_ready, self._on_problem)
        self.buffer = self._stream.buffer
        self._worker = Worker(
            self._stream, lambda: make_engine(settings), self._assemble, self._publish, self.statistics,
            finisher=Finisher() if settings.node.host_thread else None,
        )  # fmt: skip
        future = self._worker.start()
        while True:
            try:
                self._engine = future.result(timeout=0.1)
                break
            except FutureTimeout:
                # Futures raise this class for themselves and for an engine that failed with it.
                if future.done() and future.exception() is not None:
                    raise
                if stopping():
                    self._worker.stop(0.0)
                    raise Cancelled("the program ends while the weights are being loaded") from None
        outputs: Outputs | None = None
        self._live: LiveThread | None = None
        try:
            self.apply(settings)
            self._outputs = outputs = Outputs(node)
            if settings.node.live:
                self._live = LiveThread(node, self._stream, lambda: self._settings, self._complain)
            self._inputs = Inputs(
                node, self._stream, self.statistics, self._complain, options=lambda: self._settings.node,
                watch=self._watch,
            )  # fmt: skip
        except Exception:
            self._worker.stop(STOP_TIMEOUT_S)
            if self._live is not None:
                self._live.close(STOP_TIMEOUT_S)
            if outputs is not None:
                outputs.destroy()
            raise

    @property
    def settings(self) -> NodeSettings:
        """The settings in force, with the checkpoint's recommendations."""
        return self._settings

    @property
    def description(self) -> str:
        """What computes the windows, for the log."""
        return self._engine.description

    @property
    def inputs(self) -> Inputs:
        """The subscriptions."""
        return self._inputs

    @property
    def outputs(self) -> Outputs:
        """The publishers."""
        return self._outputs

    @property
    def live_figures(self) -> LiveFigures | None:
        """Of the live lane; None where it is switched off."""
        return None if self._live is None else self._live.figures()

    def check(self, settings: NodeSettings) -> None:
        """Whether changed parameters could be taken over.

        Raises:
            ConfigError: together with the checkpoint's recommendations they cannot be used.
        """
        self._engine.resolve(settings)

    def apply(self, settings: NodeSettings) -> None:
        """Take over changed parameters; the method's own from the next window on.

        Raises:
            ConfigError: together with the checkpoint's recommendations they cannot be used.
        """
        effective = self._engine.resolve(settings)
        self._settings = effective
        self._worker.configure(effective)

    def set_anchor(self, wish: AnchorWish) -> Understood | None:
        """Read another anchor and begin to prepare it; None: another one is being prepared.

        Raises:
            InputError: it cannot be used; the old one stays.
        """
        return self._anchoring.take(wish, self._settings.node.anchor_dir, self._settings.rollout)

    def activate(self) -> None:
        """Start to listen and to compute."""
        self.buffer.reset("activated")
        self._complain.clear()
        self._worker.set_running(True)
        if self._live is not None:
            self._live.set_running(True)
        self._inputs.subscribe()

    def deactivate(self) -> None:
        """Stop listening; the window under way is cancelled."""
        self._inputs.unsubscribe()
        self._outputs.rivals.close()
        self._worker.set_running(False)
        if self._live is not None:
            self._live.set_running(False)
        self.buffer.reset("deactivated")

    def close(self, timeout_s: float = STOP_TIMEOUT_S) -> bool:
        """End the worker and remove the publishers; False if the worker did not end in time."""
        self.buffer.close()
        ended = self._worker.stop(timeout_s)
        if self._live is not None:
            ended = self._live.close(timeout_s) and ended
        with self._closing:
            self._closed = True
            self._inputs.unsubscribe()
            self._outputs.destroy()
        self._node.get_logger().info(self.buffer.accounts().describe())
        return ended

    def look_after(self) -> None:
        """What has to be done now and then while active."""
        now_s = time.monotonic()
        silent_s = self.statistics.snapshot(now_s).last_image_s
        gap_s = self._settings.node.max_gap_s
        if 0 < gap_s < silent_s:
            self.buffer.close_idle()
        with self._closing:
            if not self._closed:
                self._inputs.follow_publishers()
                self._outputs.serve_late()
                self._outputs.rivals.look(self._settings.object_frame, now_s)

    def _take_anchor(self, new: NewAnchor) -> None:
        """A prepared anchor, in the thread that prepared it."""
        with self._closing:
            if self._closed:
                return
            # In this order: whatever starts a chain after the reset finds the new one.
            self._worker.take_anchor(new)
            self._overlap_awaited = True
            self.buffer.reset("anchor")

    def _on_anchor_failure(self, text: str) -> None:
        self.statistics.error(text)
        self._node.get_logger().error(text)

    def _on_ready(self) -> None:
        self._worker.wake()

    def _on_problem(self, cause: str, text: str) -> None:
        self._complain(f"{cause}: {text}", f"image without a usable mask ({cause}): {text}")

    def _watch(self, frame: Frame) -> None:
        if self._live is not None:
            self._live.on_image(frame)

    def _assemble(self, batch: Batch) -> Window:
        window = self._stream.assemble(batch)
        assembler = self._stream.assembler
        # The next window may be assembled before this one is published.
        self._assembled.append((weakref.ref(window), assembler.camera))
        for note in assembler.notes:
            # What is wrong with a calibration is said anew with each that comes; the rest may differ in every window.
            self._complain(note.text if note in assembler.camera.notes else note.code, note.text)
        return window

    def _publish(self, batch: Batch, window: Window, result: WindowResult) -> WindowResult:
        if self._live is not None:
            result = self._live.doubted(result)
        self.latest = result
        for note in result.notes:
            self._complain(note.code, note.text)
        if self._live is not None:
            self._live.on_result(batch, window, result)  # first: it has to catch up
        if self._overlap_awaited and result.index == 0:
            self._overlap_awaited = False
            overlap = result.silhouette_iou
            self._node.get_logger().info(f"the new anchor overlaps the first mask by {overlap:.2f} (1: all of both)")
        camera = next(camera for assembled, camera in self._assembled if assembled() is window)
        self._outputs.publish(result, camera, batch.frames[0].frame_id, self._settings)
        return result
