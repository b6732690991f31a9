"""Masks for a live stream: prompts, budgets, what is lost and found; every frame stays accounted for."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
import torch
from stream.by_colour import ByColour
from stream.mask_bench import GREEN, RED, STEP_NS, MaskBench

from attnchain_ros.errors import ConfigError, InputError
from attnchain_ros.masks import Sight
from attnchain_ros.masks.config import Sam2Config
from attnchain_ros.stream.buffer import FrameBuffer
from attnchain_ros.stream.config import StreamConfig
from attnchain_ros.stream.masking import FOLLOWING, WAITING, MaskMaker


class Bench(MaskBench):
    """A buffer, a tracker that takes ``pace_s`` for a mask, and what makes them meet."""

    def __init__(self, point: str = "", *, pace_s: float = 0.1, fails: int = 0, budget_s: float = 1.0, **options):
        super().__init__()
        self.config = StreamConfig(**{"queue_size": 32, "foreground": "sam2", **options})
        self.options = Sam2Config(point=point, budget_s=budget_s)
        self.buffer = FrameBuffer(self.config, 4)
        self.arrive = self.buffer.push
        bench = self

        class Slow(ByColour):
            def _found(self, image):
                bench.now += pace_s
                return super()._found(image)

        self.tracker = Slow(fails)
        self.maker = MaskMaker(
            self.tracker,
            self.buffer,
            lambda: self.options,
            **self.surroundings,
        )

    def dropped(self) -> dict[str, int]:
        found = self.buffer.accounts()
        assert found.received == found.used + sum(found.dropped.values()) + found.in_flight + found.waiting
        return found.dropped

    def take(self):
        batch = self.buffer.take()
        if batch is not None:
            self.buffer.finish(batch)
        return batch


def test_the_prompt_of_the_options_holds_for_the_first_image() -> None:
    bench = Bench("6,10")
    bench.feed(4)
    batch = bench.take()
    assert batch is not None and len(batch.frames) == 4
    for frame in batch.frames:
        assert np.array_equal(frame.mask, (frame.image == RED).all(axis=-1)) and frame.mask.sum() == 64
    assert len(bench.tracker.starts) == 1 and bench.tracker.follows == 3 and bench.dropped() == {}
    assert bench.maker.figures().state == FOLLOWING


def test_without_a_prompt_images_are_dropped_and_it_is_said_once_each_reason() -> None:
    bench = Bench()
    bench.feed(3)
    assert bench.dropped() == {"no_prompt": 3} and bench.take() is None
    figures = bench.maker.figures()
    assert figures.state == WAITING and "click on the object" in figures.why_no_mask()
    assert {code for code, _ in bench.told} == {"no_prompt"}


def test_a_click_is_for_the_newest_image_and_starts_a_new_chain() -> None:
    bench = Bench("6,10")
    bench.feed(4, green=True)
    assert bench.take().reset == "start"
    bench.push(2, green=True)
    bench.maker.point(30.0, 10.0)
    assert bench.buffer.accounts().waiting == 0 and bench.dropped() == {"reset_prompt": 2}
    bench.feed(4, green=True)
    batch = bench.take()
    assert batch.reset == "prompt" and not batch.shared_first
    assert all(np.array_equal(frame.mask, (frame.image == GREEN).all(axis=-1)) for frame in batch.frames)
    assert bench.tracker.starts[-1].points == ((30.0, 10.0),) and bench.maker.figures().prompts == 1
    bench.maker.box(2.0, 6.0, 12.0, 12.0)
    bench.feed(4, green=True)
    assert all(frame.mask[10, 6] and not frame.mask[10, 30] for frame in bench.take().frames)
    assert bench.buffer.accounts().resets["prompt"] == 2


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda maker: maker.point(40.0, 10.0), "the point 40,10 is outside the image: x goes to 39, y to 23"),
        (lambda maker: maker.point(-1.0, 10.0), "the point -1,10 is outside the image"),
        (lambda maker: maker.point(float("nan"), 10.0), "the prompt nan,10 is no place in an image"),
        (lambda maker: maker.point(3.0, float("inf")), "the prompt 3,inf is no place in an image"),
        (lambda maker: maker.box(0.0, 0.0, 0.0, 5.0), "the box is 0 x 5 pixels"),
        (lambda maker: maker.box(30.0, 0.0, 20.0, 5.0), "the box 30,0,20,5 leaves the image of 40 x 24 pixels"),
    ],
)
def test_prompts_that_cannot_be_used_change_nothing(ask, told: str) -> None:
    bench = Bench("6,10")
    with pytest.raises(InputError, match="no image came yet"):
        bench.maker.point(1.0, 1.0)
    bench.feed(2)
    with pytest.raises(InputError) as error:
        ask(bench.maker)
    assert told in str(error.value)
    bench.feed(2)
    figures = bench.maker.figures()
    assert (figures.prompts, figures.refused) == (0, 2) and bench.take().reset == "start"
    assert len(bench.tracker.starts) == 1


def test_a_prompt_of_the_options_outside_the_image_is_said_once() -> None:
    bench = Bench("600,10")
    bench.feed(3)
    assert bench.dropped() == {"no_prompt": 3} and bench.maker.figures().refused == 1
    assert [code for code, _ in bench.told].count("prompt_refused") == 1
    assert "the point 600,10 is outside the image" in bench.told[0][1]
    bench.maker.point(6.0, 10.0)
    bench.feed(4)
    assert bench.take() is not None
    with pytest.raises(ConfigError, match=r"sam2.point is '6', wanted 2 numbers"):
        Bench("6")


def test_lost_and_back_are_counted_and_said() -> None:
    bench = Bench("6,10")
    bench.feed(3)
    bench.feed(5, red=False)
    assert bench.maker.figures().state == "lost since 0.400 s"
    assert "the object is lost since 0.400 s" in bench.maker.figures().why_no_mask()
    bench.feed(2)
    figures = bench.maker.figures()
    assert figures.state == FOLLOWING
    assert figures.images == {Sight.SEEN: 4, Sight.LOST: 5, Sight.EMPTY: 0, Sight.BACK: 1}
    assert bench.dropped() == {"object_lost": 5}
    batch = bench.take()
    assert [frame.stamp_ns // STEP_NS for frame in batch.frames] == [1, 2, 3, 9] and batch.reset == "start"
    assert [code for code, _ in bench.told] == ["object_lost 0", "object_back 0"]


def test_gone_for_longer_than_a_chain_may_have_a_gap_a_new_one_begins() -> None:
    bench = Bench("6,10", max_gap_s=1.0)
    bench.feed(3)
    bench.feed(12, red=False)
    bench.feed(4)
    batches = [bench.take(), bench.take()]
    assert batches[-1] is None and batches[0].reset == "gap" and len(bench.tracker.starts) == 1
    assert bench.dropped() == {"object_lost": 12, "reset_gap": 3}


def test_other_resets_do_not_forget_what_is_followed() -> None:
    bench = Bench()
    bench.feed(1, green=True)
    bench.maker.point(30.0, 10.0)
    bench.feed(2, green=True)
    bench.buffer.reset("service")
    bench.feed(4, green=True)
    assert all(frame.mask[10, 30] for frame in bench.take().frames) and len(bench.tracker.starts) == 1
    bench.maker.forget()
    bench.feed(2, green=True)
    assert bench.dropped()["no_prompt"] == 3 and bench.maker.figures().state == WAITING


def test_images_that_begin_anew_take_the_prompt_of_the_options_again() -> None:
    bench = Bench("6,10")
    bench.feed(4)
    bench.take()
    bench.number = 0  # the bag loops
    bench.feed(4)
    assert bench.take().reset == "stamp_back" and len(bench.tracker.starts) == 2
    bench.feed(4, size=(30, 50))
    assert bench.take().reset == "image_size" and len(bench.tracker.starts) == 3
    clicked = Bench()
    clicked.feed(1)
    clicked.maker.point(6.0, 10.0)
    clicked.feed(4)
    clicked.number = 0
    clicked.feed(4)
    assert len(clicked.tracker.starts) == 1, "a click says nothing of the first image: it is followed on"
    clicked.feed(2, size=(30, 50))
    assert clicked.maker.figures().state == WAITING


def test_the_budget_leaves_images_out_evenly_and_counts_them() -> None:
    bench = Bench("6,10", pace_s=0.1, budget_s=0.65)
    bench.feed(4)
    bench.take()
    bench.push(24)  # came while a window was computed
    before, bench.now = bench.tracker.follows, 100.0
    bench.work()
    assert bench.tracker.follows - before == 6 and bench.now == pytest.approx(100.6)
    assert bench.dropped()["mask_budget"] == 18
    used = [frame.stamp_ns // STEP_NS for frame in bench.buffer._segments[0].ready]
    assert used[-1] == 28 and np.diff([4, *used]).max() <= 8
    bench.push(10)
    bench.work()  # nothing is left of the budget, and the next window needs no more
    assert bench.tracker.follows - before == 7
    bench.take()
    bench.push(10)
    bench.work()
    assert bench.tracker.follows - before == 13, "after a window there is a new budget"


def test_a_window_is_never_starved_by_its_budget() -> None:
    bench = Bench("6,10", pace_s=1.0, budget_s=0.0)
    bench.feed(1)
    bench.push(20)
    bench.work()
    assert bench.take() is not None and bench.tracker.follows == 3


def test_block_leaves_nothing_out() -> None:
    bench = Bench("6,10", pace_s=5.0, budget_s=0.0, overflow_policy="block", max_gap_s=0.0)
    bench.push(28)
    bench.work()
    windows = []
    while (batch := bench.take()) is not None:
        windows.append(batch)
    assert bench.tracker.follows == 27 and len(windows) == 9 and bench.dropped() == {}


@pytest.mark.parametrize(("policy", "first"), [("adaptive", 1), ("drop_oldest", 9)])
def test_a_full_queue_loses_what_the_policy_says(policy: str, first: int) -> None:
    bench = Bench("6,10", overflow_policy=policy)
    bench.push(40)
    kept = [frame.stamp_ns // STEP_NS for frame in bench.buffer.awaiting()]
    assert len(kept) == 32 and (kept[0], kept[-1]) == (first, 40) and bench.dropped() == {"mask_budget": 8}


def test_an_error_costs_one_image() -> None:
    bench = Bench("6,10", fails=2)
    bench.feed(6)
    assert bench.dropped() == {"mask_error": 2} and bench.maker.figures().errors == 2
    assert bench.take() is not None and "RuntimeError: CUDA out of memory" in bench.told[0][1]


def test_work_ends_soon_when_asked_to_and_when_the_chain_is_reset() -> None:
    bench = Bench("6,10", overflow_policy="block")
    bench.push(10)
    bench.maker.work(lambda: len(bench.tracker.starts) > 0)
    assert bench.tracker.follows == 0 and bench.buffer.accounts().awaiting_mask == 9
    tracker, follow = bench.tracker, bench.tracker.follow

    def reset_meanwhile(picture: np.ndarray):
        bench.buffer.reset("service")
        return follow(picture)

    tracker.follow = reset_meanwhile
    bench.work()
    assert tracker.follows == 1 and bench.dropped() == {"reset_service": 10}


def test_a_pause_does_not_cost_the_images_that_still_await_their_masks() -> None:
    bench = Bench("6,10")
    bench.feed(2)
    bench.push(3)
    bench.buffer.close_idle()
    bench.work()
    assert [len(bench.take().frames) for _ in range(2)] == [4, 2] and bench.take() is None
    assert bench.dropped() == {} and bench.buffer.accounts().used == 5


def test_masks_are_those_of_the_model_and_its_memory_is_flat(sam_folder: Path) -> None:
    """Random weights of the real classes: they follow nothing, but go the same way."""
    from attnchain_ros.masks import Prompt
    from attnchain_ros.masks.tracker import load_tracker

    cpu = torch.device("cpu")
    bench = Bench("6,10", max_gap_s=0.0, overflow_policy="block")
    ours, alone = (load_tracker(sam_folder, cpu, torch.float32) for _ in range(2))
    bench.maker._tracker = ours
    sizes = []
    for number in range(1, 71):
        bench.push(1)
        held = bench.buffer.awaiting()[0]
        bench.work()
        wanted = alone.follow(held.image) if number > 1 else alone.start(held.image, Prompt(points=((6.0, 10.0),)))
        assert np.array_equal(held.mask, wanted.mask) if wanted.mask.any() else held.mask is None
        if number % 30 == 10:
            sizes.append(session_bytes(ours))
        while bench.take() is not None:
            pass
    assert sum(bench.maker.figures().images.values()) == 70
    assert sizes[1] == sizes[2] and sizes[2] < 4e6, sizes


def session_bytes(tracker) -> int:
    """Bytes of all tensors that a tracker's session holds, wherever they are."""
    seen: set[int] = set()
    waiting, total = [tracker._session], 0
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, (type, str, bytes)) or callable(one):
            continue
        seen.add(id(one))
        if isinstance(one, torch.Tensor):
            total += one.nbytes
        else:
            waiting += gc.get_referents(one)
    return total
