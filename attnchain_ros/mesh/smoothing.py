"""Outlier rejection and temporal smoothing of landmark displacements (App. C, D.1)."""

from __future__ import annotations

import math

import numpy as np
import torch

from ..config import AnimationConfig
from ..errors import InputError
from ..shapes import check_shape


def reject_outliers(
    anchor: torch.Tensor, raw: torch.Tensor, anchor_index: int, config: AnimationConfig, diagonal: float
) -> torch.Tensor:
    """Tell which landmark matches moved implausibly far (the c of App. D.1: 1 = valid).

    A displacement from the anchor is an outlier above max(outlier_ratio * the frame's median displacement,
    outlier_floor * diagonal), or above outlier_limit * diagonal. Without the floor a mostly static object (a cabinet
    with one moving drawer) would lose its moving part. Positions that are not finite are outliers.

    Args:
        anchor: [K, 3] landmarks in the anchor frame, object frame.
        raw: [F, K, 3] matched positions.
        anchor_index: the frame that is the anchor; always valid.
        config: ratio, floor and limit.
        diagonal: of the anchor's bounding box, object units.
    Returns:
        [F, K] bool, True = valid.
    Raises:
        ShapeError: shapes disagree.   InputError: ``anchor_index`` or ``diagonal`` is out of range.
    Twin: ``lab.reference.smoothing.reject_outliers``.
    """
    frames = _check(anchor, raw, anchor_index)
    if not 0 < diagonal < math.inf:
        raise InputError(f"the anchor's diagonal is {diagonal}, wanted a positive length")
    length = torch.linalg.vector_norm(raw - anchor, dim=-1)
    finite = torch.isfinite(length)
    # nanmedian takes the lower of the two middle values; which one does not matter here, but the twin does the same.
    median = torch.where(finite, length, torch.nan).nanmedian(dim=1).values.nan_to_num(0.0)
    bound = torch.clamp(config.outlier_ratio * median, min=config.outlier_floor * diagonal)
    bound = torch.clamp(bound, max=config.outlier_limit * diagonal)
    valid = finite & (length <= bound[:, None])
    return valid | (torch.arange(frames, device=raw.device) == anchor_index)[:, None]


def keep_landmarks(
    valid_counts: torch.Tensor | np.ndarray,
    frames_seen: int,
    components: torch.Tensor | np.ndarray,
    config: AnimationConfig,
) -> torch.Tensor:
    """Tell which landmarks are reliable enough to move the mesh (App. C: valid in at least 95 % of the frames).

    Counted over the whole sequence so far, because of one window's 16 frames 95 % would mean all. The best
    ``config.keep_landmarks`` of every connected component stay whatever their share, so that no part is left without.

    Args:
        valid_counts: [K] integer, frames in which each landmark was valid.
        frames_seen: frames counted.
        components: [K] integer, the connected component of each landmark's vertex.
        config: valid_share and keep_landmarks.
    Returns:
        [K] bool on the device of ``valid_counts``.
    Raises:
        ShapeError: lengths disagree.   InputError: no frames, or more valid frames than frames.
    Twin: ``lab.reference.smoothing.keep_landmarks``.
    """
    counts = torch.as_tensor(valid_counts).to(torch.int64)
    labels = torch.as_tensor(components).to(counts.device, torch.int64)
    axes = check_shape("valid_counts", counts, "K")
    check_shape("components", labels, "K", "one component per landmark", **axes)
    if frames_seen < 1 or (len(counts) and int(counts.max()) > frames_seen):
        most = int(counts.max()) if len(counts) else 0
        raise InputError(f"landmarks were valid in up to {most} of {frames_seen} frames: count both from the reset")
    # 1e-9: 19 of 20 frames are 95 %, whatever 0.95 * 20 rounds to.
    keep = counts.double() >= config.valid_share * frames_seen - 1e-9
    for label in torch.unique(labels):
        members = torch.nonzero(labels == label)[:, 0]
        best = torch.sort(counts[members], descending=True, stable=True).indices
        keep[members[best[: config.keep_landmarks]]] = True
    return keep


