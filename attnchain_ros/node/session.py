"""Everything that lives from configure to cleanup: streams, worker, inputs and outputs, wired to one another.

There is one of each, and a track of its own for every object (``track``); with ``max_objects`` 1 one from start to end.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace

from rclpy.lifecycle import LifecycleNode

from ..errors import Cancelled, InputError
from ..rollout.window import Window, WindowResult
from ..stream.buffer import Batch
from ..stream.camera import CameraModel
from ..stream.frame import Frame
from ..stream.masking import MaskFigures
from ..stream.several import Hooks, Member, ObjectStreams
from ..stream.standing import FixedFrame
from .anchoring import Anchoring, AnchorWish, NewAnchor, Understood
from .finisher import Finisher
from .inputs import Inputs
from .live import LiveFigures, LiveThread
from .log_once import LogOnce
from .outputs import Outputs
from .parameters import NodeSettings
from .prompting import Prompting
from .standing import TransformInput, transform_input
from .statistics import Statistics
from .tf2 import DistributionInput
from .track import ObjectFigures, ObjectTrack
from .worker import Engine, Work, Worker

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
        self._closing = threading.Lock()  # the timer that looks after things runs beside transitions
        self._closed = self._active = False
        self._tracks: dict[int, ObjectTrack] = {}  # by member
        self._assembled: deque[tuple[weakref.ref[Window], CameraModel]] = deque(maxlen=MOST_UNDER_WAY)
        self._topologies: dict[int, int] = {}  # the next one of each id
        self._anchoring = Anchoring(self._take_anchor, self._on_anchor_failure)
        self._settings = settings
        hooks = Hooks(self._on_ready, self._on_problem, self._on_admitted, self._on_retired, self._on_turned_away)
        self.streams = ObjectStreams(settings.node, settings.rollout.frames, settings.node.object_id, hooks)
        self._prompting: Prompting | None = None
        if settings.node.foreground == "sam2":
            self._prompting = Prompting(node, self._complain, lambda: self._settings.node)
        self._tf: TransformInput | DistributionInput | None = None
        self._fixed: FixedFrame | None = None
        if settings.node.fixed_frame:
            self._tf = transform_input(node)
            frame, buffer = settings.node.fixed_frame, self._tf.buffer
            self._fixed = FixedFrame(frame, buffer, lambda: self._settings.node.tf_timeout_s)
        work = Work(
            self._assemble, self._publish, self._on_gone,
            (lambda stop: None) if self._prompting is None else self._prompting.work,
        )  # fmt: skip
        self._worker = Worker(
            self.streams, lambda: self._build(make_engine), work, self.statistics,
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
        try:
            self.apply(settings)
            self._outputs = outputs = Outputs(node, settings.node.max_objects, fixed=self._fixed is not None)
            for member in self.streams.members:
                self._follow(member)
            self._inputs = Inputs(
                node, self.streams, self.statistics, self._complain, options=lambda: self._settings.node,
                watch=self._watch,
            )  # fmt: skip
        except Exception:
            self._worker.stop(STOP_TIMEOUT_S)
            self._close_live(STOP_TIMEOUT_S)
            if outputs is not None:
                outputs.destroy()
            raise

    def _build(self, make_engine: Callable[[NodeSettings], Engine]) -> Engine:
        engine = make_engine(self._settings)
        if self._prompting is not None:
            self._prompting.load(engine.make_tracker(), self.streams)
        return engine

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
    def tracks(self) -> tuple[ObjectTrack, ...]:
        """The objects that are followed, by id."""
        known = (self._tracks.get(member.number) for member in self.streams.members)
        return tuple(sorted((track for track in known if track is not None), key=lambda track: track.object_id))

    @property
    def live_figures(self) -> LiveFigures | None:
        """Of the only object's live lane; None where it is switched off, or objects come and go."""
        live = None if self.streams.several else self.tracks[0].live
        return None if live is None else live.figures()

    @property
    def lookup_failures(self) -> dict[str, int] | None:
        """Images without a place in the fixed frame, by cause; None without such a frame."""
        return None if self._fixed is None else self._fixed.failures

    @property
    def looked_up_by(self) -> str:
        """What TF is looked up by, "" without a fixed frame."""
        return "" if self._tf is None else self._tf.name

    @property
    def object_figures(self) -> list[ObjectFigures]:
        """Of each object, where they come and go."""
        return [track.figures() for track in self.tracks] if self.streams.several else []

    def choose(self, object_id: int) -> ObjectTrack:
        """The track of an object; 0 = of the only one, or of the one with the lowest id.

        Raises:
            InputError: it is not followed.
        """
        tracks = self.tracks
        for track in tracks:
            if object_id in (0, track.object_id):
                return track
        if not tracks:
            raise InputError("no object is followed: none is in the masks so far")
        listed = " and ".join(str(track.object_id) for track in tracks)
        raise InputError(f"there is no object {object_id}, only object{'s' * (len(tracks) > 1)} {listed}")

    @property
    def mask_figures(self) -> MaskFigures | None:
        """Of the masks from a prompt; None with another foreground."""
        return None if self._prompting is None else self._prompting.figures

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
        if not wish.object_id and len(self.tracks) > 1:
            listed = ", ".join(str(track.object_id) for track in self.tracks)
            raise InputError(f"objects {listed} are followed: say by object_id whose anchor it is")
        mine = replace(wish, object_id=self.choose(wish.object_id).object_id)
        return self._anchoring.take(mine, self._settings.node.anchor_dir, self._settings.rollout)

    def reset(self, object_id: int) -> None:
        """Start an object anew; 0 = all.

        Raises:
            InputError: it is not followed.
        """
        if object_id:
            self.choose(object_id)
        self.streams.reset("service", object_id)

    def activate(self) -> None:
        """Start to listen and to compute."""
        self.streams.clear("activated")
        self._complain.clear()
        self._active = True
        self._worker.set_running(True)
        self._run_live(True)
        if self._prompting is not None:
            self._prompting.subscribe()
        if self._tf is not None:
            self._tf.subscribe()  # first: transforms are there when images come
        self._inputs.subscribe()

    def deactivate(self) -> None:
        """Stop listening; the window under way is cancelled."""
        self._inputs.unsubscribe()
        if self._prompting is not None:
            self._prompting.unsubscribe()
        if self._tf is not None:
            self._tf.unsubscribe()
        self._outputs.rivals.close()
        self._active = False
        self._worker.set_running(False)
        self._run_live(False)
        self.streams.clear("deactivated")

    def close(self, timeout_s: float = STOP_TIMEOUT_S) -> bool:
        """End the worker and remove the publishers; False if the worker did not end in time."""
        self.streams.close()
        ended = self._worker.stop(timeout_s)
        ended = self._close_live(timeout_s) and ended
        with self._closing:
            self._closed = True
            self._inputs.unsubscribe()
            if self._prompting is not None:
                self._prompting.unsubscribe()
            if self._tf is not None:
                self._tf.unsubscribe()
            self._outputs.destroy()
        self._node.get_logger().info(self.streams.accounts().describe())
        return ended

    def look_after(self) -> None:
        """What has to be done now and then while active."""
        now_s = time.monotonic()
        silent_s = self.statistics.snapshot(now_s).last_image_s
        gap_s = self._settings.node.max_gap_s
        if 0 < gap_s < silent_s:
            self.streams.close_idle()
        with self._closing:
            if not self._closed:
                self._inputs.follow_publishers()
                self._outputs.serve_late()
                frames = [self._settings.of_object(track.object_id).object_frame for track in self.tracks]
                self._outputs.rivals.look(frames, now_s)

    def _take_anchor(self, new: NewAnchor) -> None:
        """A prepared anchor, in the thread that prepared it."""
        with self._closing:
            if self._closed:
                return
            track = self.choose(new.object_id)
            # In this order: whatever starts a chain after the reset finds the new one.
            self._worker.take_anchor(track.member, new)
            track.overlap_awaited = True
            self.streams.reset("anchor", track.object_id)

    def _on_anchor_failure(self, text: str) -> None:
        self.statistics.error(text)
        self._node.get_logger().error(text)

    def _on_ready(self) -> None:
        self._worker.wake()

    def _on_problem(self, cause: str, text: str) -> None:
        self._complain(f"{cause}: {text}", f"image without a usable mask ({cause}): {text}")

    # ------------------------------------------------------------------------------------------ objects

    def _follow(self, member: Member) -> ObjectTrack:
        """Make the track of an object."""
        track = ObjectTrack(member, first_topology=self._topologies.get(member.object_id, 0))
        if self._settings.node.live:
            track.live = LiveThread(
                self._node, member.stream, lambda: self._settings.of_object(member.object_id), self._complain
            )
        self._tracks[member.number] = track
        return track

    def _on_admitted(self, member: Member) -> None:
        try:
            track = self._follow(member)
        except Exception as error:  # an override of QoS that does not exist: windows go on without the live lane
            self._complain(f"live {error}", f"object {member.object_id} has no live lane: {error}")
            track = self._tracks[member.number] = ObjectTrack(member)
        if track.live is not None:
            track.live.set_running(self._active)
        count, most = len(self.streams.members) + 1, self._settings.node.max_objects
        self._node.get_logger().info(f"object {member.object_id} is followed ({count} of at most {most})")

    def _on_retired(self, member: Member) -> None:
        track = self._tracks.get(member.number)
        if track is not None and track.live is not None:
            track.live.set_running(False)
        self._node.get_logger().info(f"object {member.object_id} is retired")

    def _on_turned_away(self, ids: tuple[int, ...]) -> None:
        self._node.get_logger().warning(
            f"object{'s' * (len(ids) > 1)} {', '.join(map(str, ids))} cannot be followed: "
            f"max_objects is {self._settings.node.max_objects}, and all are there"
        )

    def _on_gone(self, member: Member) -> None:
        """A retired object has nothing left, in the worker's thread."""
        track = self._tracks.pop(member.number, None)
        with self._closing:
            if self._closed or track is None:
                return
            if track.live is not None:
                track.live.close(STOP_TIMEOUT_S)
            if self.streams.find(member.object_id) is None:
                self._outputs.forget(self._settings.of_object(member.object_id))
        self._node.get_logger().info(f"object {member.object_id}: {member.stream.buffer.accounts().describe()}")

    def _live_lanes(self) -> list[LiveThread]:
        return [track.live for track in tuple(self._tracks.values()) if track.live is not None]

    def _run_live(self, running: bool) -> None:
        for lane in self._live_lanes():
            lane.set_running(running)

    def _close_live(self, timeout_s: float) -> bool:
        return all([lane.close(timeout_s) for lane in self._live_lanes()])

    # ------------------------------------------------------------------------------------------ windows

    def _watch(self, frame: Frame) -> None:
        for lane in self._live_lanes():
            lane.on_image(frame)
        if self._prompting is not None:
            self._prompting.see(frame)

    def _assemble(self, member: Member, batch: Batch) -> Window:
        window = member.stream.assemble(batch)
        assembler = member.stream.assembler
        if self._fixed is not None:
            window, missing = self._fixed.place(window, batch.frames[0].frame_id)
            for note in missing:
                self._complain(note.code, note.text)
        # The next window may be assembled before this one is published.
        self._assembled.append((weakref.ref(window), assembler.camera))
        for note in assembler.notes:
            # What is wrong with a calibration is said anew with each that comes; the rest may differ in every window.
            self._complain(note.text if note in assembler.camera.notes else note.code, note.text)
        return window

    def _publish(self, member: Member, batch: Batch, window: Window, result: WindowResult) -> WindowResult:
        track = self._tracks[member.number]
        result = track.take(result)
        self._topologies[member.object_id] = result.topology_id + 1
        if self._fixed is not None and not result.metric:
            self._complain(
                "fixed_unitless",
                f"nothing is published in {self._fixed.name}: lengths are unitless, TF's are metres; give depth, or "
                "set camera.object_size_m",
            )
        for note in result.notes:
            self._complain(note.code, note.text)
        if track.live is not None:
            track.live.on_result(batch, window, result)  # first: it has to catch up
        if track.overlap_awaited and result.index == 0:
            track.overlap_awaited = False
            overlap = result.silhouette_iou
            self._node.get_logger().info(f"the new anchor overlaps the first mask by {overlap:.2f} (1: all of both)")
        settings = self._settings.of_object(member.object_id)
        camera = next(camera for assembled, camera in self._assembled if assembled() is window)
        self._outputs.publish(result, camera, batch.frames[0].frame_id, settings)
        return result
