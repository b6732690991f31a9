"""Windows from a stream of frames: shared frames, short ends, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from attnchain_ros.errors import ConfigError, InputError, MaskError, ShapeError
from attnchain_ros.rollout.windows import assemble_windows, split_frames


@dataclass(frozen=True)
class _Frame:
    image: np.ndarray
    mask: np.ndarray | None
    stamp_ns: int
    depth_m: np.ndarray | None = None


def _clip(count: int, **changes: object) -> list[_Frame]:
    return [_Frame(np.full((4, 6, 3), n, np.uint8), np.ones((4, 6), bool), 10 * n, **changes) for n in range(count)]


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
    windows = list(assemble_windows(_clip(count), 4))
    assert [window.images[:, 0, 0, 0].tolist() for window in windows] == expected
    assert [(window.stamps_ns // 10).tolist() for window in windows] == expected
    assert [list(part) for part in split_frames(count, 4)] == expected


def test_one_window_is_held_at_a_time() -> None:
    taken: list[int] = []

    def watched() -> object:
        for frame in _clip(100):
            taken.append(frame.stamp_ns)
            yield frame

    windows = assemble_windows(watched(), 4)  # type: ignore[arg-type]
    next(windows)
    assert len(taken) == 4
    next(windows)
    assert len(taken) == 7


def test_intrinsics_and_depth_are_passed_on_and_unknown_depth_is_zero() -> None:
    frames = _clip(3)
    frames[1] = _Frame(frames[1].image, frames[1].mask, 10, np.full((4, 6), 2.5, np.float32))
    (window,) = assemble_windows(frames, 4, np.eye(3))
    assert window.intrinsics is not None and window.depth_m is not None
    assert window.depth_m[:, 0, 0].tolist() == [0.0, 2.5, 0.0]
    (plain,) = assemble_windows(_clip(3), 4)
    assert plain.depth_m is None and plain.intrinsics is None


def test_what_cannot_be_a_window_is_refused_with_the_frame_named() -> None:
    with pytest.raises(ConfigError, match="window of 1 frames"):
        list(assemble_windows(_clip(3), 1))
    missing = _clip(3)
    missing[2] = _Frame(missing[2].image, None, 20)
    with pytest.raises(MaskError, match="frame 2 has no mask"):
        list(assemble_windows(missing, 4))
    other = _clip(3)
    other[1] = _Frame(np.zeros((4, 8, 3), np.uint8), np.ones((4, 8), bool), 10)
    with pytest.raises(ShapeError, match="frame 1 is 8x4, the first one is 6x4"):
        list(assemble_windows(other, 4))
    back = _clip(3)
    back[2] = _Frame(back[2].image, back[2].mask, 10)
    with pytest.raises(InputError, match="increasing stamps"):
        list(assemble_windows(back, 4))
