from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from attnchain_ros.camera.frames import HISTORY_S, FrameBuffer, LookupFailure, interpolate, rigid_pose
from attnchain_ros.camera.poses import invert_pose
from attnchain_ros.lab.reference import frames as reference
from attnchain_ros.lab.reference.frames import Told

NUMBERS = st.floats(-3, 3, allow_nan=False)


@st.composite
def poses(draw: st.DrawFn) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec([draw(NUMBERS) for _ in range(3)]).as_matrix()
    pose[:3, 3] = [draw(NUMBERS) for _ in range(3)]
    return pose


@settings(max_examples=40, deadline=None)
@given(st.lists(poses(), min_size=3, max_size=6), st.integers(0, 5), st.integers(0, 5))
def test_a_chain_is_the_product_of_its_links_and_back_is_the_inverse(chain: list[np.ndarray], one: int, two: int):
    buffer = FrameBuffer()
    world = [np.eye(4)]
    for number, pose in enumerate(chain):
        buffer.add(f"f{number}", f"f{number + 1}", 5, pose, static=bool(number % 2))
        world.append(world[-1] @ pose)
    one, two = min(one, len(chain)), min(two, len(chain))
    found = buffer.look_up(f"f{one}", f"f{two}", 5)
    np.testing.assert_allclose(found, np.linalg.inv(world[one]) @ world[two], atol=1e-9)
    np.testing.assert_allclose(found @ buffer.look_up(f"f{two}", f"f{one}", 5), np.eye(4), atol=1e-9)
    assert np.linalg.det(found[:3, :3]) == pytest.approx(1.0)


@settings(max_examples=40, deadline=None)
@given(poses(), poses(), st.floats(0, 1))
def test_between_samples_turns_go_the_shortest_way_and_stay_rigid(one: np.ndarray, two: np.ndarray, share: float):
    found = interpolate(one, two, share)
    turns = Rotation.from_matrix([one[:3, :3], two[:3, :3]])
    if (turns[0].inv() * turns[1]).magnitude() < 3.1:  # half a turn has two shortest ways
        np.testing.assert_allclose(found[:3, :3], Slerp([0, 1], turns)(share).as_matrix(), atol=1e-6)
    assert np.linalg.det(found[:3, :3]) == pytest.approx(1.0)
    np.testing.assert_allclose(found[:3, 3], one[:3, 3] + share * (two[:3, 3] - one[:3, 3]), atol=1e-9)


MOMENTS = (0, 40, 100, 101, 137, 145, 199, 200, 299, 300, 301, 400)
NAMES = ("map", "odom", "base", "camera", "optical", "arm", "hand", "far", "sea")


def tree(seed: int) -> list[Told]:
    """What a robot tells, in the order of arrival: turns that wrap around, late samples, static links, two trees."""
    rng = np.random.default_rng(seed)
    told = []
    for parent, child, stamps in (
        ("map", "odom", (100, 300)), ("odom", "base", (200, 100, 300, 250)), ("base", "camera", ()),
        ("camera", "optical", ()), ("base", "arm", (150, 140)), ("arm", "hand", ()), ("sea", "far", (100, 300)),
    ):  # fmt: skip
        for stamp in stamps or (0,):
            turn = Rotation.from_rotvec(rng.normal(0, 2, 3)).as_quat() * rng.choice((-1, 1))
            told.append(Told(parent, child, stamp, rng.uniform(-5, 5, 3), turn, static=not stamps))
    return told


def kept(told: list[Told]) -> FrameBuffer:
    buffer = FrameBuffer()
    for one in told:
        x, y, z, w = (float(number) for number in one.turn)
        pose = rigid_pose(tuple(one.place.tolist()), (x, y, z, w))
        buffer.add(one.parent, one.child, one.stamp_ns, pose, static=one.static)
    return buffer


@pytest.mark.parametrize("seed", range(8))
def test_every_pair_of_frames_at_every_moment_as_its_twin_has_it(seed: int):
    told = tree(seed)
    buffer = kept(told)
    known = unknown = 0
    for target in NAMES:
        for source in NAMES:
            for moment in MOMENTS:
                wanted = reference.look_up(told, target, source, moment)
                if wanted is None:
                    with pytest.raises(LookupFailure):
                        buffer.look_up(target, source, moment)
                    unknown += 1
                else:
                    np.testing.assert_allclose(buffer.look_up(target, source, moment), wanted, atol=1e-9)
                    known += 1
    assert known > 250 and unknown > 250


@pytest.mark.parametrize("seed", range(3))
def test_every_pair_of_frames_at_every_moment_as_tf2_has_it(seed: int):
    tf2_ros = pytest.importorskip("tf2_ros", reason="tf2_ros comes with a ROS 2 distribution")
    from geometry_msgs.msg import TransformStamped
    from rclpy.duration import Duration
    from rclpy.time import Time

    told = tree(seed)
    buffer = kept(told)
    theirs = tf2_ros.Buffer(cache_time=Duration(seconds=60))
    for one in told:
        message = TransformStamped()
        message.header.frame_id, message.child_frame_id = one.parent, one.child
        message.header.stamp.nanosec = one.stamp_ns
        to = message.transform
        to.translation.x, to.translation.y, to.translation.z = one.place.tolist()
        to.rotation.x, to.rotation.y, to.rotation.z, to.rotation.w = one.turn.tolist()
        (theirs.set_transform_static if one.static else theirs.set_transform)(message, "test")
    for target in NAMES:
        for source in NAMES:
            for moment in MOMENTS[1:]:  # of tf2 0 asks for the newest
                try:
                    found = theirs.lookup_transform_core(target, source, Time(nanoseconds=moment)).transform
                except tf2_ros.TransformException:
                    with pytest.raises(LookupFailure):
                        buffer.look_up(target, source, moment)
                    continue
                place, turn = found.translation, found.rotation
                wanted = rigid_pose((place.x, place.y, place.z), (turn.x, turn.y, turn.z, turn.w))
                np.testing.assert_allclose(buffer.look_up(target, source, moment), wanted, atol=1e-6)


