"""A module with the documented interface of ``tf2_ros``, as far as a listener and a buffer go; by the literal twin.

Exceptions, their sentences, what a buffer keeps, and that time 0 asks for the newest are as in the distribution's.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.duration import Duration
from rclpy.time import Time
from tf2_msgs.msg import TFMessage

from attnchain_ros import wire
from attnchain_ros.lab.reference.frames import Told, look_up
from attnchain_ros.node.building import build


class TransformException(Exception):
    """Of them all."""


class LookupException(TransformException):
    """A frame that is not there."""


class ConnectivityException(TransformException):
    """Frames of two trees."""


class ExtrapolationException(TransformException):
    """A moment outside what is kept."""


class Buffer:
    """Keeps ``cache_time`` of each frame; older samples are ignored."""

    def __init__(self, cache_time: Duration | None = None, node: Any = None) -> None:
        self._keep_ns = 10 * 10**9 if cache_time is None else cache_time.nanoseconds
        self._told: dict[str, list[Told]] = {}

    def _add(self, message: TransformStamped, static: bool) -> None:
        stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        place, turn = message.transform.translation, message.transform.rotation
        one = Told(
            message.header.frame_id.removeprefix("/"), message.child_frame_id.removeprefix("/"), stamp,
            np.array([place.x, place.y, place.z]), np.array([turn.x, turn.y, turn.z, turn.w]), static,
        )  # fmt: skip
        known = [] if static else self._told.get(one.child, [])
        newest = max((each.stamp_ns for each in known), default=stamp)
        if stamp >= newest - self._keep_ns:
            oldest = max(newest, stamp) - self._keep_ns
            self._told[one.child] = [each for each in (*known, one) if static or each.stamp_ns >= oldest]

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        self._add(transform, False)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        self._add(transform, True)

    def clear(self) -> None:
        self._told = {child: kept for child, kept in self._told.items() if kept[0].static}

    def can_transform(self, target: str, source: str, time: Time) -> bool:
        try:
            self.lookup_transform(target, source, time)
        except TransformException:
            return False
        return True

    def lookup_transform(self, target: str, source: str, time: Time) -> TransformStamped:
        told = [one for kept in self._told.values() for one in kept]
        names = {name for one in told for name in (one.parent, one.child)}
        for name, argument in ((target, "target"), (source, "source")):
            if name not in names:
                raise LookupException(f'"{name}" passed to lookupTransform argument {argument}_frame does not exist. ')
        stamp = time.nanoseconds or max(one.stamp_ns for one in told)
        pose = look_up(told, target, source, stamp)
        if pose is None:
            raise self._why(told, target, source, stamp)
        return build("geometry_msgs/msg/TransformStamped", wire.frame_transform(pose, stamp, target, source))

    def _why(self, told: list[Told], target: str, source: str, stamp: int) -> TransformException:
        always = [Told(one.parent, one.child, stamp, one.place, one.turn, True) for one in told]
        if look_up(always, target, source, stamp) is None:
            return ConnectivityException(
                f"Could not find a connection between '{target}' and '{source}' because they are not part of the same "
                "tree.Tf has two or more unconnected trees."
            )
        for kept in self._told.values():
            first, last = kept[0].stamp_ns, max(one.stamp_ns for one in kept)
            edge = last if stamp > last else min(one.stamp_ns for one in kept)
            if kept[0].static or first <= stamp <= last:
                continue
            if len(kept) == 1:
                text = f"at time {stamp * 1e-9:.6f}, but only time {first * 1e-9:.6f} is in the buffer"
            else:
                where, which = ("future", "latest") if stamp > last else ("past", "earliest")
                times = f"Requested time {stamp * 1e-9:.6f} but the {which} data is at time {edge * 1e-9:.6f}"
                text = f"into the {where}.  {times}"
            break
        return ExtrapolationException(f"Lookup would require extrapolation {text}")


class TransformListener:
    """Puts what comes on /tf and /tf_static into a buffer."""

    def __init__(self, buffer: Any, node: Any, *, spin_thread: bool = False, qos: Any = None, static_qos: Any = None):
        self.buffer, self.node, group = buffer, node, ReentrantCallbackGroup()
        self._moving = node.create_subscription(TFMessage, "/tf", self._on_moving, qos, callback_group=group)
        self._static = node.create_subscription(
            TFMessage, "/tf_static", self._on_static, static_qos, callback_group=group
        )

    def unregister(self) -> None:
        self.node.destroy_subscription(self._moving)
        self.node.destroy_subscription(self._static)

    def _on_moving(self, message: TFMessage) -> None:
        for one in message.transforms:
            self.buffer.set_transform(one, "default_authority")

    def _on_static(self, message: TFMessage) -> None:
        for one in message.transforms:
            self.buffer.set_transform_static(one, "default_authority")


def module() -> ModuleType:
    """It, as a module."""
    found = ModuleType("tf2_ros")
    for one in (
        Buffer, TransformListener, TransformException, LookupException, ConnectivityException, ExtrapolationException,
    ):  # fmt: skip
        setattr(found, one.__name__, one)
    return found
