"""GrabCut on a scene whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from attnchain_ros.errors import ConfigError
from attnchain_ros.stream.config import StreamConfig
from attnchain_ros.stream.foreground import GrabCut
from attnchain_ros.stream.frame import Frame
from attnchain_ros.stream.source import ArraySource
from attnchain_ros.stream.windows import ClipWindows


def _scene(count: int) -> tuple[list[Frame], list[np.ndarray]]:
    """An orange disc that moves over a noisy green background."""
    rng = np.random.default_rng(3)
    ground = (np.array([60, 120, 60]) + rng.integers(-12, 13, (90, 120, 3))).astype(np.uint8)
    y, x = np.mgrid[:90, :120]
    frames, truth = [], []
    for number in range(count):
        disc = (x - 50 - 3 * number) ** 2 + (y - 45) ** 2 < 17**2
        image = ground.copy()
        image[disc] = (np.array([220, 120, 30]) + rng.integers(-12, 13, (disc.sum(), 3))).astype(np.uint8)
        frames.append(Frame(image, None, number, sequence=number))
        truth.append(disc)
    return frames, truth


def _overlap(mask: np.ndarray | None, truth: np.ndarray) -> float:
    assert mask is not None
    return float((mask & truth).sum() / (mask | truth).sum())


def test_grabcut_follows_a_moving_disc_and_says_what_it_did() -> None:
    (frames, truth), (again, _) = _scene(6), _scene(6)
    cut = GrabCut()
    cut.fill(frames)
    for frame, disc in zip(frames, truth, strict=True):
        assert _overlap(frame.mask, disc) > 0.9  # seen: 0.96 to 1.0
    assert "GrabCut" in cut.notes[0].text and "box 18,14,84,63" in cut.notes[0].text
    GrabCut().fill(again)
    assert all(np.array_equal(one.mask, two.mask) for one, two in zip(frames, again, strict=True)), (
        "same clip, same masks"
    )


def test_grabcut_keeps_given_masks_and_starts_from_them() -> None:
    frames, truth = _scene(3)
    frames[0].mask = truth[0]
    cut = GrabCut()
    cut.fill(frames)
    assert frames[0].mask is truth[0]
    assert _overlap(frames[2].mask, truth[2]) > 0.9
    assert not cut.notes, "no box was used"


def test_grabcut_goes_on_from_window_to_window_and_starts_from_the_box_in_every_chain() -> None:
    """The second chain is of another size, and its object is elsewhere: nothing of the first one's mask helps there."""
    frames, truth = _scene(5)
    big = [
        Frame(np.fliplr(frame.image).repeat(2, axis=0).repeat(2, axis=1), None, 10 + number)
        for number, frame in enumerate(frames)
    ]
    big_truth = [np.fliplr(disc).repeat(2, axis=0).repeat(2, axis=1) for disc in truth]
    windows = ClipWindows(ArraySource([*frames, *big], "two chains"), StreamConfig(foreground="grabcut"), 3)
    parts = list(windows)
    assert [part.chain for part in parts] == [0, 0, 1, 1]
    for rows, part in zip([range(3), range(2, 5)] * 2, parts, strict=True):
        for mask, row in zip(part.window.masks, rows, strict=True):
            assert _overlap(mask, (big_truth if part.chain else truth)[row]) > 0.9
    started = [note.text for note in windows.notes if note.code == "masks_by_grabcut"]
    assert len(started) == 2 and "box 18,14,84,63" in started[0] and "box 36,27,168,126" in started[1]


def test_grabcut_never_gives_an_empty_mask_after_a_good_one() -> None:
    frames, _ = _scene(2)
    background = frames[0].image.copy()
    background[:] = np.random.default_rng(0).integers(0, 255, background.shape, dtype=np.uint8)
    gone = [frames[0], Frame(background, None, 1)]
    GrabCut().fill(gone)
    assert all(frame.mask is not None and frame.mask.any() for frame in gone)


def test_a_box_outside_the_image_is_refused() -> None:
    frames, _ = _scene(1)
    with pytest.raises(ConfigError, match="100,0,50,20 does not lie inside the 120x90"):
        GrabCut((100, 0, 50, 20)).fill(frames)
    with pytest.raises(ConfigError, match="covers the whole image"):
        GrabCut((0, 0, 120, 90)).fill(frames)
