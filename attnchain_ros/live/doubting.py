"""A window's poses against what the live lane saw in the same images before the window was computed.

The lane carries an earlier window from picture to picture, until it is lost; where a new window says that the object is
seen from another side, or is elsewhere, one of the two is wrong, and nobody should act on either. The limits are far
above what the lane is off before it says that it is lost (docs/live.md) and what a thing's parts make of its pose.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from ..notes import Note
from ..rollout.window import WindowResult, hide_untrusted

LEAST_FRAMES = 3
"""So many frames have to be comparable."""

MOST_TURN_DEG = 60.0
MOST_ZOOM = 1.6
"""A window is doubted if the median of its frames is turned by more, or nearer or farther by more than this factor."""


@dataclass(frozen=True)
class Sighting:
    """Where the live lane saw the object in one image.

    Attributes:
        stamp_ns: of the image.
        camera_from_object: [4, 4] object units.
    """

    stamp_ns: int
    camera_from_object: np.ndarray


def doubted(result: WindowResult, sightings: Sequence[Sighting]) -> WindowResult:
    """The result, without trust in its poses where the live lane contradicts them.

    Args:
        result: of a window.
        sightings: any; those of other images do not count.
    Returns:
        the same, or with no pose ``valid``, no places in the camera, confidence 0, and a note with the numbers.
    """
    by_stamp = {one.stamp_ns: one for one in sightings}
    stamps = [int(stamp) for stamp in result.stamps_ns]
    frames = [
        frame
        for frame in np.flatnonzero(result.camera.valid)
        if frame >= result.shared_first and stamps[frame] in by_stamp
    ]
    if len(frames) < LEAST_FRAMES:
        return result
    said = result.camera.camera_from_object[frames]
    seen = np.stack([by_stamp[stamps[frame]].camera_from_object for frame in frames])
    between = Rotation.from_matrix(np.swapaxes(seen[:, :3, :3], 1, 2) @ said[:, :3, :3])
    turn = math.degrees(float(np.median(between.magnitude())))
    away = np.linalg.norm(said[:, :3, 3], axis=1) / np.linalg.norm(seen[:, :3, 3], axis=1)
    zoom = math.exp(float(np.median(np.abs(np.log(away)))))
    if turn <= MOST_TURN_DEG and zoom <= MOST_ZOOM:
        return result
    camera = replace(result.camera, valid=np.zeros(result.frames, bool))
    text = (
        f"no camera pose of this window is trusted (not valid, no TF): what the live lane saw in {len(frames)} of its "
        f"images is turned by {turn:.0f} degrees (trusted up to {MOST_TURN_DEG:g}), its distance other by a factor of "
        f"{zoom:.2f} (up to {MOST_ZOOM:g})"
    )
    return replace(
        result,
        camera=camera,
        tracks=hide_untrusted(result.tracks, result.camera, camera),
        confidence=np.zeros_like(result.confidence),
        notes=(*result.notes, Note("poses_against_live", text)),
    )
