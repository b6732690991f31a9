"""What a window's own figures say about how far it can be trusted: a number that is measured is also judged."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ..conventions import ANCHOR_FRAME
from ..notes import Note
from .window import WindowResult

TRUSTED_OVERLAP = 0.6
"""Outline overlap from which a window is trusted, for masks of whole objects (0.9 and more where all is well)."""
TRUSTED_POSES = 0.5
"""Share of frames with a camera pose of their own from which a window is trusted."""


LEAST_SIDE_M, MOST_SIDE_M = 0.001, 100.0
"""Longest sides of objects that a metric scale is believed for."""


def judged(result: WindowResult, depth_given: bool = False) -> WindowResult:
    """The result with what it says of itself: notes with likely causes, and a confidence that follows.

    Below ``TRUSTED_OVERLAP`` the frames' confidence shrinks with the overlap, below ``TRUSTED_POSES`` with the share of
    poses.
    """
    notes = list(result.notes)
    factor = 1.0
    overlap, poses = result.silhouette_iou, float(np.mean(result.camera.valid))
    if not math.isnan(overlap) and overlap < TRUSTED_OVERLAP:
        factor *= overlap / TRUSTED_OVERLAP
        notes.append(
            Note(
                "overlap_low",
                f"the posed mesh and the first mask overlap by {overlap:.2f} only, trusted from {TRUSTED_OVERLAP:g}. "
                "Likely causes, in this order: the mask is not the whole object and nothing else; a given mesh is "
                "turned (anchor_rotation_deg), holds more than the object, or is inside out; the weights do not know "
                "such things",
            )
        )
    if poses < TRUSTED_POSES:
        factor *= poses / TRUSTED_POSES
        found = int(np.count_nonzero(result.camera.valid))
        notes.append(
            Note(
                "poses_few",
                f"only {found} of {result.frames} frames have a camera pose of their own that is trusted: cameras, 3D "
                "tracks and the overlap are not to be trusted; look at the masks and the intrinsics",
            )
        )
    side = float(np.ptp(result.vertices[0], axis=0).max()) * result.scale
    if depth_given and not result.metric and result.camera.valid[ANCHOR_FRAME]:
        text = (
            "no pixel of the depth images agrees with the mesh: results are unitless; is depth registered to the image?"
        )
        notes.append(Note("depth_unused", text))
    elif result.metric and not LEAST_SIDE_M <= side <= MOST_SIDE_M:
        text = f"the object's longest side is {side:.3g} m: check the depth images' unit, or camera.object_size_m"
        notes.append(Note("scale_implausible", text))
    if factor == 1.0 and len(notes) == len(result.notes):
        return result
    return replace(result, confidence=(result.confidence * np.float32(factor)), notes=tuple(notes))
