"""Frames become windows, and none is lost without being counted."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnchain_ros.errors import ConfigError
from attnchain_ros.stream.buffer import Batch, FrameBuffer
from attnchain_ros.stream.config import StreamConfig
from attnchain_ros.stream.frame import Frame

STEP_NS = 100_000_000
SHAPE = (4, 6, 3)
MASK = np.ones(SHAPE[:2], bool)


def frame(number: int, *, mask: np.ndarray | None = MASK, shape=SHAPE, frame_id: str = "camera") -> Frame:
    return Frame(np.zeros(shape, np.uint8), mask, (number + 10) * STEP_NS, frame_id=frame_id)


def numbers(batch: Batch | None) -> list[int]:
    assert batch is not None
    return [item.stamp_ns // STEP_NS - 10 for item in batch.frames]


def check_accounts(buffer: FrameBuffer, received: int | None = None) -> None:
    found = buffer.accounts()
    assert found.received == found.used + sum(found.dropped.values()) + found.in_flight + found.waiting
    if received is not None:
        assert found.received == received


def take_all(buffer: FrameBuffer) -> list[Batch]:
    batches = []
    while (batch := buffer.take()) is not None:
        buffer.finish(batch)
        batches.append(batch)
    return batches


def make(frames: int = 4, **options) -> FrameBuffer:
    return FrameBuffer(StreamConfig(**{"queue_size": 8, **options}), frames)


def test_windows_share_one_frame():
    buffer = make()
    for number in range(10):
        buffer.push(frame(number))
        if number == 3:
            first = buffer.take()
    assert numbers(first) == [0, 1, 2, 3]
    assert (first.reset, first.shared_first, first.new_frames) == ("start", False, 4)
    second = buffer.take()
    # six frames wait, a window takes three: every second one, so that the backlog is gone
    assert numbers(second) == [3, 5, 7, 9]
    assert (second.reset, second.shared_first, second.new_frames, second.stride) == (None, True, 3, 2)
    check_accounts(buffer, 10)
    buffer.finish(first)
    buffer.finish(second)
    found = buffer.accounts()
    assert (found.used, found.dropped, found.in_flight, found.waiting) == (7, {"stride": 3}, 0, 0)


def test_block_is_lossless_in_order():
    buffer = make(overflow_policy="block")
    taken: list[int] = []
    pusher = threading.Thread(target=lambda: [buffer.push(frame(number)) for number in range(31)])
    pusher.start()
    deadline = threading.Event()
    while len(taken) < 31 and not deadline.wait(0.001):
        batch = buffer.take()
        if batch is not None:
            assert buffer.accounts().waiting <= 8
            taken += numbers(batch)[1:] if batch.shared_first else numbers(batch)
            buffer.finish(batch)
    pusher.join(5)
    assert taken == list(range(31))
    assert buffer.accounts().dropped == {}
    check_accounts(buffer, 31)


@pytest.mark.parametrize("release", ["reset", "close", "set_enabled"])
def test_a_blocked_push_is_released(release: str):
    buffer = make(overflow_policy="block")
    for number in range(8):
        buffer.push(frame(number))
    blocked = threading.Thread(target=buffer.push, args=(frame(8),), daemon=True)
    blocked.start()
    blocked.join(0.05)
    assert blocked.is_alive()
    {"reset": lambda: buffer.reset("service"), "close": buffer.close, "set_enabled": lambda: buffer.set_enabled(False)}[
        release
    ]()
    blocked.join(5)
    assert not blocked.is_alive()
    check_accounts(buffer, 9)


def test_drop_oldest_keeps_the_newest():
    buffer = make(overflow_policy="drop_oldest")
    for number in range(20):
        buffer.push(frame(number))
    assert numbers(buffer.take()) == [12, 13, 14, 15]
    assert buffer.accounts().dropped == {"overflow": 12}
    check_accounts(buffer, 20)


def test_adaptive_thins_a_full_queue_evenly_and_recovers():
    buffer = make()
    buffer.push(frame(0))
    for number in range(1, 65):
        buffer.push(frame(number))
    batch = buffer.take()
    stamps = np.array(numbers(batch))
    assert stamps[0] == 0 and len(set(np.diff(stamps))) == 1 and batch.stride >= 16
    buffer.finish(batch)
    # A device that keeps up again comes back to every frame.
    strides, number = [], 65
    for _ in range(200):
        buffer.push(frame(number))
        number += 1
        for found in take_all(buffer):
            strides.append(found.stride)
            assert len(set(np.diff(numbers(found)[1:]))) == 1
    assert strides[-1] == 1
    check_accounts(buffer)


def test_adaptive_windows_stay_contiguous_whatever_the_device():
    rng = np.random.default_rng(0)
    buffer = make(frames=5, queue_size=12)
    last = None
    number = 0
    for _ in range(300):
        for _ in range(int(rng.integers(0, 40))):
            buffer.push(frame(number))
            number += 1
        batch = buffer.take()
        if batch is None:
            continue
        found = numbers(batch)
        assert found == sorted(set(found)) and len(found) == 5
        if last is not None:
            assert batch.shared_first and found[0] == last and batch.reset is None
        last = found[-1]
        buffer.finish(batch)
        # bounded delay: what is newer than this window fits into the queue and is thinned by its stride
        assert buffer.accounts().waiting <= 12
        check_accounts(buffer, number)


def test_stride_option():
    buffer = make(stride=3)
    for number in range(10):
        buffer.push(frame(number))
    batch = buffer.take()
    assert numbers(batch) == [0, 3, 6, 9] and batch.stride == 3


@pytest.mark.parametrize(
    ("cause", "breaking"),
    [
        ("stamp_back", frame(-5)),
        ("gap", frame(40)),
        ("image_size", frame(5, shape=(8, 6, 3), mask=np.ones((8, 6), bool))),
        ("frame_id", frame(5, frame_id="other")),
    ],
)
def test_what_breaks_the_chain_resets(cause: str, breaking: Frame):
    buffer = make()
    for number in range(4):
        buffer.push(frame(number))
    buffer.finish(buffer.take())
    buffer.push(frame(4))
    buffer.push(breaking)
    found = buffer.accounts()
    assert found.resets == {cause: 1}
    assert found.dropped == {f"reset_{cause}": 1}
    for number in range(1, 4):
        buffer.push(
            Frame(breaking.image, breaking.mask, breaking.stamp_ns + number * STEP_NS, frame_id=breaking.frame_id)
        )
    batch = buffer.take()
    assert batch.reset == cause and not batch.shared_first and batch.frames[0] is breaking
    check_accounts(buffer, 9)


def test_block_hands_out_the_rest_of_a_broken_chain():
    buffer = make(overflow_policy="block", queue_size=16)
    for number in (0, 1, 2, 3, 4, 5, -9, -8, -7, -6):
        buffer.push(frame(number))
    batches = take_all(buffer)
    assert [numbers(batch) for batch in batches] == [[0, 1, 2, 3], [3, 4, 5], [-9, -8, -7, -6]]
    assert [batch.reset for batch in batches] == ["start", None, "stamp_back"]
    found = buffer.accounts()
    assert (found.used, found.dropped) == (10, {})


@pytest.mark.parametrize("late", [0, 1, 3, 8])
def test_masks_of_a_broken_chain_may_come_after_the_next_one_has_begun(late: int):
    buffer = make(overflow_policy="block", queue_size=16, mask_mode="every", max_gap_s=0.35)
    frames = [frame(number, mask=None, frame_id="left" if number < 6 else "right") for number in range(12)]
    windows = []
    for number in range(12 + late):
        if number < 12:
            buffer.push(frames[number])
        if number >= late:
            buffer.push_mask(frames[number - late].stamp_ns, MASK)
        windows += [(numbers(batch), batch.reset) for batch in take_all(buffer)]
    buffer.end()
    windows += [(numbers(batch), batch.reset) for batch in take_all(buffer)]
    assert windows == [([0, 1, 2, 3], "start"), ([3, 4, 5], None), ([6, 7, 8, 9], "frame_id"), ([9, 10, 11], None)]
    assert buffer.accounts().dropped == {}


def test_a_gap_between_masks_that_come_late_splits_the_chain_they_belong_to():
    buffer = make(overflow_policy="block", queue_size=16, mask_mode="every", max_gap_s=0.35)
    frames = [frame(number, mask=None, frame_id="left" if number < 8 else "right") for number in range(12)]
    for each in frames:
        buffer.push(each)
    for number in (0, 1, 6, 7, 8, 9, 10, 11):
        buffer.push_mask(frames[number].stamp_ns, MASK)
    buffer.end()
    assert [(numbers(batch), batch.reset) for batch in take_all(buffer)] == [
        ([0, 1], "start"),
        ([6, 7], "gap"),
        ([8, 9, 10, 11], "frame_id"),
    ]
    assert buffer.accounts().dropped == {"no_mask": 4}


def test_idle_gives_up_frames_of_a_broken_chain_whose_masks_never_came():
    buffer = make(overflow_policy="block", mask_mode="every")
    buffer.push(frame(0))
    buffer.push(frame(1, mask=None))
    buffer.push(frame(2, frame_id="other"))
    assert take_all(buffer) == []
    buffer.close_idle()
    assert [numbers(batch) for batch in take_all(buffer)] == [[0], [2]]
    assert buffer.accounts().dropped == {"no_mask": 1}


def test_repeated_stamp_is_dropped_without_a_reset():
    buffer = make()
    for number in (0, 1, 1, 1, 2, 3):
        buffer.push(frame(number))
    assert numbers(buffer.take()) == [0, 1, 2, 3]
    assert buffer.accounts().dropped == {"repeated_stamp": 2}
    assert buffer.accounts().resets == {}


def test_an_image_that_its_neighbour_overtook_is_dropped_without_a_reset():
    """Only one from before both of them is a player that starts again."""
    buffer = make(frames=6)
    for number in (0, 1, 2, 4, 3, 5, 6, 7):
        buffer.push(frame(number))
    assert numbers(buffer.take()) == [0, 1, 2, 4, 5, 6]
    found = buffer.accounts()
    assert (found.dropped, found.resets) == ({"out_of_order": 1}, {})
    buffer.push(frame(1))
    assert buffer.accounts().resets == {"stamp_back": 1}
    check_accounts(buffer, 9)


def test_masks_that_are_empty_for_long_end_the_chain_whatever_the_stride():
    """Images go on, and nothing can be used of them: the time between used ones counts."""
    buffer = make(max_gap_s=2.0)
    empty = np.zeros_like(MASK)
    batches = []
    for number in range(4 + 110 + 9):
        buffer.push(frame(number, mask=empty if 4 <= number < 114 else MASK))
        batches += take_all(buffer)
    assert [(numbers(batch), batch.reset) for batch in batches] == [
        ([0, 1, 2, 3], "start"), ([114, 115, 116, 117], "gap"), ([117, 118, 119, 120], None)
    ]  # fmt: skip
    found = buffer.accounts()
    assert found.resets == {"gap": 1} and found.dropped == {"mask_empty": 110}
    check_accounts(buffer, 123)


@pytest.mark.parametrize("every", [20, 90, 400])
def test_a_stride_that_grows_leaves_no_gap_longer_than_a_chain_may_have(every: int):
    """However slow windows are; where a stride would have to be larger the chain starts anew, which is counted."""
    buffer = make(max_gap_s=2.0)
    batches = []
    for number in range(2000):
        buffer.push(frame(number))
        if number % every == every - 1 and (batch := buffer.take()) is not None:
            buffer.finish(batch)
            batches.append(batch)
    assert len(batches) >= 4
    for batch in batches:
        assert max(np.diff(numbers(batch))) <= 20, "2 s at 10 images a second"
        assert batch.reset in ("start", None) or batch.reset == "overload"
    overloads = buffer.accounts().resets.get("overload", 0)
    assert (overloads == 0) if every == 20 else (overloads > 0)
    check_accounts(buffer, 2000)


def test_other_frame_ids_can_be_dropped_instead():
    buffer = make(reset_on_frame_id_change=False)
    for number in range(3):
        buffer.push(frame(number))
        buffer.push(frame(number, frame_id="other") if number < 1 else frame(number + 50, frame_id="other"))
    assert buffer.accounts().dropped == {"repeated_stamp": 1, "frame_id": 2}


def test_idle_gives_out_what_is_ready_as_a_short_window():
    buffer = make()
    for number in range(6):
        buffer.push(frame(number))
    buffer.finish(buffer.take())
    assert buffer.take() is None
    buffer.close_idle()
    assert numbers(buffer.take()) == [3, 4, 5]
    buffer.close_idle()  # nothing waits: nothing happens
    buffer.push(frame(100))
    assert buffer.accounts().resets == {"idle": 1}  # the gap is the same break, counted once


def test_a_dropped_window_starts_the_chain_anew():
    buffer = make()
    for number in range(4):
        buffer.push(frame(number))
    batch = buffer.take()
    buffer.finish(batch, dropped="window_error")
    for number in range(4, 8):
        buffer.push(frame(number))
    batch = buffer.take()
    assert batch.reset == "window_error" and not batch.shared_first
    assert numbers(batch) == [4, 5, 6, 7]
    assert buffer.accounts().dropped == {"window_error": 4}
    check_accounts(buffer, 8)


def test_a_reset_voids_the_window_under_way():
    buffer = make()
    for number in range(6):
        buffer.push(frame(number))
    batch = buffer.take()
    buffer.reset("service")
    assert batch.generation != buffer.generation
    buffer.finish(batch, dropped="cancelled")
    found = buffer.accounts()
    assert found.dropped == {"cancelled": 4, "reset_service": 2}
    assert found.resets == {"service": 1}
    buffer.push(frame(2))  # an older stamp than before the reset: a fresh start, not another jump
    assert buffer.accounts().resets == {"service": 1}


def test_disabled_counts_and_drops():
    buffer = make()
    buffer.set_enabled(False)
    buffer.push(frame(0))
    buffer.set_enabled(True)
    buffer.push(frame(1))
    assert buffer.accounts().dropped == {"disabled": 1} and buffer.accounts().waiting == 1


def test_every_frame_waits_for_its_own_mask():
    buffer = make(mask_mode="every", mask_tolerance_s=0.01)
    for number in range(4):
        buffer.push(frame(number, mask=None))
    assert buffer.accounts().awaiting_mask == 4
    for number in (0, 2, 3):  # number 1 never comes
        buffer.push_mask((number + 10) * STEP_NS + 5_000_000, MASK)
    assert buffer.accounts().dropped == {"no_mask": 1}
    buffer.push_mask(14 * STEP_NS, MASK)
    buffer.push(frame(4, mask=None))
    batch = buffer.take()
    assert numbers(batch) == [0, 2, 3, 4]
    assert all(item.mask is not None for item in batch.frames)
    check_accounts(buffer, 5)


def test_latest_mask_is_never_a_later_one():
    buffer = make(mask_mode="latest", mask_tolerance_s=0.0)
    buffer.push(frame(0, mask=None))
    old, new = MASK, np.eye(4, 6, dtype=bool)
    buffer.push_mask(11 * STEP_NS, old)
    buffer.push_mask(13 * STEP_NS, new)
    for number in range(1, 5):
        buffer.push(frame(number, mask=None))
    batch = buffer.take()
    assert numbers(batch) == [1, 2, 3, 4]
    assert [item.mask is new for item in batch.frames] == [False, False, True, True]
    assert buffer.accounts().dropped == {"no_mask": 1}


def test_first_mask_starts_the_chain_and_is_needed_again_after_a_failure():
    buffer = make(mask_mode="first", mask_tolerance_s=0.0)
    for number in range(5):
        buffer.push(frame(number, mask=None))
    buffer.push_mask(11 * STEP_NS, MASK)
    batch = buffer.take()
    assert numbers(batch) == [1, 2, 3, 4]
    assert [item.mask is None for item in batch.frames] == [False, True, True, True]
    buffer.finish(batch, dropped="window_error")
    buffer.push(frame(5, mask=None))
    assert buffer.accounts().awaiting_mask == 1


def nearest_masks(images: list[int], masks: list[int], tolerance: int) -> dict[int, int]:
    """Image -> mask by looking at all of them at once; the first of two that are equally near."""
    found = {}
    for image in images:
        near = [mask for mask in masks if abs(mask - image) <= tolerance]
        if near:
            found[image] = min(near, key=lambda mask: (abs(mask - image), mask))
    return found


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.data())
def test_masks_find_their_images_however_the_two_are_mixed(data: st.DataObject):
    """Both streams in order, each as late as it likes: what gets a mask is what a look at everything at once finds."""
    tolerance = data.draw(st.integers(0, 4), "tolerance")
    # More than twice the tolerance apart, as frames of one camera are: then no mask is near to two images.
    gaps = st.lists(st.integers(2 * tolerance + 1, 30), min_size=1, max_size=12)
    images = np.cumsum(data.draw(gaps, "images")).tolist()
    masks = sorted({max(1, stamp + data.draw(st.integers(-6, 6))) for stamp in images if data.draw(st.booleans())})
    late_mask = 10**6  # so that nothing is left waiting
    events = [("image", stamp) for stamp in images]
    for stamp in [*masks, late_mask]:
        least = next((n + 1 for n in range(len(events) - 1, -1, -1) if events[n][0] == "mask"), 0)
        events.insert(data.draw(st.integers(least, len(events))), ("mask", stamp))
    unit = 10**6
    buffer = make(frames=2, queue_size=64, overflow_policy="block", max_gap_s=0.0, mask_tolerance_s=tolerance * 1e-3)
    pictures = {}
    for kind, stamp in events:
        if kind == "image":
            buffer.push(Frame(np.zeros(SHAPE, np.uint8), None, stamp * unit, frame_id="camera"))
        else:
            pictures[stamp] = np.ones(SHAPE[:2], bool)
            buffer.push_mask(stamp * unit, pictures[stamp])
    got = {}
    batches = take_all(buffer)
    buffer.close_idle()  # a single frame that is left over
    for batch in batches + take_all(buffer):
        for item in batch.frames:
            got[item.stamp_ns // unit] = next(stamp for stamp, mask in pictures.items() if mask is item.mask)
    assert set(got) == set(nearest_masks(images, masks, tolerance))
    # An image may be judged before a nearer mask has come: then it has one within the tolerance all the same.
    assert all(abs(mask - image) <= tolerance for image, mask in got.items())
    check_accounts(buffer, len(images))
    assert buffer.accounts().dropped == ({"no_mask": len(images) - len(got)} if len(got) < len(images) else {})


def test_the_nearest_of_several_masks_is_taken():
    buffer = make(frames=2, mask_tolerance_s=0.05)
    masks = {shift: np.ones(SHAPE[:2], bool) for shift in (-30, -10, 20)}
    for shift, mask in masks.items():
        buffer.push_mask(10 * STEP_NS + shift * 10**6, mask)
    buffer.push(frame(0, mask=None))
    buffer.push(frame(1))
    assert buffer.take().frames[0].mask is masks[-10]


def test_with_grabcut_no_mask_is_awaited_and_those_that_come_with_the_image_are_kept():
    buffer = make(foreground="grabcut", overflow_policy="block")
    for number in range(6):
        buffer.push(frame(number, mask=MASK if number == 2 else None))
    batch = buffer.take()
    assert numbers(batch) == [0, 1, 2, 3] and [item.mask is MASK for item in batch.frames] == [
        False,
        False,
        True,
        False,
    ]
    assert buffer.accounts().made_masks == 5 and buffer.mask_wait().seconds == 0.0
    buffer.finish(batch, dropped="window_error")
    assert buffer.accounts().dropped == {"window_error": 4}, "a new chain can start without a mask too"
    assert buffer.accounts().waiting == 2
    with pytest.raises(ConfigError, match="foreground is 'magic', wanted one of none, grabcut"):
        StreamConfig(foreground="magic")


def test_how_long_masks_have_been_missing():
    buffer = make(mask_tolerance_s=0.0)

    def push(number: int) -> None:
        found = frame(number, mask=None)
        found.arrived_s = float(number)
        buffer.push(found)

    assert buffer.mask_wait().seconds == 0.0 and buffer.mask_wait().nearest_s is None
    for number in range(20):
        push(number)
    assert buffer.mask_wait().seconds == 19.0 and buffer.mask_wait().nearest_s is None
    buffer.push_mask(10 * STEP_NS + 1, MASK)
    assert buffer.mask_wait().nearest_s == pytest.approx(1.9)
    buffer.push_mask(29 * STEP_NS, MASK)
    assert buffer.mask_wait().seconds == 0.0


def test_masks_that_cannot_be_used_are_told_with_numbers():
    told: list[tuple[str, str]] = []
    buffer = FrameBuffer(StreamConfig(queue_size=8), 4, on_problem=lambda *problem: told.append(problem))
    buffer.push_mask(10 * STEP_NS, np.ones((2, 3), bool))
    buffer.push(frame(0, mask=None))
    buffer.push_mask(11 * STEP_NS, np.zeros_like(MASK))
    buffer.push(frame(1, mask=None))
    assert [cause for cause, _ in told] == ["mask_size", "mask_empty"]
    assert "3x2" in told[0][1] and "6x4" in told[0][1]
    check_accounts(buffer, 2)


def test_stamp_zero_matches_any_image():
    buffer = make(mask_mode="first")
    buffer.push_mask(0, MASK)
    buffer.push(frame(7, mask=None))
    assert buffer.accounts().awaiting_mask == 0


def test_a_queue_smaller_than_a_window_is_refused():
    with pytest.raises(ConfigError, match=r"queue_size is 8, but a window has 16 frames"):
        FrameBuffer(StreamConfig(queue_size=8), 16)


@pytest.mark.parametrize("policy", ["adaptive", "drop_oldest"])
@pytest.mark.parametrize("mode", ["every", "latest", "first"])
def test_accounts_balance_under_random_use(policy: str, mode: str):
    rng = np.random.default_rng(7)
    buffer = make(overflow_policy=policy, mask_mode=mode, mask_tolerance_s=0.0)
    flying: list[Batch] = []
    number = received = 0
    for _ in range(1500):
        choice = rng.integers(0, 12)
        if choice < 6:
            number += int(rng.choice([1, 1, 1, 1, 0, -3, 30]))
            own = MASK if rng.random() < 0.2 else None
            buffer.push(frame(number, mask=own, frame_id="camera" if rng.random() < 0.98 else "other"))
            received += 1
        elif choice < 9:
            buffer.push_mask((number + 10) * STEP_NS, MASK if rng.random() < 0.95 else np.zeros_like(MASK))
        elif choice == 9:
            batch = buffer.take()
            if batch is not None:
                assert len({item.stamp_ns for item in batch.frames}) == len(batch.frames)
                flying.append(batch)
        elif choice == 10 and flying:
            buffer.finish(flying.pop(0), dropped=None if rng.random() < 0.7 else "window_error")
        else:
            [buffer.close_idle, lambda: buffer.reset("service"), lambda: None][
                int(rng.choice(3, p=[0.3, 0.05, 0.65]))
            ]()
        check_accounts(buffer, received)
    assert buffer.accounts().used > 0


def test_threads_lose_nothing():
    buffer = make(frames=4, queue_size=64)
    done = threading.Event()

    def consume() -> None:
        while not done.is_set() or buffer.accounts().waiting > 3:
            batch = buffer.take()
            if batch is not None:
                buffer.finish(batch)

    consumer = threading.Thread(target=consume)
    consumer.start()
    for number in range(500):
        buffer.push(frame(number))
    done.set()
    consumer.join(10)
    check_accounts(buffer, 500)
    assert buffer.accounts().used > 0


@pytest.mark.parametrize("ahead", range(5))
def test_masks_of_the_next_pass_may_run_ahead_of_its_images(ahead: int):
    """A looping player on a busy machine: some masks of the new pass are here before its first image says so."""
    buffer = make(overflow_policy="block")
    for number in range(4):
        buffer.push_mask((number + 10) * STEP_NS, MASK)
        buffer.push(frame(number, mask=None))
    again = [np.eye(*SHAPE[:2], number, dtype=bool) for number in range(4)]
    for number in range(ahead):
        buffer.push_mask((number + 10) * STEP_NS, again[number])
    for number in range(4):
        buffer.push(frame(number, mask=None))
        if number >= ahead:
            buffer.push_mask((number + 10) * STEP_NS, again[number])
    first, second = take_all(buffer)
    assert numbers(first) == numbers(second) == [0, 1, 2, 3] and second.reset == "stamp_back"
    assert buffer.accounts().used == 8
    # Only the image that comes before any mask of its pass may take the one that the pass before left at its stamp.
    for item, wanted in list(zip(second.frames, again, strict=True))[0 if ahead else 1 :]:
        np.testing.assert_array_equal(item.mask, wanted)


def test_a_window_that_was_used_may_be_the_last_of_its_chain():
    buffer = make(overflow_policy="drop_oldest")
    for number in range(8):
        buffer.push(frame(number))
    buffer.finish(buffer.take(), restart="doubtful")
    second = buffer.take()
    # The next chain shares no frame with it, and nothing that waited is lost.
    assert (numbers(second), second.reset, second.shared_first) == ([4, 5, 6, 7], "doubtful", False)
    buffer.finish(second)
    found = buffer.accounts()
    assert (found.used, found.dropped, found.resets["doubtful"]) == (8, {}, 1)
    check_accounts(buffer, received=8)
    for number in range(8, 11):
        buffer.push(frame(number))
    last = buffer.take()
    buffer.reset("service")
    buffer.finish(last, restart="doubtful")  # a reset from outside came first
    assert buffer.accounts().resets["doubtful"] == 1
