"""Metres per object unit, from a depth image."""

from __future__ import annotations

import numpy as np

from ..shapes import check_shape

MIN_PIXELS = 50
"""Pixels with measured and drawn depth below which no scale is given."""


def metric_scale(
    depth_m: np.ndarray, mask: np.ndarray, rendered_depth: np.ndarray, min_pixels: int = MIN_PIXELS
) -> float | None:
    """Scale of an object that was posed without units: the median ratio of measured to drawn depth.

    Monocular reconstruction leaves object and distance scaled by one unknown number, so every pixel of the object
    gives the same ratio; the median bears up to half of them being wrong (flying pixels at edges, background).

    Args:
        depth_m: [H, W] measured z, metres; 0, negative or not finite = unknown.
        mask: [H, W] bool, the object.
        rendered_depth: [H, W] z of the posed mesh, object units; inf = nothing (``RasterBuffer.depth``).
        min_pixels: fewest pixels to trust.
    Returns:
        metres per object unit, or None where fewer than ``min_pixels`` pixels have both depths.
    Raises:
        ShapeError: sizes disagree.
    """
    axes = check_shape("depth_m", depth_m, "H W")
    check_shape("mask", mask, "H W", "publish it at the depth image's size", **axes)
    check_shape("rendered_depth", rendered_depth, "H W", "draw the mesh at the depth image's size", **axes)
    known = np.asarray(mask).astype(bool) & np.isfinite(depth_m) & (depth_m > 0)
    known &= np.isfinite(rendered_depth) & (rendered_depth > 0)
    if int(known.sum()) < max(min_pixels, 1):
        return None
    return float(np.median(depth_m[known].astype(np.float64) / rendered_depth[known]))
