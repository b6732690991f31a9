"""A camera and a device on a virtual clock: windows stay contiguous, the delay bounded, every frame accounted for.

The device is a loop that does what the worker does (take, compute, finish); computing only moves the clock, while which
the camera goes on. So minutes of film take milliseconds, and nothing depends on the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnchain_ros.stream.buffer import FrameBuffer
from attnchain_ros.stream.config import StreamConfig
from attnchain_ros.stream.frame import Frame

IMAGE, MASK = np.zeros((2, 3, 3), np.uint8), np.ones((2, 3), bool)
PERIOD_S = 1 / 30


@dataclass
class Film:
    """What came of one run.

    Attributes:
        windows: frame numbers of each published window.
        strides: as told by the buffer.
        shared: whether the first frame was that of the window before.
        delays_s: from the arrival of a window's newest frame to its publication, while the camera went on.
        resets: why each window started anew, None = it did not.
    """

    windows: list[list[int]] = field(default_factory=list)
    strides: list[int] = field(default_factory=list)
    shared: list[bool] = field(default_factory=list)
    delays_s: list[float] = field(default_factory=list)
    resets: list[str | None] = field(default_factory=list)


class Stage:
    """A camera of constant rate in front of a device whose windows take as long as they are told."""

    def __init__(self, config: StreamConfig, size: int, frames: int, period_s: float = PERIOD_S) -> None:
        self.buffer = FrameBuffer(config, size)
        self.film = Film()
        self.now_s = 0.0
        self._frames, self._period_s, self._sent = frames, period_s, 0
        self._queue = config.queue_size
        self._chains = 1

    def run(self, compute_s: Callable[[int], float], disturb: Callable[[Stage, int], str | None] | None = None) -> Film:
        """Until the film is over; ``disturb`` may act inside a window and say why its frames are dropped."""
        number = 0
        while True:
            batch = self.buffer.take()
            if batch is None:
                if self._sent == self._frames:
                    return self.film
                self.advance_to(self._sent * self._period_s)
                continue
            self.advance(compute_s(number))
            fate = disturb(self, number) if disturb is not None else None
            if fate is None and batch.generation != self.buffer.generation:
                fate = "cancelled"
            self.buffer.finish(batch, dropped=fate)
            number += 1
            self.check()
            if fate is None:
                self.film.windows.append([frame.stamp_ns for frame in batch.frames])
                self.film.strides.append(batch.stride)
                self.film.shared.append(batch.shared_first)
                self.film.resets.append(batch.reset)
                if self._sent < self._frames:
                    self.film.delays_s.append(self.now_s - batch.frames[-1].arrived_s)

    def close_idle(self) -> None:
        """A pause: what is ready is given out beside a new queue."""
        self._chains = 2
        self.buffer.close_idle()

    def configure(self, config: StreamConfig, size: int) -> None:
        """Change the options."""
        self._queue = config.queue_size
        self.buffer.configure(config, size)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.advance_to(self.now_s + seconds)

    def advance_to(self, moment_s: float) -> None:
        """Let time pass until a moment: the camera's frames come in."""
        self.now_s = max(self.now_s, moment_s)
        while self._sent < self._frames and self._sent * self._period_s <= self.now_s:
            arrived = self._sent * self._period_s
            self._sent += 1
            # The frame's number is its stamp.
            self.buffer.push(Frame(IMAGE, MASK, self._sent, arrived_s=arrived))
            self.check()

    def check(self) -> None:
        """in = used + dropped + in flight + waiting, and the queue is bounded."""
        found = self.buffer.accounts()
        assert found.received == self._sent
        assert found.received == found.used + sum(found.dropped.values()) + found.in_flight + found.waiting
        assert found.waiting <= self._queue * self._chains


def config_of(frames: int, queue: int, policy: str = "adaptive", stride: int = 1) -> StreamConfig:
    return StreamConfig(queue_size=max(queue, frames), overflow_policy=policy, stride=stride, max_gap_s=0)


