"""TF by the distribution's tf2_ros, behind the same interface as the node's own buffer (``camera.frames``)."""

from __future__ import annotations

import re
import time
from types import ModuleType
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.time import Time

from ..camera.frames import BACK_NS, HISTORY_S, LookupFailure, plain, rigid_pose
from .inputs import stamp_ns

_POLL_S = 0.005
_ONLY = re.compile(r"at time ([\d.]+), but only time ([\d.]+)")


class DistributionFrames:
    """A ``tf2_ros.Buffer``; what it refuses it says in the log itself.

    Where a frame's stamps go back by more than 10 s, as in a bag that is played in a loop, what moves is forgotten: tf2
    by itself would take no transform in until stamps have caught up.

    Args:
        tf2: the module ``tf2_ros``.
    Attributes:
        refused: always 0.
    """

    refused = 0

    def __init__(self, tf2: ModuleType) -> None:
        self._tf2 = tf2
        # Without the node: with it some releases fail when its clock jumps, and they offer a service nobody asked for.
        self._buffer = tf2.Buffer(cache_time=Duration(seconds=HISTORY_S))
        self._newest_ns: dict[str, int] = {}

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """From a ``TransformListener``: a transform that moves."""
        stamp, child = stamp_ns(transform), transform.child_frame_id
        if stamp < self._newest_ns.get(child, stamp) - BACK_NS:
            self.clear()
        self._newest_ns[child] = stamp
        self._buffer.set_transform(transform, authority)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """From a ``TransformListener``: a transform that holds for ever."""
        self._buffer.set_transform_static(transform, authority)

    def clear(self) -> None:
        """Forget what moves; tf2 keeps what is static."""
        self._newest_ns = {}
        self._buffer.clear()

    def look_up(self, target: str, source: str, stamp_ns: int) -> np.ndarray:
        """See ``FrameBuffer.look_up``."""
        tf2 = self._tf2
        moment = Time(nanoseconds=max(1, stamp_ns))  # 0 would ask for the newest
        try:
            found = self._buffer.lookup_transform(plain(target), plain(source), moment).transform
        except tf2.ConnectivityException as error:
            raise LookupFailure("not_connected", f"TF: {error}") from error
        except tf2.ExtrapolationException as error:
            only = _ONLY.search(str(error))
            old = float(only[1]) < float(only[2]) if only else "into the past" in str(error)
            raise LookupFailure("too_old" if old else "too_new", f"TF: {error}") from error
        except tf2.TransformException as error:
            raise LookupFailure("unknown", f"TF: {error}") from error
        place, turn = found.translation, found.rotation
        return rigid_pose((place.x, place.y, place.z), (turn.x, turn.y, turn.z, turn.w))

    def wait_for(self, target: str, source: str, stamp_ns: int, timeout_s: float) -> np.ndarray:
        """See ``FrameBuffer.wait_for``; tf2's own waiting would wait for what cannot come, too."""
        until_s = time.monotonic() + timeout_s
        while True:
            try:
                return self.look_up(target, source, stamp_ns)
            except LookupFailure as failure:
                left_s = until_s - time.monotonic()
                if left_s <= 0 or not failure.may_come:
                    raise
            time.sleep(min(_POLL_S, left_s))


class DistributionInput:
    """Listens to /tf and /tf_static with tf2's ``TransformListener`` while subscribed.

    Args:
        node: owner of the subscriptions.
        tf2: the module ``tf2_ros``.
        moving, static: profiles of the two topics.
    Attributes:
        buffer: what was told.
    """

    name = "tf2_ros"

    def __init__(self, node: Node, tf2: ModuleType, moving: QoSProfile, static: QoSProfile) -> None:
        self._node, self._tf2 = node, tf2
        self._moving, self._static = moving, static
        self.buffer = DistributionFrames(tf2)
        self._listener: Any = None

    def subscribe(self) -> None:
        """Begin to listen."""
        self._listener = self._tf2.TransformListener(self.buffer, self._node, qos=self._moving, static_qos=self._static)

    def unsubscribe(self) -> None:
        """Stop listening; what holds for ever is kept."""
        if self._listener is not None:
            self._listener.unregister()
            self._listener = None
        self.buffer.clear()
