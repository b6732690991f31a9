"""Pieces of the VAE stage against known answers and the generator's own geometry."""

from __future__ import annotations

import numpy as np
import torch

from attnchain_ros.backbone.vae import ShapeVae
from attnchain_ros.synthetic import make_clip, split_seed
from attnchain_ros.training.recipe import Recipe
from attnchain_ros.training.shapes import (
    draw_occupancy,
    farthest_rows,
    intersection_over_union,
    scale_latents,
    signed_distance,
    split_surface,
    start_certain,
)


def test_farthest_rows_on_a_line() -> None:
    points = torch.zeros(2, 5, 3)
    points[0, :, 0] = torch.tensor([0.0, 1.0, 10.0, 4.0, 9.0])
    points[1, :, 1] = torch.tensor([5.0, 0.0, 1.0, 2.0, 8.0])
    assert farthest_rows(points, 3).tolist() == [[0, 2, 3], [0, 1, 4]]


def test_signed_distance_is_the_generators() -> None:
    clip = make_clip(split_seed("validation", 1))
    points = torch.rand(1, 200, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pose = clip.pose
    ours = signed_distance(
        points, *(torch.from_numpy(a)[None].float() for a in (pose.starts[4], pose.ends[4], pose.radii))
    )
    # Cancellation costs the generator's float32 products about 1e-6, ours less.
    np.testing.assert_allclose(ours[0].numpy(), clip.sdf(4, points[0].numpy()), atol=1e-5)


def test_drawn_points_know_whether_they_are_inside() -> None:
    # One ball of radius 0.5: a capsule of length 1e-3.
    start = torch.zeros(1, 1, 3)
    end = start + torch.tensor([1e-3, 0.0, 0.0])
    directions = torch.randn(1, 300, 3, generator=torch.Generator().manual_seed(1))
    surface = torch.nn.functional.normalize(directions, dim=-1) / 2
    points, inside = draw_occupancy(surface, start, end, torch.tensor([[0.5]]), 600, torch.Generator().manual_seed(2))
    radius = points.norm(dim=-1)
    clear = (radius - 0.5).abs() > 2e-3
    assert torch.equal(inside[clear] > 0.5, radius[clear] < 0.5)
    assert ((radius - 0.5).abs() < 0.25).float().mean() > 0.6


def test_split_surface_draws_distinct_queries_and_context() -> None:
    surface = torch.randn(3, 64, 6, generator=torch.Generator().manual_seed(3))
    rng = np.random.default_rng(0)
    sizes = set()
    for _ in range(20):
        queries, context = split_surface(surface, 8, rng)
        assert all(len(set(row)) == 8 for row in queries.tolist())
        assert len(set(context.tolist())) == len(context)
        sizes.add(len(context))
    assert min(sizes) >= 16 and max(sizes) <= 64 and len(sizes) > 5


def test_scaling_the_latents_changes_nothing_but_the_latents(recipe: Recipe) -> None:
    torch.manual_seed(0)
    vae = start_certain(ShapeVae(recipe.vae.sizes())).requires_grad_(False)
    surface = torch.randn(2, 40, 6)
    points = torch.rand(1, 30, 3) * 2 - 1
    mean, logvar = vae.encode(surface[:, :12], surface)
    field = vae.decode(mean).logits(points)
    shift, deviation = torch.randn(4), 0.5 + torch.rand(4)
    scale_latents(vae, shift, deviation)
    scaled, scaled_logvar = vae.encode(surface[:, :12], surface)
    # float32 rounding of a network two blocks deep.
    torch.testing.assert_close(scaled, (mean - shift) / deviation, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(scaled_logvar, logvar - 2 * deviation.log(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(vae.decode(scaled).logits(points), field, atol=1e-5, rtol=1e-4)


def test_intersection_over_union() -> None:
    one = torch.tensor([[True, True, False, False], [False] * 4])
    other = torch.tensor([[False, True, True, False], [False] * 4])
    torch.testing.assert_close(intersection_over_union(one, other), torch.tensor([1 / 3, 0.0]))
