"""A stream for each object: the same batches as for one alone, whoever comes and goes, and all frames accounted for."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnchain_ros.errors import ConfigError
from attnchain_ros.stream.accounts import Accounts
from attnchain_ros.stream.buffer import Batch, FrameBuffer
from attnchain_ros.stream.camera import CameraNumbers
from attnchain_ros.stream.config import StreamConfig
from attnchain_ros.stream.frame import Calibration, DepthImage, Frame, IdImage, Refused
from attnchain_ros.stream.several import Hooks, Member, ObjectStreams
from attnchain_ros.stream.stream import Stream

STEP = 10**8
SIZE = (12, 16)
PLACES = {3: (slice(0, 5), slice(0, 6)), 7: (slice(6, 12), slice(8, 16)), 9: (slice(0, 5), slice(10, 16))}
FRAMES = 4


def ids_image(*ids: int) -> np.ndarray:
    found = np.zeros(SIZE, np.uint8)
    for one in ids:
        found[PLACES[one]] = one
    return found


def frame_at(number: int) -> Frame:
    return Frame(np.full((*SIZE, 3), number % 250, np.uint8), None, number * STEP, frame_id="camera")


def config_for(**options: object) -> StreamConfig:
    return StreamConfig(**{"max_objects": 2, "max_missing_s": 0.5, "queue_size": 16, "max_gap_s": 0.3, **options})


@dataclass
class Bench:
    """Streams, and whoever takes their batches."""

    config: StreamConfig = field(default_factory=config_for)
    admitted: list[Member] = field(default_factory=list)
    retired: list[Member] = field(default_factory=list)
    turned_away: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    batches: dict[int, list[Batch]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        hooks = Hooks(
            problem=lambda cause, text: self.problems.append(cause), admitted=self.admitted.append,
            retired=self.retired.append, turned_away=self.turned_away.extend,
        )  # fmt: skip
        self.streams = ObjectStreams(self.config, FRAMES, hooks=hooks, waits=False)

    def send(self, number: int, *ids: int, late: bool = False) -> None:
        mask = IdImage(ids_image(*ids), number * STEP)
        for event in (frame_at(number), mask) if late else (mask, frame_at(number)):
            self.streams.take_in(event)

    def compute(self) -> None:
        for member in self.streams.serving:
            for batch in iter(member.stream.buffer.take, None):
                self.batches.setdefault(member.object_id, []).append(batch)
                member.stream.buffer.finish(batch)
        self.streams.tidy()

    def stamps(self, object_id: int) -> list[list[int]]:
        return [[frame.stamp_ns // STEP for frame in batch.frames] for batch in self.batches.get(object_id, [])]


def balanced(found: Accounts) -> bool:
    return found.received == found.used + sum(found.dropped.values()) + found.in_flight + found.waiting


def test_one_object_is_the_stream_as_it_is():
    streams = ObjectStreams(StreamConfig(queue_size=16), FRAMES, only_id=5)
    assert not streams.several and [member.object_id for member in streams.members] == [5]
    frame = Frame(np.zeros((*SIZE, 3), np.uint8), np.ones(SIZE, bool), STEP)
    streams.take_in(frame)
    stream = streams.members[0].stream
    assert stream.buffer._segments[-1].ready[0] is frame, "not even a copy"
    assert streams.accounts() == stream.buffer.accounts() and streams.mask_wait() == stream.buffer.mask_wait()
    assert streams.find(0) is streams.find(5) is streams.members[0] and streams.find(6) is None
    assert streams.counts() == {} and streams.tidy() == ()


@pytest.mark.parametrize("late", [False, True])
def test_each_object_has_its_own_masks_and_the_pictures_are_shared(late: bool):
    bench = Bench()
    for number in range(1, 5):
        bench.send(number, 3, 7, late=late)
    bench.compute()
    assert bench.stamps(3) == bench.stamps(7) == [[1, 2, 3, 4]]
    for mine, other in zip(bench.batches[3][0].frames, bench.batches[7][0].frames, strict=True):
        assert mine.image is other.image and mine is not other
        np.testing.assert_array_equal(mine.mask, ids_image(3) == 3)
        np.testing.assert_array_equal(other.mask, ids_image(7) == 7)
    assert [member.object_id for member in bench.admitted] == [7, 3], "the largest first"
    assert balanced(bench.streams.accounts())


def batches_alone(config: StreamConfig, object_id: int, script: list[set[int]]) -> list[tuple[list[int], str | None]]:
    """What one object's masks alone give: frames before it came do not count."""
    stream, found = Stream(StreamConfig(queue_size=16, max_gap_s=config.max_gap_s), FRAMES, waits=False), []
    for number, ids in enumerate(script, 1):
        frame = frame_at(number)
        frame.mask = ids_image(*ids) == object_id
        stream.take_in(frame)
        for batch in iter(stream.buffer.take, None):
            found.append(([frame.stamp_ns for frame in batch.frames], batch.reset))
            stream.buffer.finish(batch)
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sets(st.sampled_from([3, 7])), min_size=1, max_size=40), st.booleans())
def test_an_object_gets_the_batches_that_it_would_get_alone(script: list[set[int]], late: bool):
    # Nobody is retired: an absence ends the chain, as it does alone.
    bench = Bench(config_for(max_missing_s=0.0))
    for number, ids in enumerate(script, 1):
        bench.send(number, *ids, late=late)
        bench.compute()
    for one in (3, 7):
        got = [([frame.stamp_ns for frame in batch.frames], batch.reset) for batch in bench.batches.get(one, [])]
        assert got == batches_alone(bench.config, one, script)
    assert balanced(bench.streams.accounts())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sets(st.sampled_from([3, 7, 9])), min_size=1, max_size=60),
    st.sampled_from(["adaptive", "drop_oldest", "block"]), st.integers(1, 9), st.booleans(),
)  # fmt: skip
def test_all_frames_are_accounted_for_whoever_comes_and_goes(
    script: list[set[int]], policy: str, every: int, late: bool
):
    bench = Bench(config_for(overflow_policy=policy))
    for number, ids in enumerate(script, 1):
        bench.send(number, *ids, late=late)
        if number % every == 0:
            bench.compute()
        everything = bench.streams.accounts()
        assert balanced(everything)
        assert all(balanced(member.stream.buffer.accounts()) for member in bench.admitted)
    bench.compute()
    counts = bench.streams.counts()
    assert counts["admitted"] - counts["retired"] == len(bench.streams.members) <= 2
    assert len(bench.admitted) == counts["admitted"] and len(bench.retired) == counts["retired"]
    assert not bench.streams._leaving, "what is retired leaves nothing behind"
    assert "mask_empty" not in bench.problems


