from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from made_up import turn

from attnchain_ros.errors import InputError
from attnchain_ros.lab.evaluation import adam_alignment as fast
from attnchain_ros.lab.evaluation.actionbench_config import ActionBenchConfig
from attnchain_ros.lab.evaluation.alignment import apply_similarity
from attnchain_ros.lab.reference import adam_alignment as slow


def box(count: int, seed: int = 0) -> np.ndarray:
    """A cloud without symmetry: a lopsided box with a bump."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1, 1, (count, 3)) * [0.9, 0.5, 0.25]
    points[: count // 4] = points[: count // 4] * 0.3 + [0.8, 0.5, 0.2]
    return points


def align_clouds(source: np.ndarray, target: np.ndarray, *options: Any, **more: Any) -> np.ndarray:
    """One frame alone."""
    return fast.align_frames(source[None], target[None], *options, **more)[0]


def test_starts_against_twin() -> None:
    found = fast.start_rotations()
    assert found.shape == (24, 3, 3)
    # Cosines of quarter turns are exact here and rounded there.
    assert np.allclose(found, slow.start_rotations(), atol=1e-15)
    assert np.array_equal(found[0], np.eye(3))
    # Of the published angles two pairs are the same rotation, since elevation +-90 leaves only a sum of the others.
    assert len({tuple(matrix.ravel() + 0.0) for matrix in found}) == 22
    assert np.allclose(np.linalg.det(found), 1)


def test_rotation_from_6d_against_twin() -> None:
    values = np.random.default_rng(1).normal(size=(5, 6))
    found = fast.rotation_from_6d(torch.from_numpy(values)).numpy()
    for row, rotation in zip(values, found, strict=True):
        assert np.allclose(rotation, slow.rotation_from_6d(row), atol=1e-14)
        assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-14) and np.linalg.det(rotation) > 0


@pytest.mark.parametrize(("n", "m"), [(1, 7), (60, 33), (17, 1)])
def test_tree_and_all_pairs_agree_with_the_twin(n: int, m: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    source, target = rng.normal(size=(2, n, 3)), rng.normal(size=(2, m, 3))
    wanted = np.stack([slow.nearest_indices(a, b) for a, b in zip(source, target, strict=True)])
    tensors = torch.from_numpy(source), torch.from_numpy(target)
    assert np.array_equal(fast.nearest_indices(*tensors).numpy(), wanted)
    assert np.array_equal(fast._all_pairs(*tensors).numpy(), wanted)
    monkeypatch.setattr(fast, "_TILE_PAIRS", 2 * m * 3)  # three rows a tile
    assert np.array_equal(fast._all_pairs(*tensors).numpy(), wanted)


def test_chamfer_has_value_and_gradient_of_all_pairs() -> None:
    rng = np.random.default_rng(3)
    source = torch.from_numpy(rng.normal(size=(2, 40, 3))).requires_grad_()
    target = torch.from_numpy(rng.normal(size=(2, 25, 3)))
    found = fast.squared_chamfer(source, target)
    gradient = torch.autograd.grad(found.sum(), source)[0]
    squared = (source[:, :, None] - target[:, None]).square().sum(-1)
    dense = squared.amin(dim=2).mean(dim=1) + squared.amin(dim=1).mean(dim=1)
    dense_gradient = torch.autograd.grad(dense.sum(), source)[0]
    # The same sums of float64 numbers in another order.
    assert torch.allclose(found, dense, rtol=1e-14, atol=0)
    assert torch.allclose(gradient, dense_gradient, rtol=1e-12, atol=1e-15)
    for which in range(2):
        assert found[which].item() == pytest.approx(
            slow.squared_chamfer(source[which].detach().numpy(), target[which].numpy()), rel=1e-13
        )


@pytest.mark.parametrize("winner", [0, 1])
def test_against_twin(winner: int) -> None:
    """Adam in float32 with exact gradients, and in float64 with differences, go the same way for a few steps."""
    source, target = box(14), (box(11, 4) * 1.1 + 0.05) @ slow.start_rotations()[winner]
    config = ActionBenchConfig(starts=2, iterations=5)
    found = align_clouds(source, target, config)
    wanted, _ = slow.align_clouds(source, target, 2, 5, 0.01)
    # 1e-6 seen; Adam's first steps have the size of the learning rate, whatever the gradient's.
    assert np.abs(found - wanted).max() < 1e-5
    # The best start is the one that the target was turned by.
    assert np.abs(found[:3, :3].T - slow.start_rotations()[winner]).max() < 0.2


def test_best_transform_belongs_to_the_least_loss() -> None:
    source, target = box(200), box(180, 5) + 0.1
    seen = []
    config = ActionBenchConfig(starts=1, iterations=30)
    found = align_clouds(source, target, config, progress=lambda done, total: seen.append((done, total)))
    longer = align_clouds(source, target, ActionBenchConfig(starts=1, iterations=60))
    assert seen[0] == (1, 30) and seen[-1] == (30, 30)

    def loss(matrix: np.ndarray) -> float:
        return slow.squared_chamfer(apply_similarity(matrix, source), target)

    assert loss(longer) <= loss(found) < loss(np.eye(4))


def test_turned_object_is_found_from_24_starts_only() -> None:
    source = box(300)
    motion = np.eye(4)
    motion[:3, :3] = turn(0, 90) @ turn(2, 180) @ np.diag([1.1, 0.9, 1.0])
    motion[:3, 3] = [0.05, -0.1, 0.08]
    target = apply_similarity(motion, source)

    def miss(starts: int) -> float:
        found = align_clouds(source, target, ActionBenchConfig(starts=starts, iterations=60))
        return float(np.linalg.norm(apply_similarity(found, source) - target, axis=1).mean())

    assert miss(24) < 0.01
    assert miss(1) > 0.2


def test_the_same_every_time_and_without_gradients_outside() -> None:
    source, target = box(50), box(40, 6)
    config = ActionBenchConfig(starts=2, iterations=4)
    with torch.no_grad():
        first = align_clouds(source, target, config)
    assert np.array_equal(first, align_clouds(source, target, config))


def test_frames_together_are_frames_one_by_one() -> None:
    rng = np.random.default_rng(8)
    sources = np.stack([box(60, seed) for seed in range(3)])
    targets = np.stack([box(45, 9), box(45, 10) @ turn(2, 90)[:3, :3].T, rng.normal(size=(45, 3))])
    config = ActionBenchConfig(starts=4, iterations=12)
    found = fast.align_frames(sources, targets, config)
    for frame, together in enumerate(found):
        alone = align_clouds(sources[frame], targets[frame], config)
        # float32 products of other shapes may round otherwise; 12 steps of 0.01 carry that no further.
        assert np.abs(together - alone).max() < 1e-5


def test_bad_clouds() -> None:
    with pytest.raises(InputError, match="0 points"):
        align_clouds(np.zeros((0, 3)), np.zeros((3, 3)), ActionBenchConfig(starts=1, iterations=1))
    with pytest.raises(InputError, match="not finite"):
        align_clouds(np.full((2, 3), np.nan), np.zeros((3, 3)), ActionBenchConfig(starts=1, iterations=1))


@pytest.mark.gpu
def test_gpu_agrees_with_the_processor() -> None:
    source, target = box(400), box(350, 7) + 0.1
    config = ActionBenchConfig(starts=3, iterations=10)
    found = align_clouds(source, target, config, "cuda")
    # float32 sums in another order, over ten steps
    assert np.abs(found - align_clouds(source, target, config)).max() < 1e-3
