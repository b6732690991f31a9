"""Windows from a clip: shared frames, short ends, chains, and what is left out or refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from attnchain_ros.errors import ConfigError, MaskError
from attnchain_ros.stream.config import StreamConfig
from attnchain_ros.stream.frame import Event, Frame
from attnchain_ros.stream.source import ArraySource
from attnchain_ros.stream.windows import ClipWindows, clip_frames, split_frames

MASK = np.ones((4, 6), bool)


def _clip(count: int, **changes: Any) -> list[Frame]:
    return [Frame(np.full((4, 6, 3), n, np.uint8), MASK, 10 * n + 1, **changes) for n in range(count)]


def _windows(frames: list[Frame], size: int = 4, intrinsics: np.ndarray | None = None, **options: Any) -> ClipWindows:
    return ClipWindows(ArraySource(frames, "made", intrinsics), StreamConfig(**options), size)


def _numbers(windows: ClipWindows) -> list[list[int]]:
    return [part.window.images[:, 0, 0, 0].tolist() for part in windows]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, []),
        (1, [[0]]),
        (2, [[0, 1]]),
        (4, [[0, 1, 2, 3]]),
        (5, [[0, 1, 2, 3], [3, 4]]),
        (7, [[0, 1, 2, 3], [3, 4, 5, 6]]),
        (8, [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7]]),
    ],
)
def test_consecutive_windows_share_one_frame_and_none_is_lost(count: int, expected: list[list[int]]) -> None:
    windows = _windows(_clip(count))
    for _ in range(2):
        assert _numbers(windows) == expected
    assert [(part.window.stamps_ns // 10).tolist() for part in windows] == expected
    assert [list(part) for part in split_frames(count, 4)] == expected
    assert windows.count == max(1, len(expected))
    assert sum(part.new_frames for part in windows) == count


def test_one_window_is_held_at_a_time() -> None:
    taken: list[int] = []

    class Watched(ArraySource):
        def events(self) -> Iterator[Event]:  # type: ignore[override]
            for frame in super().events():
                taken.append(frame.stamp_ns)
                yield frame

    windows = iter(ClipWindows(Watched(_clip(100), "watched"), StreamConfig(), 4))
    next(windows)
    assert len(taken) == 4
    next(windows)
    assert len(taken) == 7


def test_the_stride_counts_from_the_start_of_every_chain() -> None:
    frames = [*_clip(7), *(Frame(np.full((8, 6, 3), n, np.uint8), np.ones((8, 6), bool), 100 + n) for n in range(5))]
    windows = _windows(frames, 3, stride=2)
    assert _numbers(windows) == [[0, 2, 4], [4, 6], [0, 2, 4]]
    assert [part.chain for part in windows] == [0, 0, 1]
    assert [note.code for note in windows.notes] == ["new_chain"] and "(image_size)" in windows.notes[0].text


def test_intrinsics_and_depth_are_passed_on_and_unknown_depth_is_zero() -> None:
    frames = _clip(3)
    frames[1].depth_m = np.full((4, 6), 2.5, np.float32)
    matrix = np.array([[30.0, 0, 2.3], [0, 31.0, 1.7], [0, 0, 1]])
    (part,) = _windows(frames, intrinsics=matrix)
    assert part.window.depth_m is not None and part.window.depth_m[:, 0, 0].tolist() == [0.0, 2.5, 0.0]
    np.testing.assert_array_equal(part.window.intrinsics, matrix)
    plain = _windows(_clip(3))
    (part,) = plain
    assert part.window.depth_m is None and part.window.intrinsics is None
    assert plain.notes == [], "a clip that is no recording has no camera_info that could be missing"


def test_a_frame_that_cannot_be_used_is_left_out_and_counted() -> None:
    frames = _clip(7)
    frames[1].mask = np.zeros((4, 6), bool)
    frames[3].mask = np.ones((4, 8), bool)
    frames[4].stamp_ns = frames[3].stamp_ns
    windows = _windows(frames, 3)
    assert _numbers(windows) == [[0, 2, 5], [5, 6]]
    told = " ".join(note.text for note in windows.notes)
    for text in (
        "1 of 7 images were left out: with an empty mask",
        "1 of 7 images were left out: with a mask of another size",
        "is 8x4, the image is 6x4",
        "1 of 7 images were left out: with the stamp of the one before",
    ):
        assert text in told


@pytest.mark.parametrize(("absent", "chains"), [(3, 1), (25, 2)])
def test_where_the_object_is_absent_for_long_a_new_chain_begins(absent: int, chains: int) -> None:
    """Frames of a folder are counted, not stamped; ten a second here, and two seconds are a gap."""
    frames = _clip(10 + absent)
    for number, frame in enumerate(frames):
        frame.stamp_ns = number * 100_000_000
        if 5 <= number < 5 + absent:
            frame.mask = np.zeros((4, 6), bool)
    windows = _windows(frames, 4)
    found = list(windows)
    assert [part.chain for part in found] == ([0, 0, 0] if chains == 1 else [0, 0, 1, 1])
    used = [int(stamp) // 100_000_000 for part in found for stamp in part.window.stamps_ns[-part.new_frames :]]
    assert used == [0, 1, 2, 3, 4, *range(5 + absent, 10 + absent)]
    told = " ".join(note.text for note in windows.notes)
    assert f"{absent} of {10 + absent} images were left out: with an empty mask" in told
    assert ("a new chain starts at stamp 3.000 s (gap)" in told) == (chains == 2)


def test_a_slow_clip_is_no_gap() -> None:
    frames = _clip(7)
    for number, frame in enumerate(frames):
        frame.stamp_ns = number * 5 * 10**9
    assert [part.chain for part in _windows(frames, 4)] == [0, 0]


def test_what_cannot_give_a_window_is_refused() -> None:
    with pytest.raises(ConfigError, match="window of 1 frames"):
        _windows(_clip(3), 1)
    bare = _clip(3)
    for frame in bare:
        frame.mask = None
    with pytest.raises(MaskError, match="made has no masks: give masks, or ask for a foreground method by name"):
        list(_windows(bare))
    empty = [Frame(frame.image, np.zeros((4, 6), bool), frame.stamp_ns) for frame in bare]
    with pytest.raises(MaskError, match=r"not one frame can be used; frames: 3 in = 0 used .* dropped .mask_empty 3"):
        list(_windows(empty))


def test_frames_come_one_by_one_as_the_rollout_sees_them() -> None:
    frames = _clip(5)
    found = list(clip_frames(ArraySource(frames, "made", np.eye(3)), StreamConfig(stride=2)))
    assert [int(frame.image[0, 0, 0]) for frame, _ in found] == [0, 2, 4]
    assert all(frame.mask is not None and frame.mask.all() and np.array_equal(k, np.eye(3)) for frame, k in found)
    bare = [Frame(frame.image, None, frame.stamp_ns) for frame in frames]
    found = list(clip_frames(ArraySource(bare, "made"), StreamConfig()))
    assert [frame.mask for frame, _ in found] == [None] * 5 and all(k is None for _, k in found)
