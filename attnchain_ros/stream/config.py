"""How frames become windows: one set of options and defaults for the command line, for bags and for the node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..config import Checked, option
from ..errors import ConfigError

MaskMode = Literal["first", "latest", "every"]
MASK_MODES: tuple[MaskMode, ...] = ("first", "latest", "every")
POLICIES = ("adaptive", "drop_oldest", "block")
FOREGROUNDS = ("none", "grabcut", "sam2")
MOST_OBJECTS = 32


@dataclass(frozen=True)
class StreamConfig(Checked):
    """Options of a stream; the node's parameters of the same names."""

    image_rectified: bool = option(
        False, "the image is rectified already: CameraInfo's P is used and its distortion ignored"
    )
    overflow_policy: str = option(
        "adaptive",
        "frames faster than windows: 'adaptive' grows the stride, 'drop_oldest' loses the oldest, 'block' waits (bags)",
        choices=POLICIES,
    )
    stride: int = option(1, "only every n-th frame is looked at", low=1, high=1000)
    queue_size: int = option(
        32, "frames that may wait for the device; at least a window", unit="frames", low=2, high=4096
    )
    mask_mode: str = option(
        "every",
        "'every' image needs its mask, 'latest' reuses the newest one, 'first' carries the first one on with GrabCut",
        choices=MASK_MODES,
    )
    foreground: str = option(
        "none",
        "'none' waits for masks; 'sam2' reads none and follows what was pointed at (sam2.*, ~/prompt); 'grabcut' reads "
        "none and cuts the object out by its colours: it fails where object and background look alike, on fast motion, "
        "and when the object leaves the picture",
        choices=FOREGROUNDS,
    )
    foreground_box: str = option(
        "", "'x,y,width,height' in pixels of the image: where grabcut starts; empty = the middle 70 %"
    )
    mask_tolerance_s: float = option(
        0.02, "largest difference between the stamps of an image and its mask or depth", unit="s", low=0.0, high=10.0
    )
    mask_instance_id: int = option(
        0, "value of the object's pixels in the mask; 0 = every pixel that is not 0", low=0, high=65535
    )
    max_gap_s: float = option(
        2.0,
        "a longer gap between frames ends the chain: what waits is computed, then a reset; 0 = never",
        unit="s",
        low=0.0,
        high=3600.0,
    )
    max_objects: int = option(
        1,
        "objects that are followed at once; above 1 each value of the mask that is not 0 is an object's id, and with "
        "foreground sam2 each prompt beside the objects begins another (docs/several_objects.md)",
        low=1,
        high=MOST_OBJECTS,
    )
    max_missing_s: float = option(
        5.0,
        "with max_objects above 1 an object that is in no mask for so long is retired, and makes room; 0 = never",
        unit="s",
        low=0.0,
        high=3600.0,
    )
    reset_on_frame_id_change: bool = option(True, "another frame_id resets; false: such frames are dropped")

    @property
    def tolerance_ns(self) -> int:
        """``mask_tolerance_s`` in nanoseconds."""
        return round(self.mask_tolerance_s * 1e9)

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """Where GrabCut starts: x, y, width, height in pixels; None = the middle of the image.

        Raises:
            ConfigError: ``foreground_box`` is no box.
        """
        return parse_box(self.foreground_box, "foreground_box") if self.foreground_box else None


def check_queue(config: StreamConfig, frames: int) -> None:
    """Whether the queue can hold a window.

    Raises:
        ConfigError: it cannot.
    """
    if config.queue_size < frames:
        raise ConfigError(
            f"queue_size is {config.queue_size}, but a window has {frames} frames: raise queue_size or lower frames"
        )


def check_objects(config: StreamConfig) -> None:
    """Whether several objects can be told apart.

    Raises:
        ConfigError: they cannot.
    """
    if config.max_objects == 1:
        return
    if config.foreground == "grabcut":
        raise ConfigError(
            f"max_objects is {config.max_objects}, but foreground {config.foreground!r} finds one object: "
            "set foreground to none and give masks that hold ids, to sam2 and click on each, or max_objects to 1"
        )
    if config.mask_instance_id:
        raise ConfigError(
            f"max_objects is {config.max_objects}, but mask_instance_id {config.mask_instance_id} chooses one object: "
            "set mask_instance_id to 0, or max_objects to 1"
        )


def parse_box(text: str, name: str) -> tuple[int, int, int, int]:
    """``x,y,width,height`` in whole pixels.

    Args:
        text: as the user gave it.
        name: of the argument or parameter, for the error.
    Raises:
        ConfigError: not four whole numbers, or an empty box.

    >>> parse_box("10,20,30,40", "--box")
    (10, 20, 30, 40)
    """
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(
            f"{name} is {text!r}, wanted 4 numbers separated by commas: whole pixels x,y,width,height"
        ) from error
    if min(x, y) < 0 or min(width, height) < 2:
        raise ConfigError(f"{name} is {text!r}: x and y are at least 0, width and height at least 2")
    return x, y, width, height
