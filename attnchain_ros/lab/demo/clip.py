"""The clip that is shown: the same for the camera's process and for the measuring one."""

from __future__ import annotations

from ..synthetic import Camera, Clip, ClipConfig, make_clip, split_seed

IMAGE_SIDE = 256
_BACKGROUND = (190, 198, 205)


def demo_clip(index: int, frames: int, camera: Camera = "static") -> Clip:
    """The index-th clip of the split "test", whose seeds are never trained on.

    Args:
        index: of the clip; frames: how many.
        camera: how the camera moves; the object is the same.
    """
    config = ClipConfig(frames=frames, image_size=IMAGE_SIDE, background=_BACKGROUND, camera=camera)
    return make_clip(split_seed("test", index), config)
