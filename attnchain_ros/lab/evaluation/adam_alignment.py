"""ActionBench's alignment of a predicted cloud to the true one: Adam from axis-aligned starts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from ...errors import InputError
from ...shapes import check_shape
from .actionbench_config import ActionBenchConfig

_TILE_PAIRS = 20_000_000
"""Most distances a brute-force search holds at once (80 MB)."""


def start_rotations() -> np.ndarray:
    """[24, 3, 3] float64 axis-aligned rotations Rx(azimuth) Ry(elevation) Rz(roll), the identity first.

    The published list of angles, in which two rotations come twice.
    Twin: ``lab.reference.adam_alignment.start_rotations``.
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

    Twin: ``lab.reference.adam_alignment.rotation_from_6d``.
    """
    first = torch.nn.functional.normalize(values[..., :3], dim=-1)
    second = values[..., 3:] - (first * values[..., 3:]).sum(dim=-1, keepdim=True) * first
    second = torch.nn.functional.normalize(second, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-2)


def nearest_indices(source: Tensor, target: Tensor, trees: Sequence[cKDTree] | None = None) -> Tensor:
    """[S, n] int64: for every point of S clouds [S, n, 3] the nearest of the target clouds [S, m, 3].

    On a GPU by comparing all pairs, tile by tile; on the processor by k-d trees, S of them, which are built here unless
    given. Equal distances may go either way.
    Twin: ``lab.reference.adam_alignment.nearest_indices``.
    """
    if source.device.type != "cpu":
        return _all_pairs(source.detach(), target.detach())
    trees = cloud_trees(target) if trees is None else trees
    found = [tree.query(points)[1] for points, tree in zip(source.detach().numpy(), trees, strict=True)]
    return torch.from_numpy(np.stack(found).astype(np.int64))


def cloud_trees(clouds: Tensor) -> list[cKDTree]:
    """A k-d tree for each of the clouds [S, m, 3]; quickly built, since most are asked only once."""
    return [cKDTree(cloud, balanced_tree=False, compact_nodes=False) for cloud in clouds.detach().numpy()]


def _all_pairs(source: Tensor, target: Tensor) -> Tensor:
    rows = max(1, _TILE_PAIRS // (target.shape[0] * target.shape[1]))
    # Without the matrix product: its rounding is as large as the distances of dense clouds.
    exact = "donot_use_mm_for_euclid_dist"
    parts = torch.split(source, rows, dim=1)
    return torch.cat([torch.cdist(part, target, compute_mode=exact).argmin(dim=2) for part in parts], dim=1)


def squared_chamfer(source: Tensor, target: Tensor, trees: Sequence[cKDTree] | None = None) -> Tensor:
    """[S] symmetric squared Chamfer distances of clouds [S, n, 3] and [S, m, 3]: two means, summed.

    ``trees`` are those of the target's clouds, where they are there already.
    The gradient goes through the pairs as they are, which is that of the minimum over all pairs.
    Twin: ``lab.reference.adam_alignment.squared_chamfer``.
    """
    there = nearest_indices(source, target, trees).unsqueeze(-1).expand(-1, -1, 3)
    back = nearest_indices(target, source).unsqueeze(-1).expand(-1, -1, 3)
    to_target = (source - target.gather(1, there)).square().sum(dim=2).mean(dim=1)
    to_source = (target - source.gather(1, back)).square().sum(dim=2).mean(dim=1)
    return to_target + to_source


@torch.enable_grad()  # type: ignore[no-untyped-call, untyped-decorator, unused-ignore]
def align_frames(
    sources: np.ndarray,
    targets: np.ndarray,
    config: ActionBenchConfig,
    device: str | torch.device = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """The transforms (scale of each axis, then rotation, then shift) that best lay one cloud of each frame on another.

    Adam on translation, 6D rotation and three scales from each start; the transform of the least squared symmetric
    Chamfer distance met anywhere on the way is kept. (The published code keeps shift and scale of one step later.)
    Frames do not know of one another: that all take their steps together only saves calls.

    Args:
        sources: [F, n, 3], targets: [F, m, 3] clouds, taken whole: draw ``config.align_points`` before.
        config: starts, iterations and learning rate.
        device: where to compute, in float32.
        progress: called with (iterations done, iterations in all).
    Returns:
        [F, 4, 4] float64 target_from_source, affine; apply one with ``alignment.apply_similarity``.
    Raises:
        ShapeError: not clouds.   InputError: an empty cloud, or points that are not finite.
    Twin: ``lab.reference.adam_alignment.align_clouds``, one frame at a time.
    """
    frames = check_shape("sources", sources, "F n 3")["F"]
    check_shape("targets", targets, "F m 3", F=frames)
    for name, clouds in (("source", sources), ("target", targets)):
        if not clouds.size or not np.isfinite(clouds).all():
            raise InputError(f"the {name} cloud has {clouds.size // 3} points, or some that are not finite: nothing to "
                             "align")  # fmt: skip
    starts = torch.from_numpy(start_rotations()[: config.starts]).to(device, torch.float32).repeat(frames, 1, 1)
    source, target = (
        torch.from_numpy(np.asarray(clouds, np.float32)).to(device).repeat_interleave(config.starts, dim=0)
        for clouds in (sources, targets)
    )
    trees = None
    if target.device.type == "cpu":
        trees = [tree for tree in cloud_trees(target[:: config.starts]) for _ in range(config.starts)]
    count = len(starts)
    shift = torch.zeros(count, 3, device=device, requires_grad=True)
    turn = torch.tensor([1.0, 0, 0, 0, 1, 0], device=device).repeat(count, 1).requires_grad_()
    scale = torch.ones(count, 3, device=device, requires_grad=True)
    optimiser = torch.optim.Adam([shift, turn, scale], lr=config.learning_rate)
    least = torch.full((frames,), math.inf, device=device)
    best = torch.zeros(frames, 4, 3, device=device)
    first = torch.arange(0, count, config.starts, device=device)
    for step in range(config.iterations):
        linear = scale[:, :, None] * (starts @ rotation_from_6d(turn))
        losses = squared_chamfer(source @ linear + shift[:, None], target, trees)
        loss, which = losses.detach().view(frames, -1).min(dim=1)
        placed = torch.cat([linear, shift[:, None]], dim=1).detach()[first + which]
        better = loss < least
        least = torch.where(better, loss, least)
        best = torch.where(better[:, None, None], placed, best)
        optimiser.zero_grad()
        # The mean over a frame's starts, as if it were alone.
        losses.view(frames, -1).mean(dim=1).sum().backward()  # type: ignore[no-untyped-call, unused-ignore]
        optimiser.step()
        if progress is not None:
            progress(step + 1, config.iterations)
    # Rows are points here and columns in a transform.
    found = np.tile(np.eye(4), (frames, 1, 1))
    found[:, :3] = best.transpose(1, 2).double().cpu().numpy()
    return found