def test_the_first_window_of_an_object_begins_with_the_image_of_its_first_mask_however_late_that_comes():
    bench = Bench(config_for(max_objects=3))
    for number in range(1, 4):
        bench.streams.take_in(frame_at(number))
    for number in range(1, 4):  # masks lag three images behind
        bench.streams.take_in(frame_at(number + 3))
        bench.streams.take_in(IdImage(ids_image(*((3,) if number < 2 else (3, 9))), number * STEP))
    for number in range(4, 7):
        bench.streams.take_in(IdImage(ids_image(3, 9), number * STEP))
    bench.compute()
    assert bench.stamps(3) == [[1, 2, 3, 4]] and bench.stamps(9) == [[2, 3, 4, 5]]


def test_images_without_any_object_are_counted_and_not_kept():
    bench = Bench()
    for number in range(1, 101):
        bench.send(number)
    found = bench.streams.accounts()
    assert found.received == 100 and found.dropped == {"no_object": 99} and found.waiting == 1
    for number in range(101, 201):  # and none without masks are kept beyond the queue
        bench.streams.take_in(frame_at(number))
    found = bench.streams.accounts()
    assert found.received == 200 and found.waiting == 16 and len(bench.streams._waiting) == 16 and balanced(found)
    bench.streams.take_in(Refused("damaged", frame=True))
    assert bench.streams.accounts().dropped["undecodable"] == 1


def test_a_window_under_way_of_an_object_that_is_retired_is_void_and_counted():
    bench = Bench()
    for number in range(1, 6):
        bench.send(number, 3)
    member = bench.streams.find(3)
    assert member is not None
    batch = member.stream.buffer.take()
    assert batch is not None and batch.generation == member.stream.buffer.generation
    for number in range(6, 12):
        bench.send(number, 7)
    assert bench.retired == [member] and batch.generation != member.stream.buffer.generation
    assert bench.streams.serving[0] is member and bench.streams.tidy() == (), "its window is still under way"
    member.stream.buffer.finish(batch, dropped="cancelled")
    found = member.stream.buffer.accounts()
    assert found.dropped["cancelled"] == 4 and found.dropped["retired"] == 1 and balanced(found)
    assert bench.streams.tidy() == (member,)
    everything = bench.streams.accounts()
    assert everything.dropped["cancelled"] == 4 and balanced(everything)


def test_with_policy_block_what_a_retired_object_left_is_still_computed():
    bench = Bench(config_for(overflow_policy="block"))
    for number in range(1, 7):
        bench.send(number, 3, 7)
    for number in range(7, 14):
        bench.send(number, 7)
        bench.compute()
    assert [one.object_id for one in bench.retired] == [3]
    assert bench.stamps(3) == [[1, 2, 3, 4], [4, 5, 6]]


