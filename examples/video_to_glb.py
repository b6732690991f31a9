#!/usr/bin/env python3
"""A video to an animated GLB: python3 examples/video_to_glb.py VIDEO OUT.glb [MASKS]."""

import sys

import attnchain_ros as ac


def main(video: str, out: str, masks: str | None = None) -> None:
    """Masks: a folder with one per image; without, the object is cut out by its colours."""
    animation = ac.animate(video, masks=masks)
    animation.write_glb(out)
    print(f"{out}: {len(animation.vertices)} frames of {animation.vertices.shape[1]} vertices")  # noqa: T201
    for note in animation.notes:
        print(f"note: {note}")  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