def shifted(x: float) -> np.ndarray:
    pose = np.eye(4)
    pose[0, 3] = x
    return pose


def test_samples_in_the_wrong_order_are_put_right_and_siblings_meet_at_their_parent():
    buffer = FrameBuffer()
    for stamp, x in ((300, 3.0), (100, 1.0), (200, 2.0)):
        buffer.add("/odom", "base", stamp, shifted(x))
    buffer.add("base", "camera", 0, shifted(10), static=True)
    buffer.add("base", "lidar", 0, shifted(4), static=True)
    assert buffer.look_up("odom", "camera", 150)[0, 3] == pytest.approx(11.5)
    assert buffer.look_up("odom", "camera", 300)[0, 3] == pytest.approx(13)
    assert buffer.look_up("lidar", "camera", 10**15)[0, 3] == pytest.approx(6)  # static chains hold at any time
    np.testing.assert_allclose(buffer.look_up("x", "x", 7), np.eye(4))


@pytest.mark.parametrize(
    ("target", "source", "stamp", "cause", "text"),
    [
        ("map", "base", 150, "unknown", "TF has no frame 'map'; it has base, far, odom, sea"),
        ("far", "base", 150, "not_connected", "are not connected"),
        ("odom", "base", 99, "too_old", "known from 0.000 s"),
        ("odom", "base", 301_000_000, "too_new", "(0.301 s later)"),
    ],
)
def test_what_is_not_known_is_said(target: str, source: str, stamp: int, cause: str, text: str):
    buffer = FrameBuffer()
    for when in (100, 200):
        buffer.add("odom", "base", when, shifted(1))
    buffer.add("sea", "far", 0, shifted(1), static=True)
    with pytest.raises(LookupFailure) as caught:
        buffer.look_up(target, source, stamp)
    assert caught.value.cause == cause and text in str(caught.value)


def test_history_is_bounded_and_a_clock_that_begins_anew_forgets():
    buffer = FrameBuffer()
    for number in range(500):
        buffer.add("odom", "base", int(number * 1e9), shifted(number))
    with pytest.raises(LookupFailure, match="known from"):
        buffer.look_up("odom", "base", int((500 - HISTORY_S - 70) * 1e9))
    assert buffer.look_up("odom", "base", int(480.5e9))[0, 3] == pytest.approx(480.5)
    buffer.add("odom", "base", int(1e9), shifted(7))
    assert buffer.look_up("odom", "base", int(1e9))[0, 3] == 7
    with pytest.raises(LookupFailure):
        buffer.look_up("odom", "base", int(480.5e9))


def test_what_is_no_transform_is_counted_and_changes_nothing():
    buffer = FrameBuffer()
    buffer.add("odom", "base", 1, shifted(1))
    buffer.add("odom", "base", 1, 2 * np.eye(4))
    buffer.add("odom", "base", 1, rigid_pose((0, 0, 0), (0, 0, 0, 0)))
    buffer.add("odom", "base", 1, rigid_pose((np.nan, 0, 0), (0, 0, 0, 1)))
    buffer.add("base", "base", 1, np.eye(4))
    assert buffer.refused == 4
    assert buffer.look_up("odom", "base", 1)[0, 3] == 1


def test_rings_end():
    buffer = FrameBuffer()
    buffer.add("a", "b", 1, shifted(1), static=True)
    buffer.add("b", "a", 1, shifted(1), static=True)
    assert np.isfinite(buffer.look_up("a", "b", 1)).all()
    with pytest.raises(LookupFailure):
        buffer.look_up("a", "c", 1)


def test_waiting_ends_with_the_sample_with_the_time_or_at_once():
    buffer = FrameBuffer()
    buffer.add("odom", "base", 100, shifted(1))
    late = threading.Timer(0.1, lambda: buffer.add("odom", "base", 200, shifted(2)))
    late.start()
    assert buffer.wait_for("odom", "base", 150, 10.0)[0, 3] == pytest.approx(1.5)
    late.join()
    with pytest.raises(LookupFailure, match="known up to"):
        buffer.wait_for("odom", "base", 300, 0.05)
    started = time.monotonic()
    with pytest.raises(LookupFailure, match="known from"):
        buffer.wait_for("odom", "base", 50, 30.0)
    assert time.monotonic() - started < 5.0


def test_a_quaternion_becomes_its_rotation():
    pose = rigid_pose((1, 2, 3), (0, 0, np.sqrt(0.5), np.sqrt(0.5)))
    np.testing.assert_allclose(pose @ [1, 0, 0, 1], [1, 3, 3, 1], atol=1e-12)
    np.testing.assert_allclose(invert_pose(pose) @ pose, np.eye(4), atol=1e-12)
