"""The live lane as a thread: TF, pose and tracks for every image, while windows are computed elsewhere.

The callback of images hands over what it has decoded and returns; where the thread does not keep up, the oldest image
that waits is dropped and counted. Between images it lets a new window catch up. Nothing here waits for the device.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import PointCloud2

from .. import wire
from ..live.doubting import Sighting, doubted
from ..live.lane import LiveLane
from ..live.pictures import LivePicture, small_picture
from ..live.start import start_from
from ..live.tracker import LivePose
from ..rollout.window import Window, WindowResult
from ..stream.buffer import Batch
from ..stream.frame import Frame
from ..stream.stream import Stream
from ..threads import prefer_this_thread
from . import building, qos
from .log_once import LogOnce
from .outputs import own_publisher
from .parameters import NodeSettings
from .transforms import transform_broadcaster

WAITING = 2
"""So many images may wait; one more, and the oldest goes: a pose that is late is worth less than the next one."""

_RECENT = 300


@dataclass(frozen=True)
class LiveFigures:
    """The live lane at one moment.

    Attributes:
        state: ``waiting`` for a window, ``tracking``, or ``lost: CAUSE``.
        images: taken in; dropped: images that had no time; poses: published; errors: faults after which all began anew.
        lost: how often an object was lost, by cause; refused: windows that could not be followed, by cause.
        latency_p95_s: from an image's arrival to its transform, NaN = none yet.
        stored: pictures that are kept.
    """

    state: str
    images: int
    dropped: int
    poses: int
    errors: int
    latency_p95_s: float
    stored: int
    lost: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Arrival:
    """A window that was published: its result, its last frame (undistorted) and mask, and when that image came in."""

    generation: int
    result: WindowResult
    image: np.ndarray
    mask: np.ndarray
    arrived_s: float


class LiveOutputs:
    """The publishers of an object's live lane; nothing but TF is built without subscribers.

    Args:
        node: owner of the publishers.
        names: of the object; of several each has its own topic of poses.
    """

    def __init__(self, node: LifecycleNode, names: wire.Names) -> None:
        self._node = node
        self._made: list[Any] = []
        self._tf: Any = None
        try:
            topics = ((PointCloud2, "~/tracks_live"), (PoseWithCovarianceStamped, names.topic("pose_live")))
            for kind, topic in topics:
                # The first images of an object that comes later find the node active.
                made = own_publisher(node, kind, topic, qos.live_output(), active=names.several)
                self._made.append(made)
            self._tf = transform_broadcaster(node)
        except Exception:  # an override of QoS that does not exist: nothing is left half made
            self.destroy()
            raise

    def publish(self, pose: LivePose, names: wire.Names, *, tf: bool) -> None:
        """Everything about one image; of an object that is lost only that no points are seen."""
        tracks, poses = self._made
        if not pose.lost:
            if tf:
                fields = wire.live_transform(pose, names)
                self._tf.sendTransform([building.build("geometry_msgs/msg/TransformStamped", fields)])
            if poses.get_subscription_count():
                fields = wire.live_pose(pose, names)
                poses.publish(building.build("geometry_msgs/msg/PoseWithCovarianceStamped", fields))
        if tracks.get_subscription_count():
            tracks.publish(building.build("sensor_msgs/msg/PointCloud2", wire.live_cloud(pose, names)))

    def destroy(self) -> None:
        """Remove all publishers."""
        for publisher in self._made:
            self._node.destroy_lifecycle_publisher(publisher)
        tf_publisher = getattr(self._tf, "pub_tf", None)
        if tf_publisher is not None:
            self._node.destroy_publisher(tf_publisher)


class LiveThread:
    """Follows the last window's points through every image, in a thread of its own.

    Args:
        node: owner of the publishers.
        stream: its calibrations and its number of resets.
        settings: in force now.
        complain: tells each cause once.
        clock: seconds of a steady clock, the one of ``Frame.arrived_s``.
    """

    def __init__(
        self,
        node: LifecycleNode,
        stream: Stream,
        settings: Callable[[], NodeSettings],
        complain: LogOnce,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._settings = settings
        self._complain = complain
        self._clock = clock
        self._lane = LiveLane(settings().node.live_lane)
        self._wake = threading.Condition()
        self._frames: deque[Frame] = deque()
        self._arrival: _Arrival | None = None
        self._running = self._stopping = self._catching_up = False
        self._forget = False
        self._generation = stream.buffer.generation
        self._counts: Counter[str] = Counter()
        self._latencies: deque[float] = deque(maxlen=_RECENT)
        self._sightings: deque[Sighting] = deque(maxlen=_RECENT)
        self._publishing = threading.Lock()
        self._outputs = LiveOutputs(node, settings().names(""))
        self._thread = threading.Thread(target=self._main, name="attnchain-live", daemon=True)
        self._thread.start()

    def on_image(self, frame: Frame) -> None:
        """Take an image that was decoded; any thread, returns at once."""
        with self._wake:
            if not self._running:
                return
            self._counts["images"] += 1
            if len(self._frames) >= WAITING:
                self._frames.popleft()
                self._counts["dropped"] += 1
            self._frames.append(frame)
            self._wake.notify()

    def on_result(self, batch: Batch, window: Window, result: WindowResult) -> None:
        """Take a window that was published; any thread, returns at once."""
        # Copies: a view would keep the pictures of the whole window.
        arrival = _Arrival(
            batch.generation, result, window.images[-1].copy(), window.masks[-1].copy(), batch.frames[-1].arrived_s
        )
        with self._wake:
            if self._running:
                self._arrival = arrival
                self._wake.notify()

    def doubted(self, result: WindowResult) -> WindowResult:
        """A window's result, without trust in poses that contradict what was seen of its images; any thread."""
        with self._wake:
            sightings = tuple(self._sightings)
        return doubted(result, sightings)

    def set_running(self, running: bool) -> None:
        """Whether the node is active; once turned off nothing more is published, and everything is forgotten."""
        with self._publishing, self._wake:
            self._running = running
            self._frames.clear()
            self._sightings.clear()
            self._arrival = None
            self._catching_up = False
            self._forget = True  # the lane belongs to the thread
            self._wake.notify()

    def close(self, timeout_s: float) -> bool:
        """End the thread and remove the publishers; False if it did not end in time."""
        with self._wake:
            self._running, self._stopping = False, True
            self._wake.notify()
        self._thread.join(timeout_s)
        with self._publishing:
            self._outputs.destroy()
        return not self._thread.is_alive()

    def figures(self) -> LiveFigures:
        """What the diagnostics tell."""
        with self._wake:
            latency = float(np.quantile(self._latencies, 0.95)) if self._latencies else float("nan")
            return LiveFigures(
                state=self._lane.state,
                images=self._counts["images"],
                dropped=self._counts["dropped"],
                poses=self._counts["poses"],
                errors=self._counts["errors"],
                latency_p95_s=latency,
                stored=self._lane.stored,
                lost=dict(self._lane.lost),
                refused=dict(self._lane.refused),
            )

    def _main(self) -> None:
        # Of several lanes that went before everything else nobody else would get a core.
        prefer_this_thread(realtime=self._settings().node.max_objects == 1)
        while True:
            with self._wake:
                while not (self._stopping or self._forget or self._frames or self._arrival or self._catching_up):
                    self._wake.wait()
                if self._stopping:
                    return
                forget, self._forget = self._forget, False
                frame = self._frames.popleft() if self._frames else None
                arrival = None
                if frame is None:
                    arrival, self._arrival = self._arrival, None
            try:
                if forget:
                    self._lane.clear()
                self._work(frame, arrival)
            except Exception as error:  # the lane has to live on, whatever happens here
                text = "".join(traceback.format_exception(error))
                self._complain(f"live {type(error).__name__}", f"the live lane failed and begins anew: {text}")
                with self._wake:
                    self._counts["errors"] += 1
                    self._catching_up = False
                self._lane.clear()

    def _work(self, frame: Frame | None, arrival: _Arrival | None) -> None:
        """One image first of all; else a new window; else a piece of catching up."""
        generation = self._stream.buffer.generation
        if generation != self._generation:
            self._lane.clear()
            self._generation = generation
            with self._wake:
                self._sightings.clear()
        self._lane.config = self._settings().node.live_lane
        if frame is not None:
            self._see(frame)
        elif arrival is not None:
            if arrival.generation == generation:
                self._lane.begin(
                    start_from(arrival.result, arrival.image, arrival.mask, arrival.arrived_s, self._lane.config)
                )
            with self._wake:
                self._catching_up = self._running
        else:
            more = self._lane.catch_up()
            with self._wake:
                self._catching_up = more and self._running

    def _see(self, frame: Frame) -> None:
        height, width = frame.image.shape[:2]
        camera = self._stream.assembler.cameras.model(height, width, frame.stamp_ns)
        settings = self._settings()
        grey = small_picture(frame.image, self._lane.config.size_px, camera)
        picture = LivePicture(grey, frame.kind, frame.arrived_s, camera.intrinsics)
        pose = self._lane.see(picture, settings.node)
        if pose is None:
            return
        names = settings.names(frame.frame_id)
        with self._publishing:
            if not self._running:
                return
            self._outputs.publish(pose, names, tf=settings.node.publish.tf)
        if pose.lost:
            text = f"the live pose is lost ({pose.lost}) {pose.age_s:.1f} s after its window: the next window finds it"
            self._complain(f"live lost {pose.lost}", text)
            return
        with self._wake:
            if self._sightings and frame.stamp_ns <= self._sightings[-1].stamp_ns:
                self._sightings.clear()  # stamps began anew
            self._sightings.append(Sighting(frame.stamp_ns, pose.camera_from_object))
            self._counts["poses"] += 1
            self._latencies.append(self._clock() - frame.arrived_s)
