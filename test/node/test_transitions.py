"""The node in this process, so that its insides can be looked at: what transitions leave behind, and when they fail."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
from node.hand_made import BAD_LUCK, HandMadeEngine, make_result
from node.ros_harness import DOMAIN, image_message, mask_message
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock

from attnchain_ros.node import lifecycle
from attnchain_ros.node.inputs import Inputs
from attnchain_ros.node.lifecycle import AttnChainNode
from attnchain_ros.node.outputs import Outputs
from attnchain_ros.node.parameters import TABLE
from attnchain_ros.node.session import Session
from attnchain_ros.node.statistics import memory_mb
from attnchain_ros.srv import SaveMesh

pytestmark = pytest.mark.ros

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
STEP_NS = 50_000_000
BASE = {"autostart": False, "frames": 4, "queue_size": 16, "overflow_policy": "block", "watchdog_s": 0.0}


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 120.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.002)


@pytest.fixture
def context() -> Iterator[Context]:
    found = Context()
    found.init(domain_id=DOMAIN)
    yield found
    found.try_shutdown()


@pytest.fixture
def make(context: Context) -> Iterator[Callable[..., AttnChainNode]]:
    nodes: list[AttnChainNode] = []

    def build(**parameters: object) -> AttnChainNode:
        overrides = [Parameter(name, value=value) for name, value in {**BASE, **parameters}.items()]
        nodes.append(AttnChainNode(HandMadeEngine, context=context, parameter_overrides=overrides))
        return nodes[-1]

    yield build
    for node in nodes:
        node.end()
        node.destroy_node()


def feed(node: AttnChainNode, first: int, count: int, **options: object) -> None:
    session = node.session
    assert session is not None
    for number in range(first, first + count):
        stamp = 10**9 + number * STEP_NS
        session.inputs.mask.callback(mask_message(stamp))
        session.inputs.image.callback(image_message(stamp, **options))


def windows(node: AttnChainNode) -> int:
    session = node.session
    assert session is not None
    return session.statistics.snapshot(0.0).windows


def test_parameters_have_the_values_of_the_table(make):
    node = make()
    for name, spec in TABLE.items():
        value = node.get_parameter(name).value
        assert value == BASE.get(name, spec.default) and type(value) is type(spec.default), name


def test_fifty_rounds_leave_nothing_behind(make):
    node = make()

    def left_over() -> tuple[int, ...]:
        # TF's topic is only known to the graph as long as someone publishes it.
        return (
            len(list(node.publishers)),
            len(list(node.subscriptions)),
            len(list(node.timers)),
            len(list(node.services)),
            len(node._parameters),
            threading.active_count(),
        )

    fresh, sizes, configured = left_over(), [], set()
    for turn in range(50):
        assert node.trigger_configure() == SUCCESS
        assert node.trigger_activate() == SUCCESS
        configured.add(left_over())
        feed(node, 0, 4)
        wait_until(lambda: windows(node) == 1, f"a window in turn {turn}")
        if turn % 2:
            feed(node, 4, 2)  # frames that still wait
        assert node.trigger_deactivate() == SUCCESS
        assert node.trigger_cleanup() == SUCCESS
        assert node.session is None
        gc.collect()
        sizes.append(memory_mb()["resident"])
        if turn == 0:
            fresh = (*fresh[:4], len(node._parameters), fresh[5])  # overrides of QoS stay declared, once
        assert left_over() == fresh
    assert len(configured) == 1, "every round is like the first"
    # Seen from the tenth to the fiftieth round: 0.04 MB. A leaked session would leave its frames, buffers and threads.
    assert sizes[-1] - sizes[9] < 4.0, sizes


def test_shutdown_works_from_every_state(make):
    for steps in ((), ("configure",), ("configure", "activate"), ("configure", "activate", "deactivate")):
        node = make()
        before = len(list(node.publishers)), threading.active_count()
        for step in steps:
            assert getattr(node, f"trigger_{step}")() == SUCCESS
        assert node.trigger_shutdown() == SUCCESS
        assert node.session is None and (len(list(node.publishers)), threading.active_count()) == before


def test_a_failing_activation_says_why_and_is_undone(make, monkeypatch: pytest.MonkeyPatch, capfd):
    node = make()
    assert node.trigger_configure() == SUCCESS
    subscribe = Inputs.subscribe

    def half(inputs: Inputs) -> None:
        subscribe(inputs)
        raise OSError("the network is gone")

    monkeypatch.setattr(Inputs, "subscribe", half)
    assert node.trigger_activate() == FAILURE
    assert list(node.subscriptions) == []
    text = capfd.readouterr().err
    assert "activate failed: OSError: the network is gone" in text and "Traceback" in text
    monkeypatch.undo()
    assert node.trigger_activate() == SUCCESS
    feed(node, 0, 4)
    wait_until(lambda: windows(node) == 1, "a window after all")


def test_a_failing_deactivation_cleans_up_and_says_why(make, monkeypatch: pytest.MonkeyPatch, capfd):
    node = make()
    before = len(list(node.publishers)), threading.active_count()
    assert node.trigger_configure() == SUCCESS and node.trigger_activate() == SUCCESS

    def fail(session: Session) -> None:
        raise ZeroDivisionError("nobody foresaw this")

    monkeypatch.setattr(Session, "deactivate", fail)
    assert node.trigger_deactivate() != SUCCESS
    text = capfd.readouterr().err
    assert "deactivate failed: ZeroDivisionError: nobody foresaw this" in text and "Traceback" in text
    assert node.session is None and list(node.subscriptions) == []
    assert (len(list(node.publishers)), threading.active_count()) == before
    monkeypatch.undo()
    assert node.trigger_configure() == SUCCESS and node.trigger_activate() == SUCCESS


def test_a_configure_that_fails_late_leaves_no_publishers_and_no_thread(make, monkeypatch: pytest.MonkeyPatch):
    node = make()
    before = len(list(node.publishers)), threading.active_count()

    def fail(*arguments: object, **options: object) -> None:
        raise OSError("no inputs")

    monkeypatch.setattr(Inputs, "__init__", fail)
    assert node.trigger_configure() == FAILURE
    assert (len(list(node.publishers)), threading.active_count()) == before


def test_an_impossible_override_of_qos_fails_configure_and_leaves_nothing(make, capfd):
    node = make(**{"qos_overrides./attnchain_node/tracks.publisher.reliability": "perhaps"})
    before = len(list(node.publishers)), threading.active_count()
    for _ in range(2):
        assert node.trigger_configure() == FAILURE
        assert (len(list(node.publishers)), threading.active_count()) == before
    text = capfd.readouterr().err
    assert "configure failed: RuntimeError: Unexpected QoS override for policy `reliability`: `perhaps`" in text


def test_accounts_are_told_when_the_session_ends(make, capfd):
    node = make(overflow_policy="adaptive")
    assert node.trigger_configure() == SUCCESS and node.trigger_activate() == SUCCESS
    feed(node, 0, 4)
    wait_until(lambda: windows(node) == 1, "a window")
    feed(node, 4, 2)
    node.session.streams.reset("service")
    feed(node, 20, 4, first_pixel=BAD_LUCK)
    wait_until(lambda: node.session.statistics.snapshot(0.0).failed_windows == 1, "the failed window")
    feed(node, 30, 1)
    assert node.trigger_deactivate() == SUCCESS and node.trigger_cleanup() == SUCCESS
    assert (
        "frames: 11 in = 4 used + 7 dropped (reset_deactivated 1, reset_service 2, window_error 4)"
        in capfd.readouterr().err
    )


@pytest.fixture
def spinning(context: Context) -> Iterator[Callable[[AttnChainNode], None]]:
    executor = MultiThreadedExecutor(num_threads=4, context=context)
    stop = threading.Event()

    def turn() -> None:
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.05)

    thread = threading.Thread(target=turn, daemon=True)

    def spin(node: AttnChainNode) -> None:
        executor.add_node(node)
        thread.start()

    yield spin
    stop.set()
    thread.join(10)
    executor.shutdown(timeout_sec=5)


def test_a_clock_that_jumps_back_resets_once(make, context: Context, spinning, capfd):
    node = make(use_sim_time=True, overflow_policy="adaptive")
    assert node.trigger_configure() == SUCCESS and node.trigger_activate() == SUCCESS
    client = rclpy.create_node("clock", context=context)
    publisher = client.create_publisher(Clock, "/clock", 10)
    spinning(node)

    def set_clock(stamp_ns: int) -> None:
        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(stamp_ns, 10**9)

        def arrived() -> bool:
            publisher.publish(message)
            return node.get_clock().now().nanoseconds == stamp_ns

        wait_until(arrived, f"the clock shows {stamp_ns}")

    buffer = node.session.streams
    set_clock(10**9 + 3 * STEP_NS)
    feed(node, 0, 4)
    wait_until(lambda: windows(node) == 1, "the first pass")
    feed(node, 4, 1)
    set_clock(10**9 + 60 * STEP_NS)  # forwards: the stamps tell gaps
    assert buffer.accounts().resets == {"activated": 1}
    set_clock(10**9)  # the bag starts again
    wait_until(lambda: buffer.accounts().resets == {"activated": 1, "clock_jump": 1}, "the reset")
    assert buffer.accounts().dropped == {"reset_clock_jump": 1}
    feed(node, 0, 4)
    wait_until(lambda: windows(node) == 2, "the second pass")
    assert node.session.tracks[0].latest.index == 0 and not node.session.tracks[0].latest.shared_first
    assert buffer.accounts().resets == {"activated": 1, "clock_jump": 1}, "the images' own jump is the same one"
    assert "the clock jumped by -3.000 s" in capfd.readouterr().err
    feed(node, -9, 4)  # the images jump first, then the clock
    set_clock(10**9 - 6 * STEP_NS)
    assert buffer.accounts().resets == {"activated": 1, "clock_jump": 1, "stamp_back": 1}
    client.destroy_node()


def test_a_program_that_ends_waits_for_a_file_being_written(make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    node = make(output_dir=str(tmp_path))
    assert node.trigger_configure() == SUCCESS
    node.session.tracks[0].latest = make_result(np.array([10**9, 2 * 10**9]))
    begun, save = threading.Event(), lifecycle.save_result

    def slow(*arguments: object, **options: object) -> Path:
        begun.set()
        time.sleep(0.3)
        return save(*arguments, **options)

    monkeypatch.setattr(lifecycle, "save_result", slow)
    request = SaveMesh.Request(path="mesh.glb")
    writer = threading.Thread(target=node._on_save_mesh, args=(request, SaveMesh.Response()))
    writer.start()
    assert begun.wait(10)
    assert node.end()
    assert [path.name for path in tmp_path.iterdir()] == ["mesh.glb"]
    writer.join(10)


def test_outputs_can_be_destroyed_while_they_are_looked_after(make, monkeypatch: pytest.MonkeyPatch):
    node = make()
    assert node.trigger_configure() == SUCCESS and node.trigger_activate() == SUCCESS
    session = node.session
    entered, go_on, late = threading.Event(), threading.Event(), Outputs.serve_late

    def slow(outputs: Outputs) -> None:
        entered.set()
        go_on.wait(10)
        late(outputs)

    monkeypatch.setattr(Outputs, "serve_late", slow)
    timer = threading.Thread(target=session.look_after)
    timer.start()
    assert entered.wait(10)
    assert node.trigger_deactivate() == SUCCESS
    cleaning = threading.Thread(target=node.trigger_cleanup)
    cleaning.start()
    cleaning.join(0.2)
    assert cleaning.is_alive(), "the publishers stay until the timer is done"
    go_on.set()
    timer.join(10)
    cleaning.join(10)
    session.look_after()  # afterwards there is nothing to look after
