"""The worker's thread: failures are skipped, resets void, memory is tried twice, stopping is quick."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from node.hand_made import ALWAYS_NO_MEMORY, BAD_LUCK, NO_MEMORY, HandMadeEngine

from attnchain_ros.errors import MaskError
from attnchain_ros.node.anchoring import NewAnchor
from attnchain_ros.node.finisher import Finisher
from attnchain_ros.node.parameters import NodeSettings, change
from attnchain_ros.node.statistics import Statistics
from attnchain_ros.node.worker import Work, Worker, is_out_of_memory
from attnchain_ros.notes import Note
from attnchain_ros.rollout.window import Window, WindowResult
from attnchain_ros.stream.buffer import Batch
from attnchain_ros.stream.config import StreamConfig
from attnchain_ros.stream.frame import Frame, IdImage
from attnchain_ros.stream.several import Hooks, Member, ObjectStreams

MASK = np.ones((4, 6), bool)


def wait_until(condition: Callable[[], bool], timeout_s: float = 120.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)


class Bench:
    """A worker with everything around it, without ROS."""

    def __init__(
        self, seconds: float = 0.0, publish_fault: Exception | None = None, finisher: Finisher | None = None
    ) -> None:
        hooks = Hooks(ready=lambda: self.worker.wake())
        self.streams = ObjectStreams(StreamConfig(queue_size=16), 4, hooks=hooks)
        self.member = self.streams.members[0]
        self.buffer = self.member.stream.buffer
        self.statistics = Statistics()
        self.results: list[WindowResult] = []
        self.publish_fault = publish_fault
        self.doubt = False
        self.threads: set[int] = set()
        self.seconds = seconds
        work = Work(self._assemble, self._publish)
        self.worker = Worker(self.streams, self._make, work, self.statistics, finisher=finisher)
        self.engine = self.worker.start().result(10)
        self.worker.set_running(True)
        self.next = 0

    def _make(self) -> HandMadeEngine:
        self.threads.add(threading.get_ident())
        return HandMadeEngine(NodeSettings(), self.seconds)

    def _assemble(self, member: Member, batch: Batch) -> Window:
        return Window(
            images=np.stack([frame.image for frame in batch.frames]),
            masks=np.stack([frame.mask for frame in batch.frames]),
            stamps_ns=np.array([frame.stamp_ns for frame in batch.frames]),
        )

    def _publish(self, member: Member, batch: Batch, window: Window, result: WindowResult) -> WindowResult:
        self.threads.add(threading.get_ident())
        if self.publish_fault is not None:
            raise self.publish_fault
        if self.doubt:
            result = dataclasses.replace(result, notes=(Note("poses_doubtful", "wrong side"),))
        self.results.append(result)
        return result

    def send(self, count: int, order: int = 0) -> None:
        for _ in range(count):
            self.next += 1
            image = np.full((4, 6, 3), order, np.uint8)
            self.buffer.push(Frame(image, MASK, self.next * 10**8, arrived_s=time.monotonic()))

    def settled(self) -> bool:
        found = self.buffer.accounts()
        assert found.received == found.used + sum(found.dropped.values()) + found.in_flight + found.waiting
        return found.in_flight == 0

    def figures(self):
        return self.statistics.snapshot(time.monotonic())


@pytest.fixture
def bench(request):
    benches: list[Bench] = []

    def make(**options) -> Bench:
        benches.append(Bench(**options))
        return benches[-1]

    yield make
    for item in benches:
        item.worker.stop(5.0)


def test_windows_are_computed_in_order_in_one_thread(bench):
    found = bench()
    found.send(4)
    wait_until(lambda: len(found.results) == 1)
    found.send(3)
    wait_until(lambda: len(found.results) == 2 and found.settled())
    assert [result.index for result in found.results] == [0, 1]
    assert [result.shared_first for result in found.results] == [False, True]
    assert len(found.threads) == 1 and threading.get_ident() not in found.threads
    assert found.buffer.accounts().used == 7
    figures = found.figures()
    assert figures.windows == 2 and figures.failed_windows == 0 and figures.delay_p95_s >= figures.window_p50_s > 0


def test_a_failed_window_is_counted_and_the_chain_starts_anew(bench):
    found = bench()
    found.send(4, BAD_LUCK)
    wait_until(lambda: found.figures().failed_windows == 1 and found.settled())
    assert found.buffer.accounts().dropped == {"window_error": 4}
    assert found.figures().last_error == "MaskError: all masks are empty"
    resets = found.engine.resets
    found.send(4)
    wait_until(lambda: len(found.results) == 1)
    assert found.engine.resets == resets + 1 and not found.results[0].shared_first


def test_a_chain_that_stays_doubtful_starts_anew(bench):
    found = bench()
    found.worker.configure(change(NodeSettings(), {"restart_doubtful": 2, "frames": 4}))
    found.doubt = True
    resets = found.engine.resets
    for number, count in enumerate((4, 3, 4, 3, 3, 3, 4)):
        found.send(count)
        wait_until(lambda expected=number + 1: len(found.results) == expected and found.settled())
    assert [result.shared_first for result in found.results] == [False, True, False, True, True, True, False]
    assert found.engine.resets == resets + 3
    accounts = found.buffer.accounts()
    assert accounts.resets["doubtful"] == 2 and accounts.used == accounts.received == 24


def test_out_of_memory_is_tried_once_more(bench):
    found = bench()
    found.send(4, NO_MEMORY)
    wait_until(lambda: len(found.results) == 1)
    assert found.engine.saved_memory == 1 and found.figures().failed_windows == 0
    assert "out of memory" in found.figures().last_error
    found.send(3, ALWAYS_NO_MEMORY)  # the shared frame is a good one
    wait_until(lambda: len(found.results) == 2)
    found.send(3)  # and this window starts with a bad one
    wait_until(lambda: found.figures().failed_windows == 1)
    assert found.engine.saved_memory == 2


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: Out of memory"), True),
        (RuntimeError("shapes differ"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: Exception, expected: bool):
    assert is_out_of_memory(error) is expected


def test_a_reset_cancels_the_window_under_way(bench):
    found = bench(seconds=600)
    found.send(4)
    wait_until(lambda: found.engine.in_window.is_set())
    found.buffer.reset("service")
    wait_until(found.settled)
    assert found.buffer.accounts().dropped == {"cancelled": 4} and not found.results


def test_stopping_inside_a_window_is_quick(bench):
    found = bench(seconds=600)
    found.send(4)
    wait_until(lambda: found.engine.in_window.is_set())
    started = time.monotonic()
    assert found.worker.stop(5.0)
    assert time.monotonic() - started < 2.0


def test_pausing_takes_no_more_windows(bench):
    found = bench()
    found.worker.set_running(False)
    found.send(8)
    found.worker.wake()
    found.worker.set_running(True)
    wait_until(lambda: len(found.results) == 1)


def test_settings_are_taken_over_between_windows(bench):
    found = bench()
    found.send(4)
    wait_until(lambda: len(found.results) == 1)
    settings = change(NodeSettings(), {"frames": 3, "queue_size": 16, "sampling.steps": 2})
    found.worker.configure(settings)
    wait_until(lambda: len(found.engine.configs) == 1)
    found.send(2)
    wait_until(lambda: len(found.results) == 2)
    assert found.results[1].frames == 3 and found.engine.configs[0].sampling.steps == 2


def test_another_anchor_waits_for_the_next_chain(bench):
    found = bench()
    found.send(4)
    wait_until(lambda: len(found.results) == 1)
    found.worker.take_anchor(found.member, NewAnchor(None, 0.5))
    found.send(3)
    wait_until(lambda: len(found.results) == 2)
    assert found.engine.anchors == [] and found.results[1].index == 1, "the chain under way keeps its own"
    found.buffer.reset("anchor")
    found.send(4)
    wait_until(lambda: len(found.results) == 3)
    assert found.engine.anchors == [NewAnchor(None, 0.5)] and found.results[2].index == 0
    found.buffer.reset("service")
    found.send(4)
    wait_until(lambda: len(found.results) == 4)
    assert len(found.engine.anchors) == 1, "taken once"


def test_a_fault_in_publishing_is_reported_and_does_not_break_the_chain(bench):
    found = bench(publish_fault=OSError("no network"))
    found.send(4)
    wait_until(lambda: found.figures().failed_windows == 1 and found.settled())
    assert found.buffer.accounts().used == 4
    assert found.figures().last_error == "publishing: OSError: no network"
    found.publish_fault = None
    found.send(3)
    wait_until(lambda: len(found.results) == 1)
    assert found.results[0].index == 1


class Costly(HandMadeEngine):
    """Takes so many seconds of a clock that only goes on where it computes: ten times as long for object 7."""

    now_s = 0.0
    order: list[int]

    def beside(self, object_id: int) -> Costly:
        found = Costly(self.settings)
        found.object_id, found.root = object_id, self
        return found

    def run(self, window: Window, *more) -> WindowResult:
        self.root.now_s += 10.0 if self.object_id == 7 else 1.0
        self.root.order.append(self.object_id)
        return super().run(window, *more)


def test_of_several_objects_the_least_served_is_next_and_nobody_starves():
    root = Costly(NodeSettings())
    root.order = []
    config = StreamConfig(queue_size=400, max_objects=3, overflow_policy="block", max_gap_s=0.0)
    streams = ObjectStreams(config, 4)
    ids = np.zeros((12, 18), np.uint8)
    ids[:, :6], ids[:, 6:12], ids[:, 12:] = 3, 7, 9
    for number in range(1, 302):
        streams.take_in(IdImage(ids, number * 10**8))
        streams.take_in(Frame(np.zeros((12, 18, 3), np.uint8), None, number * 10**8))
    results: list[tuple[int, WindowResult]] = []

    def publish(member: Member, batch: Batch, window: Window, result: WindowResult) -> WindowResult:
        results.append((member.object_id, result))
        return result

    work = Work(lambda member, batch: member.stream.assemble(batch), publish)
    worker = Worker(streams, lambda: root, work, Statistics(), clock=lambda: root.now_s)
    worker.start().result(10)
    worker.set_running(True)
    wait_until(lambda: len(results) == 300)
    worker.stop(5.0)
    # While all three have something to compute each gets its third of the time, in turns.
    busy = root.order[: root.order.index(7, 40)]
    seconds = {one: busy.count(one) * (10.0 if one == 7 else 1.0) for one in (3, 7, 9)}
    assert max(seconds.values()) - min(seconds.values()) <= 20.0, seconds
    assert busy.count(3) >= 9 * (busy.count(7) - 1)
    for one in (3, 7, 9):
        assert [result.index for object_id, result in results if object_id == one] == list(range(100))
    found = streams.accounts()
    assert found.used == found.received == 903 and not found.dropped


def test_an_engine_that_cannot_be_built_tells_why():
    def fail() -> HandMadeEngine:
        raise FileNotFoundError("no weights")

    streams = ObjectStreams(StreamConfig(queue_size=16), 4)
    worker = Worker(streams, fail, Work(lambda *all: None, lambda *all: None), Statistics())
    with pytest.raises(FileNotFoundError, match="no weights"):
        worker.start().result(10)
    wait_until(lambda: not worker.alive)


def two_windows(bench: Callable[..., Bench]) -> Bench:
    """One window at the finisher, which may not go on, and the next one waiting for it."""
    found = bench(finisher=Finisher())
    found.engine.may_finish.clear()
    found.send(4)
    wait_until(found.engine.finishing.is_set)
    found.send(3)
    wait_until(lambda: len(found.engine.windows) == 2)
    return found


def test_the_next_window_is_computed_before_the_last_one_is_finished(bench):
    found = two_windows(bench)
    assert not found.results and found.buffer.accounts().in_flight == 7
    found.engine.may_finish.set()
    found.send(3)
    wait_until(lambda: len(found.results) == 3 and found.settled())
    assert [result.index for result in found.results] == [0, 1, 2] and found.buffer.accounts().used == 10
    assert len(found.threads) == 2, "windows are published in the finisher's thread, engines made in the worker's"


def test_a_window_that_fails_at_the_finisher_takes_the_one_that_went_on_from_it_along(bench):
    found = two_windows(bench)
    resets = found.engine.resets
    found.engine.faults = [MaskError("no pose at all")]
    found.engine.may_finish.set()
    wait_until(found.settled)
    assert found.buffer.accounts().dropped == {"window_error": 4, "cancelled": 3}
    assert not found.results and found.figures().last_error == "MaskError: no pose at all"
    found.send(4)
    wait_until(lambda: len(found.results) == 1)
    assert found.engine.resets == resets + 1 and (found.results[0].index, found.results[0].shared_first) == (0, False)


def test_a_host_without_memory_makes_a_result_once_more(bench):
    found = two_windows(bench)
    found.engine.faults = [MemoryError()]
    found.engine.may_finish.set()
    wait_until(lambda: len(found.results) == 2 and found.settled())
    assert found.figures().failed_windows == 0 and "MemoryError" in found.figures().last_error
    found.engine.faults = [MemoryError(), MemoryError()]
    found.send(3)
    wait_until(lambda: found.figures().failed_windows == 1 and found.settled())
    assert found.buffer.accounts().dropped == {"window_error": 3}


def test_out_of_memory_beside_the_finisher_is_tried_once_more(bench):
    found = bench(finisher=Finisher())
    found.send(4, NO_MEMORY)
    wait_until(lambda: len(found.results) == 1)
    found.send(3)
    wait_until(lambda: len(found.results) == 2)
    assert found.engine.saved_memory == 1 and [result.index for result in found.results] == [0, 1]


def test_a_reset_voids_what_is_computed_and_what_is_finished(bench):
    found = two_windows(bench)
    found.buffer.reset("service")
    wait_until(found.settled)
    assert found.buffer.accounts().dropped == {"cancelled": 7} and not found.results
    found.engine.may_finish.set()
    found.send(4)
    wait_until(lambda: len(found.results) == 1)
    assert (found.results[0].index, found.results[0].shared_first) == (0, False)


def test_stopping_ends_both_threads(bench):
    found = two_windows(bench)
    before = {thread.name for thread in threading.enumerate()}
    assert "attnchain-finisher" in before
    assert found.worker.stop(5.0)
    wait_until(lambda: not {"attnchain-finisher", "attnchain-worker"} & {t.name for t in threading.enumerate()})
    assert found.buffer.accounts().in_flight == 0 and not found.results
