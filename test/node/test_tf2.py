"""tf2 behind the interface of the node's own buffer: the distribution's where it is, and one with its interface."""

from __future__ import annotations

import threading
import time
from types import ModuleType

import numpy as np
import pytest
from camera.test_frames import MOMENTS, NAMES, kept, tree
from node import hand_made_tf2

from attnchain_ros import wire
from attnchain_ros.camera.frames import FrameBuffer, LookupFailure
from attnchain_ros.node.building import build
from attnchain_ros.node.tf2 import DistributionFrames

pytestmark = pytest.mark.ros


@pytest.fixture(params=["hand-made", "distribution"])
def tf2(request: pytest.FixtureRequest) -> ModuleType:
    if request.param == "hand-made":
        return hand_made_tf2.module()
    return pytest.importorskip("tf2_ros", reason="tf2_ros comes with a ROS 2 distribution")


def shifted(x: float) -> np.ndarray:
    pose = np.eye(4)
    pose[0, 3] = x
    return pose


class Both:
    """The same samples in the node's own buffer and in tf2's."""

    def __init__(self, tf2: ModuleType) -> None:
        self.own, self.theirs = FrameBuffer(), DistributionFrames(tf2)

    def add(self, parent: str, child: str, stamp_ns: int, pose: np.ndarray, *, static: bool = False) -> None:
        self.own.add(parent, child, stamp_ns, pose, static=static)
        message = build("geometry_msgs/msg/TransformStamped", wire.frame_transform(pose, stamp_ns, parent, child))
        (self.theirs.set_transform_static if static else self.theirs.set_transform)(message, "test")


@pytest.mark.parametrize("seed", range(3))
def test_every_pair_of_frames_at_every_moment_as_the_own_buffer_has_it(tf2: ModuleType, seed: int):
    told, theirs = tree(seed), DistributionFrames(tf2)
    own = kept(told)
    for one in told:
        pose = own.look_up(one.parent, one.child, one.stamp_ns)
        fields = wire.frame_transform(pose, one.stamp_ns, one.parent, one.child)
        message = build("geometry_msgs/msg/TransformStamped", fields)
        (theirs.set_transform_static if one.static else theirs.set_transform)(message, "test")
    known = causes = 0
    for target in NAMES:
        for source in NAMES:
            for moment in MOMENTS[1:]:
                try:
                    wanted = own.look_up(target, source, moment)
                except LookupFailure:
                    with pytest.raises(LookupFailure):
                        theirs.look_up(target, source, moment)
                    causes += 1
                else:
                    np.testing.assert_allclose(theirs.look_up(target, source, moment), wanted, atol=1e-6)
                    known += 1
    assert known > 200 and causes > 200


@pytest.mark.parametrize(
    ("target", "source", "stamp", "cause"),
    [
        ("map", "base", 1.5, "unknown"),
        ("far", "base", 1.5, "not_connected"),
        ("odom", "base", 0.9, "too_old"),
        ("odom", "base", 2.1, "too_new"),
        ("odom", "lone", 0.9, "too_old"),
        ("odom", "lone", 2.1, "too_new"),
    ],
)
def test_what_is_not_known_has_the_same_cause(tf2: ModuleType, target: str, source: str, stamp: float, cause: str):
    both = Both(tf2)
    for when in (1, 2):
        both.add("odom", "base", when * 10**9, shifted(when))
    both.add("odom", "lone", 10**9, shifted(3))
    both.add("sea", "far", 0, shifted(1), static=True)
    for buffer in (both.own, both.theirs):
        with pytest.raises(LookupFailure) as caught:
            buffer.look_up(target, source, int(stamp * 1e9))
        assert caught.value.cause == cause
    assert both.theirs.look_up("/odom", "/base", 1_500_000_000)[0, 3] == pytest.approx(1.5)


def test_what_may_come_is_waited_for_and_nothing_else(tf2: ModuleType):
    both = Both(tf2)
    both.add("odom", "base", 10**9, shifted(1))
    both.add("odom", "base", 2 * 10**9, shifted(2))
    sender = threading.Timer(0.2, lambda: both.add("odom", "base", 4 * 10**9, shifted(4)))
    sender.start()
    assert both.theirs.wait_for("odom", "base", 3 * 10**9, 20.0)[0, 3] == pytest.approx(3)
    sender.join()
    started = time.monotonic()
    with pytest.raises(LookupFailure, match="past"):
        both.theirs.wait_for("odom", "base", 10**8, 60.0)
    with pytest.raises(LookupFailure, match="future"):
        both.theirs.wait_for("odom", "base", 9 * 10**9, 0.05)
    assert time.monotonic() - started < 30.0


def test_a_bag_that_is_played_once_more_is_taken_in_and_what_is_static_stays(tf2: ModuleType):
    both = Both(tf2)
    both.add("base", "camera", 0, shifted(10), static=True)
    for turn in range(2):
        for second in range(100, 200, 10):
            both.add("odom", "base", second * 10**9, shifted(second + 1000 * turn))
    for buffer in (both.own, both.theirs):
        assert buffer.look_up("odom", "camera", 175 * 10**9)[0, 3] == pytest.approx(1185)
    both.add("odom", "base", 100 * 10**9, shifted(5))
    both.add("odom", "base", 101 * 10**9, shifted(6))
    for buffer in (both.own, both.theirs):
        assert buffer.look_up("odom", "camera", 100_500_000_000)[0, 3] == pytest.approx(15.5)
        with pytest.raises(LookupFailure):
            buffer.look_up("odom", "camera", 175 * 10**9)
        buffer.clear()
        with pytest.raises(LookupFailure):
            buffer.look_up("odom", "camera", 100_500_000_000)
        assert buffer.look_up("base", "camera", 7)[0, 3] == pytest.approx(10)
