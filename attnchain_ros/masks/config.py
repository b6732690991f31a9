"""Masks from a prompt in a live stream; the node's parameters ``sam2.*``."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import Checked, option
from ..errors import ConfigError
from .prompt import Prompt, read_prompt, read_prompts

_NAMES = ("sam2.point", "sam2.not_point", "sam2.box")


@dataclass(frozen=True)
class Sam2Config(Checked):
    """What is followed by SAM 2, with which weights, and how much of the device's time that may take."""

    weights: str = option(
        "",
        "folder of SAM 2's video model (config.json, model.safetensors); empty = sam2.1-hiera-tiny in or beside "
        "`weights`, else in ./weights",
    )
    point: str = option(
        "",
        "'x,y' in pixels of the image: a place on the object in the first image, several with ';' between them; with "
        "max_objects above 1 each is an object of its own, unless it is in a box",
    )
    not_point: str = option("", "likewise, places that do not belong to it")
    box: str = option(
        "",
        "'x,y,width,height' in pixels: a box around the object in the first image; all empty = wait for a prompt; with "
        "max_objects above 1 several with ';' between them, one for each object",
    )
    budget_s: float = option(
        1.0,
        "device time for masks from one window to the next; images beyond that are left out, evenly, but never those "
        "that the next window needs; not with overflow_policy block",
        unit="s",
        low=0.0,
        high=3600.0,
    )

    def prompt(self) -> Prompt | None:
        """What is meant in the first image, None = nothing is said.

        Raises:
            ConfigError: a text is no prompt.
        """
        points, outside, _ = self._texts()
        if not (points or outside or self.box):
            return None
        return read_prompt(points, outside, self.box, names=_NAMES)

    def prompts(self, most: int) -> dict[int, Prompt]:
        """What is meant in the first image where several objects are followed, by id; empty = nothing is said.

        Args:
            most: objects at once.
        Raises:
            ConfigError: a text is no prompt, or there are more objects.
        """
        points, outside, boxes = self._texts()
        found = read_prompts(points, outside, boxes, names=_NAMES) if points or outside or boxes else {}
        if len(found) > most:
            raise ConfigError(
                f"sam2.point and sam2.box point at {len(found)} objects, but max_objects is {most}: raise it, or leave "
                "some out"
            )
        return found

    def _texts(self) -> list[list[str]]:
        """Of points, places outside, and boxes."""
        texts = (self.point, self.not_point, self.box)
        return [[part for part in text.split(";") if part.strip()] for text in texts]
