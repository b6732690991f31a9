"""The object by a click: the node's part of foreground ``sam2``, around ``stream.masking``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import PointStamped
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from sensor_msgs.msg import RegionOfInterest

from ..errors import InputError
from ..masks.config import Sam2Config
from ..stream.frame import Frame
from ..stream.masking import MaskFigures, MaskMaker
from ..stream.masking_several import ObjectMasks
from ..stream.prompted import AnyTracker
from ..stream.several import ObjectStreams
from . import qos
from .log_once import LogOnce
from .parameters import NodeConfig

POINT, BOX = "~/prompt", "~/prompt_box"


class Prompting:
    """Hears prompts while the node is active and passes them on; masks are made in the worker's thread.

    Args:
        node: owner of the subscriptions.
        complain: tells what happened, once a cause.
        options: the node's options now.
    """

    def __init__(self, node: Node, complain: LogOnce, options: Callable[[], NodeConfig]) -> None:
        self._node = node
        self._complain = complain
        self._options = options
        self._maker: MaskMaker | ObjectMasks | None = None
        self._group = MutuallyExclusiveCallbackGroup()
        self._subscriptions: list[Any] = []

    def load(self, tracker: AnyTracker, streams: ObjectStreams) -> None:
        """Take over what follows objects; in the worker's thread, before anything else is called."""

        def options() -> Sam2Config:
            return self._options().sam2

        def lossless() -> bool:
            return self._options().overflow_policy == "block"

        if streams.several:
            most = self._options().max_objects
            self._maker = ObjectMasks(tracker, streams, options, most, lossless=lossless, tell=self._complain)
        else:
            buffer = streams.members[0].stream.buffer
            self._maker = MaskMaker(tracker, buffer, options, lossless=lossless, tell=self._complain)

    def work(self, stop: Callable[[], bool]) -> None:
        """Make masks for frames that wait; the worker's thread."""
        if self._maker is not None:
            self._maker.work(stop)

    def see(self, frame: Frame) -> None:
        """An image came."""
        if self._maker is not None:
            self._maker.see(frame)

    @property
    def figures(self) -> MaskFigures | None:
        """What was done so far."""
        return None if self._maker is None else self._maker.figures()

    def subscribe(self) -> None:
        """Begin to listen; what was followed before is forgotten."""
        if self._maker is not None:
            self._maker.forget()
        for kind, topic, callback in (
            (PointStamped, POINT, self._on_point),
            (RegionOfInterest, BOX, self._on_box),
        ):
            self._subscriptions.append(
                self._node.create_subscription(kind, topic, callback, qos.prompt_input(), callback_group=self._group)
            )

    def unsubscribe(self) -> None:
        """Listen no more."""
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())

    def _on_point(self, message: PointStamped) -> None:
        x, y = float(message.point.x), float(message.point.y)
        self._take(f"the point {x:g},{y:g}", lambda maker: maker.point(x, y))

    def _on_box(self, message: RegionOfInterest) -> None:
        x, y, width, height = message.x_offset, message.y_offset, message.width, message.height
        text = f"the box {x},{y},{width},{height}"
        self._take(text, lambda maker: maker.box(float(x), float(y), float(width), float(height)))

    def _take(self, what: str, ask: Callable[[MaskMaker | ObjectMasks], None]) -> None:
        """Pass a prompt on; every one is answered in the log, since a person gave it."""
        if self._maker is None:
            return
        log = self._node.get_logger()
        try:
            ask(self._maker)
        except InputError as error:
            log.warning(f"prompt refused, nothing changes: {error}")
        else:
            then = "the next images are a new chain"
            if isinstance(self._maker, ObjectMasks):
                then = "the object that it lies on is corrected, or another one begins"
            log.info(f"prompt taken: {what} in the newest image; {then}")
