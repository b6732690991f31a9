"""The laboratory's clips as a source of frames: ``synthetic:SEED`` on the command line."""

from __future__ import annotations

from ..errors import ConfigError
from ..files.images import stamps_from_fps
from ..files.videos import DEFAULT_FPS
from ..stream.frame import Frame
from ..stream.source import ArraySource
from .synthetic import ClipConfig, make_clip, split_seed

FRAMES = 61
SIDE = 256


def synthetic_source(text: str, fps: float | None = None, frames: int = FRAMES) -> ArraySource:
    """A clip of the test split, never trained on: 256 x 256 pixels with exact masks and intrinsics.

    Args:
        text: number of the clip.
        fps: frames per second; None = 30.
        frames: how many; a shorter clip is the beginning of a longer one.
    """
    if not text.isdigit():
        raise ConfigError(f"synthetic:{text}: wanted the number of a clip, such as synthetic:3")
    clip = make_clip(
        split_seed("test", int(text)),
        ClipConfig(frames=frames, image_size=SIDE, background=(190, 198, 205)),
    )
    stamps = stamps_from_fps(frames, DEFAULT_FPS if fps is None else fps)
    pictures = clip.pictures
    parts = zip(pictures.images, pictures.masks, stamps, strict=True)
    pushed = [Frame(image, mask, int(stamp)) for image, mask, stamp in parts]
    return ArraySource(pushed, f"synthetic:{text}", clip.intrinsics)
