"""ActionBench's alignment of a predicted cloud to the true one: Adam from axis-aligned starts."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from ..errors import InputError
from ..shapes import check_shape
from .actionbench_config import ActionBenchConfig

_TILE_PAIRS = 20_000_000
"""Most distances a brute-force search holds at once (80 MB)."""


def start_rotations() -> np.ndarray:
    """[24, 3, 3] float64 axis-aligned rotations Rx(azimuth) Ry(elevation) Rz(roll), the identity first.

    The published list of angles, in which two rotations come twice.
    Twin: ``reference.adam_alignment.start_rotations``.
    """
    azimuth = np.repeat([0, 90, 180, 270, 0, 90], 4)
    elevation = np.concatenate([np.zeros(16, np.int64), np.repeat([90, -90, 90, -90], 2)])
    roll = np.concatenate([np.tile([0, 90, 180, 270], 4), np.tile([0, 90], 4)])
    # Whole quarter turns have exact cosines and sines.
    x, y, z = (_turns(degrees, axis) for axis, degrees in enumerate((azimuth, elevation, roll)))
    rotations: np.ndarray = x @ y @ z
    return rotations


def _turns(degrees: np.ndarray, axis: int) -> np.ndarray:
    quarter = (degrees // 90) % 4
    cosine, sine = np.array([1.0, 0, -1, 0])[quarter], np.array([0.0, 1, 0, -1])[quarter]
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrices = np.zeros((len(degrees), 3, 3))
    matrices[:, axis, axis] = 1.0
    matrices[:, first, first] = matrices[:, second, second] = cosine
    matrices[:, first, second], matrices[:, second, first] = -sine, sine
    return matrices


def rotation_from_6d(values: Tensor) -> Tensor:
    """Rotations [..., 3, 3] whose first two rows are the two halves of [..., 6], made orthonormal one after the other.

    Twin: ``reference.adam_alignment.rotation_from_6d``.
    """
    first = torch.nn.functional.normalize(values[..., :3], dim=-1)
    second = values[..., 3:] - (first * values[..., 3:]).sum(dim=-1, keepdim=True) * first
    second = torch.nn.functional.normalize(second, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-2)


def nearest_indices(source: Tensor, target: Tensor) -> Tensor:
    """[S, n] int64: for every point of S clouds [S, n, 3] the nearest of the target clouds [S, m, 3].

    On a GPU by comparing all pairs, tile by tile; on the processor by a k-d tree. Equal distances may go either way.
    Twin: ``reference.adam_alignment.nearest_indices``.
    """
    if source.device.type == "cpu":
        found = [
            cKDTree(cloud, balanced_tree=False, compact_nodes=False).query(points)[1]
            for points, cloud in zip(source.detach().numpy(), target.detach().numpy(), strict=True)
        ]
        return torch.from_numpy(np.stack(found).astype(np.int64))
    return _all_pairs(source.detach(), target.detach())


def _all_pairs(source: Tensor, target: Tensor) -> Tensor:
    rows = max(1, _TILE_PAIRS // (target.shape[0] * target.shape[1]))
    # Without the matrix product: its rounding is as large as the distances of dense clouds.
    exact = "donot_use_mm_for_euclid_dist"
    parts = torch.split(source, rows, dim=1)
    return torch.cat([torch.cdist(part, target, compute_mode=exact).argmin(dim=2) for part in parts], dim=1)


def squared_chamfer(source: Tensor, target: Tensor) -> Tensor:
    """[S] symmetric squared Chamfer distances of clouds [S, n, 3] and [S, m, 3]: two means, summed.

    The gradient goes through the pairs as they are, which is that of the minimum over all pairs.
    Twin: ``reference.adam_alignment.squared_chamfer``.
    """
    there = nearest_indices(source, target).unsqueeze(-1).expand(-1, -1, 3)
    back = nearest_indices(target, source).unsqueeze(-1).expand(-1, -1, 3)
    to_target = (source - target.gather(1, there)).square().sum(dim=2).mean(dim=1)
    to_source = (target - source.gather(1, back)).square().sum(dim=2).mean(dim=1)
    return to_target + to_source


@torch.enable_grad()  # type: ignore[no-untyped-call, untyped-decorator, unused-ignore]
def align_clouds(
    source: np.ndarray,
    target: np.ndarray,
    config: ActionBenchConfig,
    device: str | torch.device = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """The transform (scale of each axis, then rotation, then shift) that best lays one cloud on another.

    Adam on translation, 6D rotation and three scales from each start; the transform of the least squared symmetric
    Chamfer distance met anywhere on the way is kept. (The published code keeps shift and scale of one step later.)

    Args:
        source: [n, 3], target: [m, 3] clouds, taken whole: draw ``config.align_points`` before.
        config: starts, iterations and learning rate.
        device: where to compute, in float32.
        progress: called with (iterations done, iterations in all).
    Returns:
        [4, 4] float64 target_from_source, affine; apply it with ``alignment.apply_similarity``.
    Raises:
        ShapeError: not clouds.   InputError: an empty cloud, or points that are not finite.
    Twin: ``reference.adam_alignment.align_clouds``.
    """
    for name, cloud in (("source", source), ("target", target)):
        count = check_shape(name, cloud, "n 3")["n"]
        if not count or not np.isfinite(cloud).all():
            raise InputError(f"the {name} cloud has {count} points, or some that are not finite: nothing to align")
    starts = torch.from_numpy(start_rotations()[: config.starts]).to(device, torch.float32)
    count = len(starts)
    clouds = [torch.from_numpy(np.asarray(c, np.float32)).to(device).expand(count, -1, -1) for c in (source, target)]
    shift = torch.zeros(count, 3, device=device, requires_grad=True)
    turn = torch.tensor([1.0, 0, 0, 0, 1, 0], device=device).repeat(count, 1).requires_grad_()
    scale = torch.ones(count, 3, device=device, requires_grad=True)
    optimiser = torch.optim.Adam([shift, turn, scale], lr=config.learning_rate)
    least, best = math.inf, np.eye(4)
    for step in range(config.iterations):
        rotation = starts @ rotation_from_6d(turn)
        losses = squared_chamfer(scale[:, None] * clouds[0] @ rotation + shift[:, None], clouds[1])
        loss, which = losses.detach().min(dim=0)
        if loss.item() < least:
            least = loss.item()
            linear = scale[which].detach()[:, None] * rotation[which].detach()
            # Rows are points here and columns in a transform.
            best[:3, :3] = linear.T.double().cpu().numpy()
            best[:3, 3] = shift[which].detach().double().cpu().numpy()
        optimiser.zero_grad()
        losses.mean().backward()  # type: ignore[no-untyped-call, unused-ignore]
        optimiser.step()
        if progress is not None:
            progress(step + 1, config.iterations)
    return best