def smooth_displacements(
    anchor: torch.Tensor,
    raw: torch.Tensor,
    valid: torch.Tensor,
    anchor_index: int,
    sigma: float,
    history: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> torch.Tensor:
    """Smooth trajectories over time and bridge their gaps (App. D.1), with raw positions on the right-hand side.

    Displacements from the anchor are averaged with the Gaussian of ``sigma`` frames over the valid frames within
    ceil(3 sigma), the frames before the window (``history``) included. A frame without any valid one that near is
    interpolated linearly in time between the nearest frames of the window that have some, or takes the nearest
    one's value at the window's ends. The anchor frame counts as valid with displacement zero and comes back exactly as
    ``anchor``.

    Args:
        anchor: [K, 3] rest positions, object frame (landmarks or vertices).
        raw: [F, K, 3] positions in each frame; where not valid they may be anything, NaN too.
        valid: [F, K] bool.
        anchor_index: the frame that is the anchor.
        sigma: frames; 0 only bridges gaps.
        history: displacements [h, K, 3] from the same ``anchor``, and valid [h, K] bool, of the frames just before the
            window, oldest first: the last row is the frame before frame 0. None = no earlier frames.
    Returns:
        [F, K, 3] smoothed positions, dtype and device of ``raw``.
    Raises:
        ShapeError: shapes disagree.   InputError: ``sigma`` is negative, or a valid position is not finite.
    Twin: ``lab.reference.smoothing.smooth_displacements``.
    """
    frames = _check(anchor, raw, anchor_index)
    axes = {"F": frames, "K": int(anchor.shape[0])}
    check_shape("valid", valid, "F K", "one flag per frame and landmark", **axes)
    if not 0 <= sigma < math.inf:
        raise InputError(f"sigma is {sigma} frames, wanted 0 or more")
    shift = raw - anchor
    is_anchor = (torch.arange(frames, device=raw.device) == anchor_index)[:, None]
    shift = torch.where((valid & ~is_anchor)[..., None], shift, 0.0)
    weight = valid | is_anchor
    before = 0
    if history is not None:
        past, past_valid = history
        before = check_shape("history displacements", past, "h K 3", K=axes["K"])["h"]
        check_shape("history valid", past_valid, "h K", h=before, K=axes["K"])
        shift = torch.cat([torch.where(past_valid[..., None], past.to(shift), 0.0), shift])
        weight = torch.cat([past_valid.to(weight.device), weight])
    if not torch.isfinite(shift).all():
        raise InputError("a position that counts as valid is not finite: reject outliers first")
    kernel = _gaussian(frames, before, sigma, raw)
    total = kernel @ weight.to(raw.dtype)
    mean = (kernel @ shift.flatten(1)).reshape(frames, axes["K"], 3) / torch.where(total > 0, total, 1.0)[..., None]
    mean = torch.where(is_anchor[..., None], 0.0, _bridge(mean, total > 0))
    return torch.where(is_anchor[..., None], anchor.to(raw.dtype), anchor + mean)


def _gaussian(frames: int, before: int, sigma: float, like: torch.Tensor) -> torch.Tensor:
    """[F, before + F] unnormalised Gaussian between window frames and all frames, cut off at ceil(3 sigma)."""
    now = torch.arange(frames, device=like.device)[:, None]
    gap = (now - torch.arange(-before, frames, device=like.device)).abs()
    if sigma == 0:
        return (gap == 0).to(like.dtype)
    kernel = torch.exp(-0.5 * (gap.to(torch.float64) / sigma) ** 2)
    return torch.where(gap <= math.ceil(3 * sigma), kernel, 0.0).to(like.dtype)


def _bridge(values: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Fill unknown frames of [F, K, 3] linearly in time from the nearest known ones; each column has some."""
    if bool(known.all()):
        return values
    frames = values.shape[0]
    time = torch.arange(frames, device=values.device)[:, None].expand_as(known)
    last = torch.where(known, time, -1).cummax(dim=0).values
    following = torch.where(known, time, frames).flip(0).cummin(dim=0).values.flip(0)
    low = torch.where(last < 0, following, last)
    high = torch.where(following >= frames, low, following)
    share = ((time - low).to(values.dtype) / torch.where(high > low, high - low, 1))[..., None]
    below = torch.gather(values, 0, low[..., None].expand_as(values))
    above = torch.gather(values, 0, high[..., None].expand_as(values))
    filled = below + torch.where((high > low)[..., None], share, 0.0) * (above - below)
    return torch.where(known[..., None], values, filled)


def _check(anchor: torch.Tensor, raw: torch.Tensor, anchor_index: int) -> int:
    axes = check_shape("anchor", anchor, "K 3")
    frames = check_shape("raw", raw, "F K 3", "the anchor's landmarks in every frame", **axes)["F"]
    if not 0 <= anchor_index < frames:
        raise InputError(f"the anchor frame is {anchor_index} of a window with frames 0 to {frames - 1}")
    return frames
