"""What tells the tracker which object is meant: points, a box, or a first mask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..config import parse_numbers
from ..errors import ConfigError, MaskError


@dataclass(frozen=True, eq=False)
class Prompt:
    """Where the object is in one image. Pixels: x to the right, y down, the centre of the first pixel at (0, 0).

    Attributes:
        points: x, y of pixels on the object.
        outside: x, y of pixels that do not belong to it.
        box: x, y, width, height around the object, together with points or alone.
        mask: [H, W] bool, the object itself; then without points and box.
    Raises:
        ConfigError: nothing is given, a mask together with something else, a number that is none, or a box without an
            inside.
        MaskError: an empty mask.
    """

    points: tuple[tuple[float, float], ...] = ()
    outside: tuple[tuple[float, float], ...] = ()
    box: tuple[float, float, float, float] | None = None
    mask: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.mask is not None and (self.points or self.outside or self.box is not None):
            raise ConfigError("a first mask says all there is to say: give it without points and box")
        if self.mask is None and not self.points and self.box is None:
            raise ConfigError("the prompt is empty: give a point on the object, a box around it, or a first mask")
        if self.mask is not None and not self.mask.any():
            raise MaskError("the first mask is empty: mark the object in it")
        for numbers in (*self.points, *self.outside, *(() if self.box is None else (self.box,))):
            if not all(map(math.isfinite, numbers)):
                told = ",".join(f"{number:g}" for number in numbers)
                raise ConfigError(f"the prompt {told} is no place in an image: wanted finite pixels")
        if self.box is not None and not (self.box[2] > 0 and self.box[3] > 0):
            wide, high = self.box[2:]
            raise ConfigError(f"the box is {wide:g} x {high:g} pixels, wanted a width and a height above 0")

    def check_inside(self, height: int, width: int) -> None:
        """Refuse what lies outside an image of this size.

        Raises:
            ConfigError: a point or a corner of the box is outside.   MaskError: the mask has another size.
        """
        for x, y in (*self.points, *self.outside):
            if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
                raise ConfigError(
                    f"the point {x:g},{y:g} is outside the image: x goes to {width - 1}, y to {height - 1}"
                )
        if self.box is not None:
            x, y, wide, high = self.box
            if x < 0 or y < 0 or x + wide > width or y + high > height:
                raise ConfigError(
                    f"the box {x:g},{y:g},{wide:g},{high:g} leaves the image of {width} x {height} pixels"
                )
        if self.mask is not None and self.mask.shape != (height, width):
            raise MaskError(
                f"the first mask has {self.mask.shape[1]} x {self.mask.shape[0]} pixels, the image {width} x {height}"
            )

    def coordinates(self) -> tuple[np.ndarray, np.ndarray]:
        """Points [n, 2] float32 in pixels and their labels [n] int32: 1 object, 0 outside, 2 and 3 a box's corners."""
        points: list[tuple[float, float]] = []
        labels: list[int] = []
        if self.box is not None:
            x, y, wide, high = self.box
            points += [(x, y), (x + wide, y + high)]
            labels += [2, 3]
        points += [*self.points, *self.outside]
        labels += [1] * len(self.points) + [0] * len(self.outside)
        return np.array(points, np.float32).reshape(-1, 2), np.array(labels, np.int32)


def read_prompt(
    points: Sequence[str],
    outside: Sequence[str] = (),
    box: str = "",
    mask: np.ndarray | None = None,
    names: tuple[str, str, str] = ("--point", "--not-point", "--box"),
) -> Prompt:
    """A prompt from texts, as arguments and parameters have them.

    Args:
        points, outside: ``x,y`` each.
        box: ``x,y,width,height``, "" = none.
        mask: [H, W] bool.
        names: what the three are called, for errors.
    Raises:
        ConfigError, MaskError: not of this form, or as for ``Prompt``.

    >>> read_prompt(["3,4"], box="1,2,10,20")
    Prompt(points=((3.0, 4.0),), outside=(), box=(1.0, 2.0, 10.0, 20.0), mask=None)
    """
    on, off = (
        tuple((x, y) for x, y in (parse_numbers(text, 2, name) for text in texts))
        for name, texts in ((names[0], points), (names[1], outside))
    )
    around = None
    if box:
        x, y, wide, high = parse_numbers(box, 4, names[2])
        around = (x, y, wide, high)
    return Prompt(on, off, around, mask)


def read_prompts(
    points: Sequence[str],
    outside: Sequence[str] = (),
    boxes: Sequence[str] = (),
    names: tuple[str, str, str] = ("--point", "--not-point", "--box"),
) -> dict[int, Prompt]:
    """Prompts of several objects by id, from 1 on: each box with the points in it, then each point that is in no box.

    Args:
        points, outside, boxes: as for ``read_prompt``; what is ``outside`` belongs to none of the objects, and a point
            in several boxes to the smallest.
        names: what the three are called, for errors.
    Raises:
        ConfigError: not of this form, or there is no object in it.

    >>> [len(one.points) for one in read_prompts(["3,4", "50,60"], boxes=["1,2,10,20"]).values()]
    [1, 1]
    """
    found = [read_prompt((), outside, box, names=names) for box in boxes]
    for text in points:
        point = read_prompt((text,), outside, names=names)
        x, y = point.points[0]
        about = [
            one for one in found if one.box and 0 <= x - one.box[0] <= one.box[2] and 0 <= y - one.box[1] <= one.box[3]
        ]
        if about:
            place = found.index(min(about, key=lambda one: one.box[2] * one.box[3] if one.box else math.inf))
            found[place] = replace(found[place], points=(*found[place].points, (x, y)))
        else:
            found.append(point)
    if not found:
        raise ConfigError(f"no object is pointed at: give {names[0]} or {names[2]}, one for each")
    return dict(enumerate(found, 1))
