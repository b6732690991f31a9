"""A clip with masks from what was pointed at, as the rollout gets it."""

from __future__ import annotations

import numpy as np
import pytest
from stream.by_colour import ByColour

from attnchain_ros.errors import ConfigError, MaskError
from attnchain_ros.masks import Prompt, Sight
from attnchain_ros.notes import texts
from attnchain_ros.stream.config import StreamConfig
from attnchain_ros.stream.frame import Frame, MaskImage
from attnchain_ros.stream.prompted import PromptedSource
from attnchain_ros.stream.source import ArraySource, WrappedSource
from attnchain_ros.stream.windows import ClipWindows

RED = np.array([220, 40, 30], np.uint8)
POINT = Prompt(points=((12.0, 10.0),))


def frames(present: list[bool], size: tuple[int, int] = (24, 40)) -> list[Frame]:
    """A red square that wanders, where it is present."""
    found = []
    for number, here in enumerate(present):
        image = np.full((*size, 3), (20, 60, 160), np.uint8)
        if here:
            image[8:16, 10 + number : 18 + number] = RED
        found.append(Frame(image, None, (number + 1) * 10**8))
    return found


def clip(present: list[bool], prompt: Prompt = POINT) -> PromptedSource:
    return PromptedSource(ArraySource(frames(present), "made"), ByColour(), prompt)


@pytest.mark.parametrize("prompt", [POINT, Prompt(box=(9.0, 7.0, 10.0, 10.0)), Prompt(mask=np.eye(24, 40) > 0)])
def test_windows_have_the_masks_of_the_tracker(prompt: Prompt) -> None:
    source = clip([True] * 7, prompt)
    parts = list(ClipWindows(source, StreamConfig(), 4))
    assert [part.window.frames for part in parts] == [4, 4] and source.masked
    wanted = np.stack([(frame.image == frame.image[tuple(at(prompt))]).all(axis=-1) for frame in frames([True] * 7)])
    found = np.concatenate([parts[0].window.masks, parts[1].window.masks[1:]])
    assert np.array_equal(found, wanted) and 0 < wanted[0].mean() < 1
    assert source.counts[Sight.SEEN] == 7 and source.first_gone is None


def at(prompt: Prompt) -> tuple[int, int]:
    """A pixel of what is meant in every image: of the square in the middle, or of what is about it."""
    return (0, 0) if prompt.mask is not None else (10, 17)


def test_images_without_the_object_are_left_out_and_told() -> None:
    source = clip([True, True, True, False, False, True, True, False, True])
    windows = ClipWindows(source, StreamConfig(), 4)
    used = sum(part.new_frames for part in windows)
    assert used == 6 and source.first_gone == 3
    assert source.counts == {Sight.SEEN: 4, Sight.LOST: 3, Sight.EMPTY: 0, Sight.BACK: 2}
    told = " ".join(texts([*source.notes, *windows.notes]))
    assert "not seen in image 3" in told and "seen again in image 5" in told
    assert "3 of 9 images were left out: with an empty mask" in told


def test_a_second_reading_starts_anew() -> None:
    source = clip([True, False, True])
    assert sum(isinstance(event, Frame) for event in source.events()) == 3
    list(source.events())
    assert sum(source.counts.values()) == 3 and source.first_gone == 1


def test_masks_of_the_clip_are_not_used() -> None:
    class Masked(WrappedSource):
        def events(self):
            for frame in self.wrapped.events():
                frame.mask = np.ones(frame.image.shape[:2], bool)
                yield MaskImage(frame.mask, frame.stamp_ns)
                yield frame

    inner = Masked(ArraySource(frames([True] * 3), "made"))
    inner.masked = True
    source = PromptedSource(inner, ByColour(), POINT)
    events = list(source.events())
    assert len(events) == 3 and all(isinstance(event, Frame) and event.mask.mean() < 0.1 for event in events)
    assert "own masks are not used" in source.notes[0].text


def test_another_size_has_no_masks() -> None:
    both = [*frames([True] * 3), *frames([True] * 2, (30, 40))]
    source = PromptedSource(ArraySource(both, "two sizes"), ByColour(), POINT)
    masks = [event.mask for event in source.events() if isinstance(event, Frame)]
    assert [bool(mask.any()) for mask in masks] == [True] * 3 + [False] * 2
    assert masks[-1].shape == (30, 40) and "another size" in " ".join(texts(source.notes))


def test_what_cannot_be_used() -> None:
    with pytest.raises(ConfigError, match="the point 100,10 is outside the image: x goes to 39, y to 23"):
        list(clip([True], Prompt(points=((100.0, 10.0),))).events())
    with pytest.raises(MaskError, match="the object was found in none of 1 images"):
        list(ClipWindows(PromptedSource(ArraySource(frames([False]), "none"), Never(), POINT), StreamConfig(), 4))


class Never(ByColour):
    """Sees nothing."""

    def _found(self, image: np.ndarray):
        return super()._found(np.zeros_like(image))
