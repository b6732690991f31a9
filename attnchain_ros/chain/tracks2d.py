"""2D point tracks from attention alone: P_a -> Z_a -> Z_f -> P_f (Eq. 6)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..camera.crop import Crop
from ..conventions import ANCHOR_FRAME
from ..errors import ShapeError
from ..shapes import check_shape
from .correspondence import transport, widen


@dataclass(frozen=True)
class PatchTracks:
    """Where the queries are in every frame, on the CPU.

    Attributes:
        points_px: [F, Q, 2] float32 full-frame pixels; NaN for a query outside the crop.
        score: [F, Q] float32 chain score of the best patch, >= 0; 0 for a query outside the crop.
    """

    points_px: np.ndarray
    score: np.ndarray


@dataclass(frozen=True)
class PatchPlaces:
    """Where each patch of the anchor frame is in every frame, on the CPU.

    Attributes:
        place: [F, P, 2] float32 (column, row), patch centres at integers.
        score: [F, P] float32 chain score of the best patch, >= 0.
    """

    place: np.ndarray
    score: np.ndarray


def grid_side(patches: int) -> int:
    """Patches along one side of a square grid.

    Raises:
        ShapeError: the number is not a square.
    """
    side = math.isqrt(patches)
    if side * side != patches or side == 0:
        raise ShapeError(f"there are {patches} patches, wanted a square number: drop the class token first")
    return side


def first_hop(token_patches: Tensor) -> Tensor:
    """Attention of patches over tokens, P -> Z, from the cross-attention of tokens over patches, Z -> P.

    Args:
        token_patches: [N, P] or [F, N, P], non-negative, class token dropped.
    Returns:
        [P, N] or [F, P, N], float32 (float64 if given); rows sum to 1, or are zero for a patch no token looks at.
    """
    check_shape("token_patches", token_patches, "... N P")
    turned = widen(token_patches).transpose(-1, -2)
    total = turned.sum(dim=-1, keepdim=True)
    return turned / torch.where(total > 0, total, torch.ones_like(total))


def patch_scores(anchor_patches: Tensor, token_tokens: Tensor, frame_patches: Tensor) -> Tensor:
    """Score of every patch of other frames for query patches of the anchor frame (Eq. 6).

    Args:
        anchor_patches: [Q, N] rows of ``first_hop`` for the query patches.
        token_tokens: [N, M] anchor tokens to the tokens of one frame, or [F, N, M] of several.
        frame_patches: [M, P] the frame's cross-attention of tokens over patches as it is, or [F, M, P].
    Returns:
        [Q, P] or [F, Q, P].
    Raises:
        ShapeError: sizes disagree.
    Twin: ``lab.reference.tracks2d.patch_scores``.
    """
    axes = check_shape("anchor_patches", anchor_patches, "Q N")
    pattern = "N M" if token_tokens.ndim == 2 else "F N M"
    axes = check_shape("token_tokens", token_tokens, pattern, **axes)
    check_shape("frame_patches", frame_patches, "M P" if token_tokens.ndim == 2 else "F M P", **axes)
    carried = transport(anchor_patches, token_tokens)
    return carried @ widen(frame_patches).to(carried.dtype)


def soft_argmax(scores: Tensor, grid: int) -> Tensor:
    """Place of the best patch to a fraction of a patch: the mean of its 3 x 3 surroundings, weighted by score.

    At the border the surroundings are cut, so the place never leaves the patch centres. Where all scores are 0 it is
    the best patch itself.

    Args:
        scores: [..., P] non-negative, P = grid * grid patches, row-major.
        grid: patches along one side.
    Returns:
        [..., 2] (column, row), patch centres at integers, in [0, grid - 1].
    Raises:
        ShapeError: P is not grid * grid.
    Twin: ``lab.reference.tracks2d.soft_argmax``.

    >>> soft_argmax(torch.tensor([0.0, 0, 0, 0, 1, 1, 0, 0, 0]), 3).tolist()
    [1.5, 1.0]
    """
    check_shape("scores", scores, "... P", "flatten the patches, row-major", P=grid * grid)
    scores = widen(scores)
    best = scores.argmax(dim=-1)
    step = torch.arange(-1, 2, device=scores.device)
    row = (best // grid)[..., None, None] + step[:, None]
    column = (best % grid)[..., None, None] + step[None, :]
    inside = (row >= 0) & (row < grid) & (column >= 0) & (column < grid)
    place = row.clamp(0, grid - 1) * grid + column.clamp(0, grid - 1)
    weight = scores.gather(-1, place.flatten(-2)).reshape(place.shape) * inside
    total = weight.sum(dim=(-1, -2))
    known = total > 0
    total = torch.where(known, total, torch.ones_like(total))
    x = torch.where(known, (weight * column).sum(dim=(-1, -2)) / total, (best % grid).to(total.dtype))
    y = torch.where(known, (weight * row).sum(dim=(-1, -2)) / total, (best // grid).to(total.dtype))
    return torch.stack([x, y], dim=-1)


def hard_argmax(scores: Tensor, grid: int) -> Tensor:
    """Place of the best patch, as Eq. 6 has it: its centre; the first one where scores are equal.

    Args and returns as for ``soft_argmax``.
    Twin: ``lab.reference.tracks2d.hard_argmax``.

    >>> hard_argmax(torch.tensor([0.0, 0, 0, 0, 0, 1, 0, 0, 0]), 3).tolist()
    [2.0, 1.0]
    """
    check_shape("scores", scores, "... P", "flatten the patches, row-major", P=grid * grid)
    best = widen(scores).argmax(dim=-1)
    return torch.stack([best % grid, best // grid], dim=-1).float()


def patch_places(
    token_tokens: Tensor, token_patches: Tensor, locate: Callable[[Tensor, int], Tensor] = soft_argmax
) -> PatchPlaces:
    """Where every patch of the anchor frame is in every frame of a window, with the attention of Stage I (Eq. 6).

    Args:
        token_tokens: [F, N, N] anchor tokens to each frame's tokens.
        token_patches: [F, N, P] cross-attention of each frame's tokens over its patches, class token dropped.
        locate: from scores [P, P] to places [P, 2]: ``soft_argmax`` or ``hard_argmax``.
    Returns:
        places and scores, on the CPU.
    Raises:
        ShapeError: sizes disagree.
    """
    axes = check_shape("token_tokens", token_tokens, "F N M")
    axes = check_shape("token_patches", token_patches, "F M P", "one cross-attention per frame", **axes)
    grid = grid_side(axes["P"])
    rows = first_hop(token_patches[ANCHOR_FRAME])
    places, best = [], []
    # One frame at a time: the scores of all frames together would be F * P * P numbers.
    for frame in range(axes["F"]):
        scores = patch_scores(rows, token_tokens[frame], token_patches[frame])
        places.append(locate(scores, grid))
        best.append(scores.amax(dim=-1))
    return PatchPlaces(torch.stack(places).cpu().numpy(), torch.stack(best).cpu().numpy())


def carry_queries(queries_px: np.ndarray, places: PatchPlaces, crop: Crop) -> PatchTracks:
    """Tracks of pixels of the anchor frame whose patches were found in every frame (Eq. 6).

    A query takes the way of the patch that it lies in; its offset inside that patch is added again in every frame. In
    the anchor frame it stays where it was asked for.

    Args:
        queries_px: [Q, 2] full-frame pixels of the anchor frame.
        places: of all patches.   crop: the crop that all frames were encoded from.
    Raises:
        ShapeError: sizes disagree.
    """
    check_shape("queries_px", queries_px, "Q 2")
    grid = grid_side(places.place.shape[1])
    queries = np.asarray(queries_px, dtype=np.float64)
    patch = crop.patch_of(queries, grid)
    asked = np.flatnonzero(patch >= 0)
    frames = len(places.place)
    points = np.full((frames, len(queries), 2), np.nan, dtype=np.float32)
    score = np.zeros((frames, len(queries)), dtype=np.float32)
    home = patch[asked]
    offset = crop.patch_coordinates(queries[asked], grid) - np.stack([home % grid, home // grid], axis=-1)
    points[:, asked] = crop.patch_to_full(places.place[:, home].astype(np.float64) + offset, grid)
    score[:, asked] = places.score[:, home]
    points[ANCHOR_FRAME, asked] = queries[asked]
    return PatchTracks(points_px=points, score=score)


def track_patches(
    queries_px: np.ndarray,
    token_tokens: Tensor,
    token_patches: Tensor,
    crop: Crop,
    locate: Callable[[Tensor, int], Tensor] = soft_argmax,
) -> PatchTracks:
    """Track pixels of the anchor frame through a window: ``patch_places``, then ``carry_queries`` (Eq. 6).

    Twin: ``lab.reference.tracks2d.track_patches``.
    """
    check_shape("queries_px", queries_px, "Q 2")
    return carry_queries(queries_px, patch_places(token_tokens, token_patches, locate), crop)
