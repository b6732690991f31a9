"""Landmark motion to vertex motion: one rigid motion per vertex and frame (App. D.2)."""

from __future__ import annotations

import math

import torch
from torch.nn.functional import embedding_bag

from ..errors import InputError
from ..shapes import check_shape
from .geodesic import SkinningWeights

LINE_TOLERANCE = 1e-8
"""Second over first singular value of a covariance below which its landmarks lie on one line (float64 moments)."""

CLOSED_FORM_MARGIN = 1e-3
"""Least (s1+s2)(s2+s3)(s3+s1) of a covariance of norm 1 for the closed form, whose error is about 1e-16 / margin."""

CHUNK_ELEMENTS = 1 << 18
"""Doubles in the largest temporary array of ``skin_vertices``: 2 MiB, which stays in a CPU's cache."""


def skin_vertices(
    rest: torch.Tensor, landmarks_rest: torch.Tensor, landmarks_now: torch.Tensor, weights: SkinningWeights
) -> torch.Tensor:
    """Move every vertex with its landmarks: one rigid motion per vertex and frame (App. D.2).

    A vertex takes the proper rotation (det = +1) and shift that best carry its weighted landmarks from rest to frame f.
    Where these lie on one line the rotation is undefined and the vertex only shifts. The covariances of all vertices
    and frames are moments, so one sparse product gives them all.

    Args:
        rest: [V, 3] anchor vertices, object frame.
        landmarks_rest: [K, 3] landmarks on the anchor, same frame.
        landmarks_now: [F, K, 3] the same landmarks in each frame; finite (see ``smoothing.smooth_displacements``).
        weights: of V vertices and K landmarks; rows sum to 1.
    Returns:
        [F, V, 3], dtype and device of ``rest``; computed in float64.
    Raises:
        ShapeError: shapes disagree.   InputError: landmarks are not finite, or weights name landmarks beyond K.
    Twin: ``lab.reference.skinning.skin_vertices``, an SVD per vertex.

    >>> import numpy as np
    >>> turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # quarter turn about z
    >>> third = SkinningWeights(np.arange(3)[None], np.full((1, 3), 1 / 3, np.float32))
    >>> moved = skin_vertices(torch.tensor([[2.0, 0, 0]]), torch.eye(3), turn.T[None], third)
    >>> (moved.round() + 0.0).tolist()  # + 0.0 turns -0.0 into 0.0
    [[[0.0, 2.0, 0.0]]]
    """
    axes = check_shape("rest", rest, "V 3") | check_shape("landmarks_rest", landmarks_rest, "K 3")
    frames = check_shape("landmarks_now", landmarks_now, "F K 3", K=axes["K"])["F"]
    check_shape("weights.index", weights.index, "V k", "compute the weights from this mesh", V=axes["V"])
    vertices, landmarks = axes["V"], axes["K"]
    if weights.index.size and (weights.index.min() < 0 or weights.index.max() >= landmarks):
        raise InputError(f"weights name landmark {weights.index.max()}, there are 0 to {landmarks - 1}")
    device = rest.device
    before = landmarks_rest.to(device, torch.float64)
    after = landmarks_now.to(device, torch.float64)
    if not bool(torch.isfinite(after).all() and torch.isfinite(before).all()):
        raise InputError("landmark positions are not finite: fill gaps first")
    # Moments about the landmarks' own centre keep their digits.
    centre_before, centre_after = before.mean(dim=0), after.mean(dim=1)
    before, after = before - centre_before, (after - centre_after[:, None]).transpose(0, 1)
    # By landmark: x, then per coordinate and frame y, then per pair of coordinates and frame x y^T.
    after = after.transpose(1, 2)
    products = before[:, :, None, None] * after[:, None]
    moments = torch.cat([before, after.reshape(landmarks, -1), products.reshape(landmarks, -1)], dim=1)
    index = torch.from_numpy(weights.index).to(device)
    weight = torch.from_numpy(weights.weight).to(device, torch.float64)
    weight = weight / weight.sum(dim=1, keepdim=True)
    moved = torch.empty(frames, vertices, 3, dtype=rest.dtype, device=device)
    chunk = max(1, CHUNK_ELEMENTS // (12 * frames))
    for begin in range(0, vertices, chunk):
        rows = slice(begin, begin + chunk)
        # Each vertex has few landmarks: summing theirs is the sparse product of the weights with the moments.
        mean = embedding_bag(index[rows], moments, mode="sum", per_sample_weights=weight[rows])
        # [.., n, F], so that everything from here on runs along vertices and frames.
        mean = mean.T
        mean_before = mean[:3, :, None]
        mean_after = mean[3 : 3 + 3 * frames].reshape(3, frames, -1).transpose(1, 2).contiguous()
        covariance = mean[3 + 3 * frames :].reshape(3, 3, frames, -1).transpose(2, 3).contiguous()
        covariance = covariance.sub_(mean_before[:, None] * mean_after[None])
        rotation = _rotations(covariance.reshape(3, 3, -1)).reshape(covariance.shape)
        arm = (rest[rows].to(torch.float64) - centre_before).T[..., None] - mean_before
        place = (rotation * arm[None]).sum(dim=1) + mean_after + centre_after.T[:, None]
        moved[:, rows] = place.permute(2, 1, 0).to(rest.dtype)
    return moved


def procrustes_rotations(covariance: torch.Tensor) -> torch.Tensor:
    """The proper rotations R that maximise trace(R @ covariance), without an SVD per matrix.

    With covariance = sum of w * x y^T this R best carries the x onto the y. The largest eigenvalue of Horn's matrix,
    s1 + s2 + sign(det) * s3, comes from Newton's method on its characteristic polynomial, and R from it in closed form
    (Markley's "fast optimal attitude matrix", 1993), made orthogonal to rounding by one polar step. Matrices near which
    the best rotation is ill-defined (thin or nearly mirrored neighbourhoods) go through Horn's 4 x 4 matrix itself,
    squared until only its largest eigenvector, the rotation's quaternion, is left.

    Args:
        covariance: [..., 3, 3] floating.
    Returns:
        [..., 3, 3] same dtype, det = +1. Identity where the rank is 1 or 0 (second singular value below
        ``LINE_TOLERANCE`` of the first), and where the matrix is not finite.
    Twin: ``lab.reference.skinning.procrustes_rotations``.
    """
    check_shape("covariance", covariance, "... 3 3")
    flat = covariance.to(torch.float64).reshape(-1, 9).T.contiguous().reshape(3, 3, -1)
    return _rotations(flat).permute(2, 0, 1).reshape(covariance.shape).to(covariance.dtype)


def _rotations(covariance: torch.Tensor) -> torch.Tensor:
    """``procrustes_rotations`` of [3, 3, n] float64: a matrix of long rows, which is quicker than rows of matrices."""
    target = covariance.transpose(0, 1)
    norm = (target * target).sum(dim=(0, 1)).sqrt()
    usable = torch.isfinite(norm) & (norm > 0)
    target = torch.where(usable, target / torch.where(usable, norm, 1.0), 0.0)
    cofactors = _cofactors(target)
    minors = (cofactors * cofactors).sum(dim=(0, 1))
    usable &= minors > LINE_TOLERANCE**2
    determinant = (target[0] * cofactors[0]).sum(dim=0)
    # Of norm 1, the polynomial is l^4 - 2 l^2 - 8 det l + 1 - 4 |cofactors|^2; from above Newton cannot overshoot.
    largest = torch.full_like(norm, math.sqrt(3.0))
    eight, last = 8 * determinant, 1 - 4 * minors
    for step in range(20):
        square = largest * largest
        slope = 4 * largest * (square - 1) - eight
        value = ((square - 2) * largest - eight) * largest + last
        change = torch.where(slope > 1e-12, value / slope, 0.0)
        largest = largest - change
        # Not on a GPU, which would have to wait for the answer.
        if step > 3 and largest.device.type == "cpu" and float(change.abs().max()) < 1e-15:
            break
    pairs = 0.5 * (largest * largest - 1)
    margin = pairs * largest - determinant
    cubic = _product(target, _product(target.transpose(0, 1), target))
    raw = (pairs + 1) * target + largest * cofactors - cubic
    clear = usable & (margin > CLOSED_FORM_MARGIN)
    rotation = raw / torch.where(clear, margin, 1.0)
    rotation = 1.5 * rotation - 0.5 * _product(rotation, _product(rotation.transpose(0, 1), rotation))
    identity = torch.eye(3, dtype=torch.float64, device=target.device)[..., None]
    rotation = torch.where(clear, rotation, identity)
    unclear = torch.nonzero(usable & ~clear)[:, 0]
    if len(unclear):
        found = _rotations_by_squaring(target[:, :, unclear].permute(2, 0, 1))
        rotation[:, :, unclear] = found.permute(1, 2, 0)
    return rotation


def _product(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Products of n matrices each: [3, 3, n] twice -> [3, 3, n]."""
    result = one[:, 0, None] * other[None, 0]
    for inner in (1, 2):
        result.addcmul_(one[:, inner, None], other[None, inner])
    return result


def _cofactors(matrix: torch.Tensor) -> torch.Tensor:
    """[3, 3, n] cofactor matrices: rows are cross products of the other rows."""
    a, b, c = matrix
    return torch.stack([torch.linalg.cross(p, q, dim=0) for p, q in ((b, c), (c, a), (a, b))])


def _rotations_by_squaring(target: torch.Tensor) -> torch.Tensor:
    """Rotations from the dominant eigenvector of Horn's matrix; target [n, 3, 3] = sum of w * y x^T, norm 1.

    30 squarings part eigenvalues 1e-8 apart. Where the two largest are closer still, every vector of their plane is
    as good a rotation to 1e-8, and one of them comes out.
    """
    m = target.transpose(-1, -2)
    trace = m.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    horn = torch.empty(len(m), 4, 4, dtype=m.dtype, device=m.device)
    horn[:, 0, 0] = trace
    skew = torch.stack([m[:, 1, 2] - m[:, 2, 1], m[:, 2, 0] - m[:, 0, 2], m[:, 0, 1] - m[:, 1, 0]], dim=-1)
    horn[:, 0, 1:] = horn[:, 1:, 0] = skew
    horn[:, 1:, 1:] = m + m.transpose(-1, -2)
    horn[:, 1:, 1:].diagonal(dim1=-2, dim2=-1).sub_(trace[:, None])
    # Eigenvalues lie within +-sqrt(3): shifted, the matrix has none below 0 and squaring keeps their order.
    power = horn
    power.diagonal(dim1=-2, dim2=-1).add_(math.sqrt(3.0))
    for _ in range(30):
        power = power @ power
        power = power / power.diagonal(dim1=-2, dim2=-1).sum(dim=-1)[:, None, None]
        power = 0.5 * (power + power.transpose(-1, -2))
    column = power.diagonal(dim1=-2, dim2=-1).argmax(dim=-1)
    quaternion = power[torch.arange(len(power), device=power.device), :, column]
    w, x, y, z = torch.nn.functional.normalize(quaternion, dim=-1).unbind(dim=-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], dim=-1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], dim=-1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], dim=-1),
    ]
    return torch.stack(rows, dim=-2)
