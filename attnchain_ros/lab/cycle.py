"""There and back through the attention chain: how good a reading of attention is, without any ground truth."""

from __future__ import annotations

import torch
from torch import Tensor

from ..chain.correspondence import match_surface, transport
from ..chain.tracks2d import first_hop
from ..config import MatchConfig
from ..errors import InputError
from ..shapes import check_shape


def return_points(
    found_tokens: Tensor,
    token_tokens: Tensor,
    anchor_tokens: Tensor,
    anchor_points: Tensor,
    config: MatchConfig,
    diagonal: float,
) -> Tensor:
    """The way back: matched points of a frame through the transposed chain V_f -> Z_f -> Z_a -> V_a.

    The middle link is the map that led there, turned around: A_{Za→Zf} transposed, each row (now one for every token of
    the frame) divided by its sum. Both ends are read from the decoder as on the way there, and the landing point is
    blended as in Eq. 4.

    Args:
        found_tokens: [K, M] attention of the points found in the frame over the frame's tokens.
        token_tokens: [N, M] the map that led there, a row for each anchor token.
        anchor_tokens: [V, N] attention of the anchor's surface points over the anchor's tokens.
        anchor_points: [V, 3] those points, object frame, object units.
        config, diagonal: as for ``match_surface``.
    Returns:
        [K, 3] float32 where each point comes back to.
    Raises:
        ShapeError: sizes disagree.   SurfaceError: no anchor points.   InputError: ``diagonal`` is not positive.
    Twin: ``lab.reference.cycle.return_points``.
    """
    axes = check_shape("token_tokens", token_tokens, "N M")
    check_shape("found_tokens", found_tokens, "K M", M=axes["M"])
    # The same operation as for Eq. 6: a map turned around, with rows that sum to 1.
    back = first_hop(token_tokens)
    return match_surface(transport(found_tokens, back), anchor_tokens, anchor_points, config, diagonal).points


def cycle_errors(start: Tensor, returned: Tensor, diagonal: float) -> Tensor:
    """[K] distances between where points started and where they came back to [K, 3], as shares of the diagonal.

    Raises:
        ShapeError: sizes disagree.   InputError: ``diagonal`` is not positive.

    >>> cycle_errors(torch.zeros(1, 3), torch.tensor([[3.0, 0.0, 4.0]]), 10.0).tolist()
    [0.5]
    """
    axes = check_shape("start", start, "K 3")
    check_shape("returned", returned, "K 3", **axes)
    if not diagonal > 0:
        raise InputError(f"diagonal is {diagonal}, wanted a positive length: pass the mesh's bounding-box diagonal")
    return (returned.float() - start.float()).norm(dim=1) / diagonal


def nearest_neighbours(points: Tensor, count: int) -> Tensor:
    """[K, n] int64 the nearest other points of each of K points [K, 3], nearest first; n = min(count, K - 1).

    Points at the same distance are ordered by number.

    Raises:
        InputError: fewer than two points, or ``count`` below 1.
    Twin: ``lab.reference.cycle.nearest_neighbours``.
    """
    total = check_shape("points", points, "K 3")["K"]
    if total < 2 or count < 1:
        raise InputError(f"{total} points have no {count} neighbours: give at least 2 points and a count of 1")
    distances = (points.double()[:, None] - points.double()[None]).norm(dim=2)
    distances.fill_diagonal_(torch.inf)
    return torch.sort(distances, dim=1, stable=True).indices[:, : min(count, total - 1)]


def neighbour_distortions(start: Tensor, found: Tensor, neighbours: Tensor) -> Tensor:
    """How much a map changes the distances between neighbours, which a map that is wrong but consistent cannot hide.

    For a landmark v and its neighbour w it is | |m(v) - m(w)| - |v - w| | / |v - w|, the mean over its neighbours:
    0 where the map is rigid nearby, 1 where all of them land on one point, more where neighbours fly apart. Pairs that
    lie on one point at the start are not counted.

    Args:
        start: [K, 3] places in the anchor frame; found: [K, 3] places in another frame.
        neighbours: [K, n] from ``nearest_neighbours`` of ``start``.
    Returns:
        [K] float32; 0 for a landmark with no neighbour to count.
    Raises:
        ShapeError: sizes disagree.
    Twin: ``lab.reference.cycle.neighbour_distortions``.
    """
    axes = check_shape("start", start, "K 3")
    check_shape("found", found, "K 3", **axes)
    check_shape("neighbours", neighbours, "K n", **axes)
    before = (start.float()[neighbours] - start.float()[:, None]).norm(dim=2)
    after = (found.float()[neighbours] - found.float()[:, None]).norm(dim=2)
    counted = before > 0
    change = (after - before).abs() / torch.where(counted, before, torch.ones_like(before))
    change = torch.where(counted, change, torch.zeros_like(change))
    return change.sum(dim=1) / counted.sum(dim=1).clamp_min(1)
