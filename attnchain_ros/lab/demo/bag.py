"""The demonstration's clip as a small bag, for first steps and for bug reports: what it holds is known exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...camera.poses import invert_pose
from ...files.camera_bag import CameraBagWriter
from ...files.meshes import write_mesh
from ...stream.frame import Frame
from ..evaluation.anchors import clip_mesh
from ..synthetic import Clip
from .beside import beside

METRES_PER_UNIT = 0.25
"""The clip's object fits into a ball of 0.5 m then."""
FIRST_STAMP_NS = 1_767_225_600_000_000_000
"""1 January 2026: fixed, so that the same clip is the same bytes."""
OBJECT_FRAME = "true_object"
"""TF frame in which the clip's object moves, y up; the node's own is object_1."""
ANCHOR = "anchor.glb"
"""The mesh of the first frame, beside the bag's files; object units."""
OWN_ANCHOR = "anchor_{id}.glb"
"""That of each object, where there are several."""
FIXED_FROM_OBJECT = np.array([[1.0, 0, 0, 1.0], [0, 0, -1.0, 0], [0, 1.0, 0, 0.5], [0, 0, 0, 1.0]])
"""The object, y up, stands one metre ahead of a fixed frame whose z is up (REP 103)."""


def write_two_objects(path: Path, clips: tuple[Clip, Clip], rate_hz: float) -> None:
    """Write two clips in one picture, with ids 1 and 2 in the mask, and the mesh of each beside it.

    Args:
        path: folder to make.
        clips: of equal size and frames, with still cameras.
        rate_hz: images per second.
    Raises:
        FileFormatError: ``path`` exists.
    """
    seen = beside(clips)
    placed = [poses[0].copy() for poses in seen.camera_from_object]
    for pose in placed:
        pose[:3, 3] *= METRES_PER_UNIT
    fixed_from_camera = FIXED_FROM_OBJECT @ invert_pose(placed[0])
    with CameraBagWriter(path) as bag:
        for number, (clip, pose) in enumerate(zip(clips, placed, strict=True), 1):
            bag.place(f"{OBJECT_FRAME}_{number}", fixed_from_camera @ pose, FIRST_STAMP_NS)
            write_mesh(bag.folder / OWN_ANCHOR.format(id=number), clip_mesh(clip))
        for number in range(len(seen.images)):
            depth = seen.depth[number] * np.float32(METRES_PER_UNIT)
            frame = Frame(seen.images[number], None, FIRST_STAMP_NS + round(number * 1e9 / rate_hz), depth)
            bag.add(frame, seen.intrinsics, fixed_from_camera, seen.ids[number])


def write_demo_bag(path: Path, clip: Clip, rate_hz: float) -> None:
    """Write a clip as a camera would have recorded it, in metres, and its mesh beside it.

    Args:
        path: folder to make.
        clip: pictures, masks, depth and cameras.
        rate_hz: images per second.
    Raises:
        FileFormatError: ``path`` exists.
    """
    pictures = clip.pictures
    with CameraBagWriter(path) as bag:
        bag.place(OBJECT_FRAME, FIXED_FROM_OBJECT, FIRST_STAMP_NS)
        for number, camera_from_object in enumerate(clip.camera_from_object):
            placed = camera_from_object.copy()
            placed[:3, 3] *= METRES_PER_UNIT
            frame = Frame(
                pictures.images[number],
                pictures.masks[number],
                FIRST_STAMP_NS + round(number * 1e9 / rate_hz),
                pictures.depth[number] * np.float32(METRES_PER_UNIT),
            )
            bag.add(frame, clip.intrinsics, FIXED_FROM_OBJECT @ invert_pose(placed))
        write_mesh(bag.folder / ANCHOR, clip_mesh(clip))
