"""The loss on where tokens look."""

from __future__ import annotations

import math

import torch

from attnchain_ros.lab.training.looking import Looks, look_loss, seen_patches


def test_patches_where_points_are_seen_by_hand() -> None:
    """4 x 4 labelled pixels and 2 x 2 patches that show a plane: pixel (row, column) sees (column, row, 0)."""
    rows, columns = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij")
    xyz = torch.stack([columns, rows, torch.zeros(4, 4)], dim=-1)[None]
    inside = torch.ones(1, 4, 4, dtype=torch.bool)
    inside[0, 3, 3] = False
    points = torch.tensor([[[0.02, 1, 0], [2, 1, 0], [1, 2.05, 0], [2, 3, 0], [2, 1, 0.07], [3, 3, 0], [9, 9, 9]]])
    # The last three: behind the plane, a pixel off the object, out of the picture.
    assert seen_patches(points, xyz, inside, 2).tolist() == [[0, 1, 2, 3, -1, -1, -1]]


def test_loss_by_hand() -> None:
    """Two tokens are seen: one pays its patch 0.5 and 0.25 in the two layers, the other everything."""
    first = torch.tensor([[[0.1, 0.5, 0.4], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]])
    second = torch.tensor([[[0.5, 0.25, 0.25], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]])
    patches = torch.tensor([[0, 1, -1]])
    assert abs(float(look_loss([first, second], patches)) - (math.log(2) + math.log(4)) / 4) < 1e-6
    assert float(look_loss([first, second], torch.full((1, 3), -1))) == 0.0


def test_looks_keep_the_asked_layers_with_gradients() -> None:
    looks = Looks([1])
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(2, 3, 5, 4, generator=generator, requires_grad=True)
    k = torch.randn(2, 3, 7, 4, generator=generator)
    for layer in (0, 1):
        looks.cross_attention(layer, q, k)
    assert list(looks.maps) == [1] and looks.maps[1].shape == (2, 4, 7)
    torch.testing.assert_close(looks.maps[1].sum(-1), torch.ones(2, 4))
    # A step against the gradient makes the tokens look more at their patches.
    patches = torch.tensor([[0, 1, 2, 3], [5, -1, -1, 0]])
    loss = look_loss([looks.maps[1]], patches)
    loss.backward()
    assert q.grad is not None and not q.grad[:, :, 0].any()
    again = Looks([1])
    again.cross_attention(1, q.detach() - q.grad, k)
    assert float(look_loss([again.maps[1]], patches)) < float(loss.detach())