def test_an_id_that_comes_again_is_another_member_with_a_chain_of_its_own():
    bench = Bench()
    for number in range(1, 6):
        bench.send(number, 3)
    for number in range(6, 13):
        bench.send(number, 7)
    for number in range(13, 18):
        bench.send(number, 3, 7)
    bench.compute()
    first, _, again = bench.admitted
    assert (first.object_id, again.object_id) == (3, 3) and first.number != again.number
    assert bench.batches[3][-1].reset == "start"
    assert bench.stamps(3)[-1] == [13, 14, 15, 16]


def test_who_finds_no_room_is_told_once_until_admitted():
    bench = Bench()
    for number in range(1, 5):
        bench.send(number, 3, 7, 9)
    assert bench.turned_away == [9]
    assert bench.streams.counts()["turned_away"] == 4


def test_edges_and_specks_are_no_objects():
    bench = Bench(config_for(max_objects=8))
    ids = ids_image(3)
    ids[5, 0:6] = 2  # a soft edge, a pixel wide
    ids[11, 15] = 9
    bench.streams.take_in(IdImage(ids, STEP))
    assert [member.object_id for member in bench.admitted] == [3]


def test_calibrations_and_depth_that_came_before_an_object_are_its_own_too():
    bench = Bench()
    k = (20.0, 0.0, 8.0, 0.0, 20.0, 6.0, 0.0, 0.0, 1.0)
    bench.streams.take_in(Calibration(CameraNumbers(16, 12, k, (0.0,) * 12, (), ""), STEP))
    bench.streams.take_in(DepthImage(np.ones(SIZE, np.float32), STEP, "camera"))
    bench.send(1, 3)
    assembler = bench.admitted[0].stream.assembler
    assert assembler.cameras.known and assembler.depths.nearest(STEP) is not None


def test_alpha_is_object_one():
    bench = Bench()
    for number in range(1, 5):
        frame = frame_at(number)
        frame.mask = ids_image(3) > 0
        bench.streams.take_in(frame)
    bench.compute()
    assert bench.stamps(1) == [[1, 2, 3, 4]]


def test_resets_are_for_one_or_for_all_and_ids_stay():
    bench = Bench()
    for number in range(1, 3):
        bench.send(number, 3, 7)
    assert bench.streams.reset("service", 7) and not bench.streams.reset("service", 9)
    left = {member.object_id: member.stream.buffer.accounts().waiting for member in bench.streams.members}
    assert left == {3: 2, 7: 0}
    bench.streams.reset("service")
    assert [member.object_id for member in bench.streams.members] == [7, 3]
    bench.streams.clear("deactivated")
    assert not bench.streams.members and balanced(bench.streams.accounts())
    bench.streams.tidy()
    bench.send(9, 7)
    assert [member.object_id for member in bench.streams.members] == [7]


def test_disabled_and_closed_nobody_comes_and_frames_are_counted():
    bench = Bench()
    bench.streams.set_enabled(False)
    bench.send(1, 3)
    bench.streams.set_enabled(True)
    bench.send(2, 3)
    bench.streams.close()
    bench.send(3, 3)
    found = bench.streams.accounts()
    assert balanced(found) and found.dropped["disabled"] == 1 and found.dropped["closed"] == 2


def test_an_image_that_waits_for_room_is_released_when_its_object_is_retired():
    streams = ObjectStreams(config_for(overflow_policy="block", queue_size=4), FRAMES)
    for number in range(1, 5):
        streams.take_in(IdImage(ids_image(3), number * STEP))
        streams.take_in(frame_at(number))
    thread = threading.Thread(target=lambda: streams.take_in(frame_at(5)), daemon=True)
    thread.start()
    thread.join(0.2)
    assert thread.is_alive(), "there is no room"
    streams.clear("deactivated")
    thread.join(30)
    assert not thread.is_alive() and balanced(streams.accounts())


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"foreground": "grabcut"}, "max_objects is 2, but foreground 'grabcut' finds one object"),
        ({"mask_instance_id": 4}, "mask_instance_id 4 chooses one object"),
    ],
)
def test_what_does_not_go_together_is_refused(options: dict[str, object], match: str):
    with pytest.raises(ConfigError, match=match):
        ObjectStreams(config_for(**options), FRAMES)


def test_a_buffer_says_why_it_was_closed():
    buffer = FrameBuffer(StreamConfig(queue_size=4), FRAMES)
    buffer.push(frame_at(1))
    buffer.close("retired")
    assert buffer.accounts().dropped == {"retired": 1}
