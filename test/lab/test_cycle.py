"""There and back through the chain."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attnchain_ros.config import MatchConfig
from attnchain_ros.errors import InputError, ShapeError
from attnchain_ros.lab import cycle as fast
from attnchain_ros.lab.reference import cycle as slow

CONFIG = MatchConfig(top=4, radius=0.5, temperature=0.2, tile=5)


def rows(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    """Random rows that sum to 1, sharp enough that scores differ by more than rounding."""
    values = rng.random(shape) ** 6
    return torch.from_numpy(values / values.sum(-1, keepdims=True)).float()


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (5, 3, 4, 7), (9, 8, 8, 30)])
def test_return_points_against_loops(sizes: tuple[int, int, int, int]) -> None:
    landmarks, anchors, tokens, points = sizes
    rng = np.random.default_rng(sum(sizes))
    arguments = rows(rng, landmarks, tokens), rows(rng, anchors, tokens), rows(rng, points, anchors)
    places = torch.from_numpy(rng.normal(size=(points, 3))).float()
    found = fast.return_points(*arguments, places, CONFIG, 2.0)
    wanted = slow.return_points(*(part.numpy() for part in arguments), places.numpy(), CONFIG, 2.0)
    # Worst seen 9e-7 of lengths near 2 (float32 scores in an exponent with temperature 0.2).
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-5)


def test_the_map_is_turned_around_and_normalised() -> None:
    """Anchor token 1 sees token 0 of the frame three times as much as anchor token 0: one comes back to point 1."""
    token_tokens = torch.tensor([[0.2, 0.8], [0.6, 0.4]])
    found_tokens = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    points = torch.tensor([[0.0, 0, 0], [10.0, 0, 0]])
    back = fast.return_points(found_tokens, token_tokens, torch.eye(2), points, MatchConfig(top=1), 1.0)
    assert back.tolist() == [[10.0, 0, 0], [0.0, 0, 0]]
    # A frame's token that nobody looks at much still hands on all it got: a row of 1e-6 counts like one of 1.
    faint = torch.tensor([[1e-6, 1.0], [3e-6, 0.5]])
    assert fast.return_points(found_tokens, faint, torch.eye(2), points, MatchConfig(top=1), 1.0)[0, 0] == 10.0


def test_a_permutation_comes_back_exactly() -> None:
    rng = np.random.default_rng(0)
    order = rng.permutation(12)
    points = torch.from_numpy(rng.normal(size=(12, 3))).float()
    permutation = torch.eye(12)[order]
    back = fast.return_points(permutation, permutation, torch.eye(12), points, MatchConfig(top=3), 1.0)
    assert torch.equal(back, points)
    assert fast.cycle_errors(points, back, 1.0).abs().max() == 0


@pytest.mark.parametrize(("total", "count"), [(2, 1), (2, 8), (20, 8), (5, 4)])
def test_neighbours_and_distortion_against_loops(total: int, count: int) -> None:
    rng = np.random.default_rng(total * count)
    start, found = (rng.normal(size=(total, 3)).astype(np.float32) for _ in range(2))
    near = fast.nearest_neighbours(torch.from_numpy(start), count)
    assert np.array_equal(near.numpy(), slow.nearest_neighbours(start, count))
    distortion = fast.neighbour_distortions(torch.from_numpy(start), torch.from_numpy(found), near)
    # Worst seen 4e-7 of values near 1: float32 against float64.
    np.testing.assert_allclose(
        distortion.numpy(), slow.neighbour_distortions(start, found, near.numpy()), rtol=1e-5, atol=1e-6
    )


def test_errors_are_shares_of_the_diagonal() -> None:
    start, back = torch.tensor([[0.0, 0, 0], [1, 1, 1]]), torch.tensor([[3.0, 0, 4], [1, 1, 1]])
    assert fast.cycle_errors(start, back, 10.0).tolist() == [0.5, 0.0]


def test_neighbours_at_one_distance_are_ordered_by_number() -> None:
    square = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    assert fast.nearest_neighbours(square, 2).tolist() == [[1, 3], [0, 2], [1, 3], [0, 2]]


def test_distortion_of_known_maps() -> None:
    rng = np.random.default_rng(5)
    start = torch.from_numpy(rng.normal(size=(30, 3))).float()
    near = fast.nearest_neighbours(start, 6)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    rigid = start @ torch.from_numpy(turn).float().T + 4.0
    assert fast.neighbour_distortions(start, rigid, near).max() < 1e-5
    half = fast.neighbour_distortions(start, 0.5 * start, near)
    np.testing.assert_allclose(half.numpy(), 0.5, atol=1e-6)
    one_point = fast.neighbour_distortions(start, torch.ones_like(start), near)
    assert torch.equal(one_point, torch.ones(30))


def test_a_consistent_shuffle_of_far_parts_is_told_by_distortion_alone() -> None:
    """Every second landmark changes place with one far away, and the way back undoes it."""
    line = torch.linspace(0, 1, 40)[:, None] * torch.tensor([[1.0, 0, 0]])
    order = torch.arange(40)
    order[::2] = order[::2].flip(0)
    permutation = torch.eye(40)[order]
    back = fast.return_points(permutation, permutation, torch.eye(40), line, MatchConfig(top=1), 1.0)
    near = fast.nearest_neighbours(line, 4)
    assert fast.cycle_errors(line, back, 1.0).max() == 0
    assert fast.neighbour_distortions(line, line[order], near).mean() > 1
    assert fast.neighbour_distortions(line, line, near).max() == 0


def test_landmarks_on_one_point_are_not_counted() -> None:
    start = torch.zeros(3, 3)
    near = fast.nearest_neighbours(start, 2)
    assert fast.neighbour_distortions(start, torch.rand(3, 3), near).tolist() == [0, 0, 0]


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(InputError, match="1 points have no 4 neighbours"):
        fast.nearest_neighbours(torch.zeros(1, 3), 4)
    with pytest.raises(InputError, match="diagonal is 0"):
        fast.cycle_errors(torch.zeros(1, 3), torch.zeros(1, 3), 0.0)
    with pytest.raises(ShapeError):
        fast.cycle_errors(torch.zeros(1, 3), torch.zeros(2, 3), 1.0)
    with pytest.raises(ShapeError):
        fast.return_points(torch.zeros(2, 3), torch.zeros(4, 5), torch.zeros(6, 4), torch.zeros(6, 3), CONFIG, 1.0)
