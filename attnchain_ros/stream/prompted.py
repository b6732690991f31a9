"""Clips whose masks follow from what was pointed at in the first image."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np

from ..errors import MaskError
from ..masks import Prompt, Sight, TrackedMask
from .frame import Event, Frame, IdImage, MaskImage
from .source import FrameSource, WrappedSource


class Tracker(Protocol):
    """What follows an object from image to image: ``masks.tracker.MaskTracker``."""

    def start(self, image: np.ndarray, prompt: Prompt) -> TrackedMask:
        """Begin with an image in which the object is pointed at."""

    def follow(self, image: np.ndarray) -> TrackedMask:
        """The object in the next image, of the same size."""


class ObjectTracker(Protocol):
    """What follows several objects from image to image, by their ids: ``masks.tracker.MaskTracker``."""

    @property
    def ids(self) -> tuple[int, ...]:
        """Who is followed."""

    def forget(self) -> None:
        """Follow nobody."""

    def track(self, image: np.ndarray, prompts: Mapping[int, Prompt] = ...) -> dict[int, TrackedMask]:
        """All objects in the next image, of the same size; with prompts of some."""

    def drop(self, ids: Collection[int]) -> None:
        """Follow these no longer."""


class AnyTracker(Tracker, ObjectTracker, Protocol):
    """Both: one object, or several."""


def id_image(found: Mapping[int, TrackedMask], shape: tuple[int, ...]) -> np.ndarray:
    """Masks of several objects, which do not overlap, as one image [H, W] int32 of ids; 0 = none."""
    ids = np.zeros(shape[:2], np.int32)
    for one, each in found.items():
        ids[each.mask] = one
    return ids


class PromptedObjects(WrappedSource):
    """Another clip, with masks of several objects that a tracker makes, as ``IdImage``; its own are not used.

    Args:
        source: the clip.
        tracker: follows the objects.
        prompts: by id, in the pixels of the first image.
    Attributes:
        counts: by id, images by what was seen in them, of the reading under way.
        first_gone: by id, the number of the first image without it.
    """

    def __init__(self, source: FrameSource, tracker: ObjectTracker, prompts: Mapping[int, Prompt]) -> None:
        super().__init__(source)
        self.masked = True
        self.counts: dict[int, dict[Sight, int]] = {}
        self.first_gone: dict[int, int] = {}
        self._tracker = tracker
        self._prompts = prompts

    def events(self) -> Iterator[Event]:
        """Those of the clip, each image after its ids; in an image of another size there are none.

        Raises:
            ConfigError, MaskError: a prompt does not fit the first image; at the end, no object was in any image.
        """
        self.counts = {one: dict.fromkeys(Sight, 0) for one in self._prompts}
        self.first_gone = {}
        self._tracker.forget()
        shape: tuple[int, ...] | None = None
        number = 0
        for event in self.wrapped.events():
            if isinstance(event, (MaskImage, IdImage)):
                continue
            if isinstance(event, Frame):
                found: dict[int, TrackedMask] = {}
                if shape in (None, event.image.shape):
                    found = self._tracker.track(event.image, {} if shape else self._prompts)
                    shape = event.image.shape
                for one, counts in self.counts.items():
                    sight = found[one].sight if one in found else Sight.LOST
                    counts[sight] += 1
                    if sight.gone:
                        self.first_gone.setdefault(one, number)
                number += 1
                yield IdImage(id_image(found, event.image.shape), event.stamp_ns)
                event = replace(event, mask=None)
            yield event
        if number and all(sight.gone for counts in self.counts.values() for sight, count in counts.items() if count):
            raise MaskError(
                f"not one of the objects was found in {number} images: are they in the first one where the prompts say?"
            )


class PromptedSource(WrappedSource):
    """Another clip, with masks that a tracker makes while the clip is read; masks of its own are not used.

    Args:
        source: the clip.
        tracker: follows the object.
        prompt: in the pixels of the first image.
        on_mask: gets every image with its mask, for instance to keep it.
    Attributes:
        counts: images by what was seen in them, of the reading under way.
        first_gone: number of the first image without the object, None = it is in all so far.
        notes: how masks came about, and when the object was lost and seen again for the first time.
    """

    def __init__(
        self,
        source: FrameSource,
        tracker: Tracker,
        prompt: Prompt,
        on_mask: Callable[[Frame, TrackedMask], object] = lambda frame, found: None,
    ) -> None:
        super().__init__(source)
        instead = "; the clip's own masks are not used" if source.masked else ""
        self.notes.tell("masks_by_prompt", f"masks follow what was pointed at in the first image{instead}")
        self.masked = True
        self.counts = dict.fromkeys(Sight, 0)
        self.first_gone: int | None = None
        self._tracker = tracker
        self._prompt = prompt
        self._on_mask = on_mask

    def events(self) -> Iterator[Event]:
        """Those of the clip, each image with its mask.

        Raises:
            ConfigError, MaskError: the prompt does not fit the first image; at the end, the object was in none.
        """
        self.counts, self.first_gone = dict.fromkeys(Sight, 0), None
        shape: tuple[int, ...] | None = None
        for event in self.wrapped.events():
            if isinstance(event, Frame):
                if shape is None:
                    shape = event.image.shape
                    found = self._tracker.start(event.image, self._prompt)
                elif event.image.shape == shape:
                    found = self._tracker.follow(event.image)
                else:
                    found = self._of_another_size(event.image)
                event.mask = found.mask
                self._count(found.sight)
                self._on_mask(event, found)
            if not isinstance(event, MaskImage):
                yield event
        total = sum(self.counts.values())
        if total and all(sight.gone for sight, count in self.counts.items() if count):
            raise MaskError(
                f"the object was found in none of {total} images: is it in the first one where the prompt says?"
            )

    def _of_another_size(self, image: np.ndarray) -> TrackedMask:
        text = "images of another size than the first one have no masks: nothing was pointed at in them"
        self.notes.tell("prompt_size", text)
        return TrackedMask(np.zeros(image.shape[:2], bool), Sight.LOST, float("-inf"))

    def _count(self, sight: Sight) -> None:
        number = sum(self.counts.values())
        self.counts[sight] += 1
        if sight.gone and self.first_gone is None:
            self.first_gone = number
            self.notes.tell("object_lost", f"the object is not seen in image {number}, nor in others after it")
        if sight is Sight.BACK and self.counts[Sight.BACK] == 1:
            self.notes.tell("object_back", f"the object is seen again in image {number}")