@given(
    frames=st.integers(2, 16),
    queue=st.integers(2, 48),
    stride=st.integers(1, 3),
    load=st.floats(0.05, 12.0),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_adaptive_is_contiguous_and_its_delay_bounded(frames: int, queue: int, stride: int, load: float, seed: int):
    """``load``: how many windows' worth of camera frames come in while one window is computed."""
    rng = np.random.default_rng(seed)
    count = 3000
    stage = Stage(config_of(frames, queue, stride=stride), frames, count)
    longest_s = load * frames * PERIOD_S
    film = stage.run(lambda number: float(rng.uniform(0.3, 1.0)) * longest_s)
    assert film.windows and film.resets[0] == "start" and set(film.resets[1:]) <= {None}
    for before, after in pairwise(film.windows):
        assert after[0] == before[-1]
    for window in film.windows:
        assert len(window) == frames and all(first < second for first, second in pairwise(window))
    for window, told in zip(film.windows, film.strides, strict=True):
        assert told == round((window[-1] - window[0]) / (frames - 1))
    # A frame waits for the window before its own, for its own to fill up, and is computed. The queue is thinned in
    # powers of two, so that what waits covers at most twice the time of what comes in during one window.
    bound_s = 4 * longest_s + 2 * stride * frames * PERIOD_S
    assert max(film.delays_s) <= bound_s
    assert set(stage.buffer.accounts().dropped) <= {"stride"}
    # Not only bounded but stable: the last third is no later than the others were.
    third = len(film.delays_s) // 3
    if third >= 5:
        assert np.median(film.delays_s[-third:]) <= 2 * np.median(film.delays_s[third : 2 * third]) + frames * PERIOD_S


def test_the_stride_follows_the_device():
    """16 frames, a device of 1.6 s: 48 frames come in meanwhile, so that the stride settles near 48 / 15."""
    film = Stage(config_of(16, 32), 16, 3000).run(lambda number: 1.6 if number < 30 else 0.1)
    assert 3 <= np.mean(film.strides[5:30]) <= 4.5
    assert set(film.strides[-20:]) == {1}, "a device that keeps up again gets every frame"
    assert max(film.delays_s[5:30]) < 3 * 1.6 + 1


@given(frames=st.integers(2, 12), queue=st.integers(2, 40), load=st.floats(0.05, 8.0), seed=st.integers(0, 2**31))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_drop_oldest_bounds_the_delay_and_tells_its_drops(frames: int, queue: int, load: float, seed: int):
    rng = np.random.default_rng(seed)
    config = config_of(frames, queue, "drop_oldest")
    stage = Stage(config, frames, 1500)
    longest_s = load * frames * PERIOD_S
    film = stage.run(lambda number: float(rng.uniform(0.3, 1.0)) * longest_s)
    assert set(stage.buffer.accounts().dropped) <= {"overflow"}
    assert max(film.delays_s) <= longest_s + (config.queue_size + 1) * PERIOD_S + 1e-9
    for before, after in pairwise(film.windows):
        assert after[0] == before[-1]


@given(
    policy=st.sampled_from(["adaptive", "drop_oldest"]),
    frames=st.integers(2, 8),
    load=st.floats(0.2, 5.0),
    troubles=st.lists(
        st.sampled_from(["nothing", "reset", "error", "off", "configure", "idle", "clock"]), min_size=1, max_size=12
    ),
)
@settings(max_examples=80, deadline=None, derandomize=True)
def test_accounts_balance_whatever_happens_inside_windows(policy: str, frames: int, load: float, troubles: list[str]):
    """``Stage.check`` runs after every frame and window; here resets, faults and switches come inside windows."""

    def disturb(stage: Stage, number: int) -> str | None:
        trouble = troubles[number % len(troubles)]
        if trouble == "reset":
            stage.buffer.reset("service")
        elif trouble == "error":
            return "window_error"
        elif trouble == "off":
            stage.buffer.set_enabled(False)
            stage.advance(0.3)
            stage.buffer.set_enabled(True)
        elif trouble == "configure":
            size = 2 + number % 7
            stage.configure(config_of(size, 2 + number % 11, policy, 1 + number % 2), size)
        elif trouble == "idle":
            stage.close_idle()
        elif trouble == "clock":
            stage.buffer.clock_jumped(0)
        return None

    stage = Stage(config_of(frames, 2 * frames, policy), frames, 600)
    film = stage.run(lambda number: load * frames * PERIOD_S, disturb)
    for before, after, shared, reset in zip(
        film.windows, film.windows[1:], film.shared[1:], film.resets[1:], strict=False
    ):
        if shared and reset is None:
            assert after[0] == before[-1]
    stage.buffer.close()
    found = stage.buffer.accounts()
    assert found.received == 600 == found.used + sum(found.dropped.values())


@pytest.mark.parametrize("policy", ["adaptive", "drop_oldest"])
def test_stopping_leaves_no_frame_unaccounted(policy: str):
    stage = Stage(config_of(4, 8, policy), 4, 200)

    def disturb(stage: Stage, number: int) -> str | None:
        if number == 5:
            stage.buffer.close()
        return None

    stage.run(lambda number: 0.5, disturb)
    found = stage.buffer.accounts()
    assert found.received == 200 == found.used + sum(found.dropped.values())
    assert found.dropped["closed"] > 0 and found.dropped["cancelled"] > 0
