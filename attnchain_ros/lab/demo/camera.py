"""The camera's process: ``python -m attnchain_ros.lab.demo.camera INDEX FRAMES RATE NAMESPACE``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ...node import fake_camera
from ...stream.config import StreamConfig
from ...stream.frame import Frame
from ...stream.source import ArraySource
from .clip import demo_clip

FRAME_ID = "camera_optical_frame"


def main(words: Sequence[str]) -> int:
    """Publish the clip once, as soon as someone listens."""
    index, count, rate_hz, namespace = int(words[0]), int(words[1]), float(words[2]), words[3]
    clip = demo_clip(index, count)
    frames = [
        Frame(image, mask, number) for number, (image, mask) in enumerate(zip(clip.images, clip.masks, strict=True))
    ]
    return fake_camera.run(
        ArraySource(frames, f"synthetic:{index}", clip.intrinsics),
        StreamConfig(),
        rate_hz=rate_hz,
        reliable=True,
        namespace=namespace,
        frame_id=FRAME_ID,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
