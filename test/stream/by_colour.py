"""A tracker that really follows: what has the colour that was pointed at. For tests, since random weights cannot."""

from __future__ import annotations

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

    def start(self, image: np.ndarray, prompt: Prompt) -> TrackedMask:
        prompt.check_inside(*image.shape[:2])
        self.starts.append(prompt)
        if prompt.mask is not None:
            place = tuple(np.argwhere(prompt.mask)[0])
        elif prompt.points:
            place = round(prompt.points[0][1]), round(prompt.points[0][0])
        else:
            x, y, wide, high = prompt.box or (0, 0, 0, 0)
            place = int(y + high / 2), int(x + wide / 2)
        self._colour, self._gone = image[place].astype(int), False
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
