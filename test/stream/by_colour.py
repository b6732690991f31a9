"""A tracker that really follows: what has the colour that was pointed at. For tests, since random weights cannot."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

import numpy as np

from attnchain_ros.masks import Prompt, Sight, TrackedMask


class ByColour:
    """Counts what it is asked; ``fails`` errors come first."""

    def __init__(self, fails: int = 0) -> None:
        self.starts: list[Prompt] = []
        self.follows = 0
        self.fails = fails
        self._colour: np.ndarray | None = None
        self._gone = False
        self.tracks = 0
        self._colours: dict[int, np.ndarray] = {}
        self._all_gone: set[int] = set()

    def start(self, image: np.ndarray, prompt: Prompt) -> TrackedMask:
        prompt.check_inside(*image.shape[:2])
        self.starts.append(prompt)
        self._colour, self._gone = colour_at(image, prompt), False
        return self._found(image)

    def follow(self, image: np.ndarray) -> TrackedMask:
        if self.fails:
            self.fails -= 1
            raise RuntimeError("CUDA out of memory")
        self.follows += 1
        return self._found(image)

    def _found(self, image: np.ndarray) -> TrackedMask:
        mask = np.abs(image.astype(int) - self._colour).max(axis=-1) < 20
        sight = Sight.LOST if not mask.any() else Sight.BACK if self._gone else Sight.SEEN
        self._gone = sight.gone
        return TrackedMask(mask, sight, -1.0 if sight.gone else 1.0)

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(self._colours)

    def forget(self) -> None:
        self._colours, self._all_gone = {}, set()

    def track(self, image: np.ndarray, prompts: Mapping[int, Prompt] = MappingProxyType({})) -> dict[int, TrackedMask]:
        if self.fails:
            self.fails -= 1
            raise RuntimeError("CUDA out of memory")
        self.tracks += 1
        for one, prompt in prompts.items():
            prompt.check_inside(*image.shape[:2])
            self._colours[one] = colour_at(image, prompt)
        found = {}
        for one, colour in self._colours.items():
            mask = np.abs(image.astype(int) - colour).max(axis=-1) < 20
            sight = Sight.LOST if not mask.any() else Sight.BACK if one in self._all_gone else Sight.SEEN
            (self._all_gone.add if sight.gone else self._all_gone.discard)(one)
            found[one] = TrackedMask(mask, sight, -1.0 if sight.gone else 1.0)
        return found

    def drop(self, ids: Collection[int]) -> None:
        self._colours = {one: colour for one, colour in self._colours.items() if one not in ids}
        self._all_gone -= set(ids)


def colour_at(image: np.ndarray, prompt: Prompt) -> np.ndarray:
    """The colour that is pointed at."""
    if prompt.mask is not None:
        place = tuple(np.argwhere(prompt.mask)[0])
    elif prompt.points:
        place = round(prompt.points[0][1]), round(prompt.points[0][0])
    else:
        x, y, wide, high = prompt.box or (0, 0, 0, 0)
        place = int(y + high / 2), int(x + wide / 2)
    return image[place].astype(int)
