"""One helper that checks array shapes at public edges, so that errors read alike everywhere."""

from __future__ import annotations

from typing import Protocol

from .errors import ShapeError


class HasShape(Protocol):
    """Anything with a shape: a numpy array or a torch tensor."""

    @property
    def shape(self) -> tuple[int, ...]: ...


def check_shape(name: str, array: HasShape, wanted: str, advice: str = "", /, **axes: int) -> dict[str, int]:
    """Check one array against a pattern such as ``"F V 3"`` and return the axis sizes it binds.

    Args:
        name: what the array is called in the error.
        array: numpy array or torch tensor.
        wanted: axes separated by spaces; a number is a fixed size, a name is bound at first use and must agree after
            (pass the result of an earlier call as ``**axes`` to make arrays agree with one another); ``...`` in front
            allows any leading axes.
        advice: what to do about it, appended to the error.
        **axes: sizes already bound.
    Returns:
        every bound axis: ``axes`` plus the names met here.
    Raises:
        ShapeError: number of axes or a size differs; the message reads what / got / wanted / do.

    >>> import numpy as np
    >>> check_shape("vertices", np.zeros((4, 7, 3)), "F V 3")
    {'F': 4, 'V': 7}
    >>> check_shape("mask", np.zeros((480, 640)), "H W", "publish it at image size", H=720, W=1280)
    Traceback (most recent call last):
        ...
    attnchain_ros.errors.ShapeError: mask has shape [480, 640], wanted [H=720, W=1280]: publish it at image size
    """
    got = tuple(int(size) for size in array.shape)
    names = wanted.split()
    free_front = bool(names) and names[0] == "..."
    if free_front:
        names = names[1:]
    tail = got[len(got) - len(names) :] if free_front else got
    bound = dict(axes)
    fits = len(tail) == len(names) and len(got) >= len(names)
    if fits:
        for size, axis in zip(tail, names, strict=True):
            limit = int(axis) if axis.isdigit() else bound.setdefault(axis, size)
            fits = fits and size == limit
    if not fits:
        parts = [f"{axis}={axes[axis]}" if axis in axes else axis for axis in names]
        text = ", ".join((["..."] if free_front else []) + parts)
        raise ShapeError(f"{name} has shape {list(got)}, wanted [{text}]" + (f": {advice}" if advice else ""))
    return bound
