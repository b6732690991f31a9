"""Pieces of the VAE stage against known answers and the generator's own geometry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from attnchain_ros.backbone.vae import ShapeVae
from attnchain_ros.lab.reference import solids as twin
from attnchain_ros.lab.synthetic import FAMILIES, TRAINED_FAMILIES, Clip, ClipConfig, make_clip, split_seed
from attnchain_ros.lab.training.data import open_windows, window_clip
from attnchain_ros.lab.training.recipe import Recipe
from attnchain_ros.lab.training.shapes import (
    SolidBatch,
    draw_occupancy,
    family_clips,
    farthest_rows,
    intersection_over_union,
    mean_by_family,
    scale_latents,
    signed_distance,
    solid_overlap,
    split_surface,
    start_certain,
    uniform_points,
)
from attnchain_ros.lab.training.stages import data_folder


def test_farthest_rows_on_a_line() -> None:
    points = torch.zeros(2, 5, 3)
    points[0, :, 0] = torch.tensor([0.0, 1.0, 10.0, 4.0, 9.0])
    points[1, :, 1] = torch.tensor([5.0, 0.0, 1.0, 2.0, 8.0])
    assert farthest_rows(points, 3).tolist() == [[0, 2, 3], [0, 1, 4]]


def _batch(clip: Clip, frame: int) -> SolidBatch:
    """The solids of one frame, and one that is not there."""
    solids = clip.pose.solids(frame)
    arrays = (
        np.concatenate([solids.centers, np.zeros((1, 3))]),
        np.concatenate([solids.axes, np.eye(3)[None]]),
        np.concatenate([solids.half, np.zeros((1, 3))]),
        np.append(solids.radii, -10.0),
    )
    return SolidBatch(*(torch.from_numpy(array)[None].float() for array in arrays))


@pytest.mark.parametrize("family", FAMILIES)
def test_signed_distance_is_the_generators_and_the_twins(family: str) -> None:
    clip = make_clip(split_seed("validation", 1), ClipConfig(family=family))
    points = torch.rand(1, 200, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    ours = signed_distance(points, _batch(clip, 4))[0].numpy()
    # Cancellation costs the generator's float32 products about 1e-6, ours less.
    np.testing.assert_allclose(ours, clip.sdf(4, points[0].numpy()), atol=1e-5)
    solids = clip.pose.solids(4)
    literal = twin.solid_distances(points[0].numpy(), solids.centers, solids.axes, solids.half, solids.radii)
    np.testing.assert_allclose(ours, literal.min(axis=0), atol=2e-6)


def test_axis_ends_are_the_generators() -> None:
    for family in ("creature", "drawer", "sheet"):
        clip = make_clip(3, ClipConfig(family=family))
        ends = _batch(clip, 2).axis_ends()[0, :-1].numpy()
        wanted = np.concatenate([clip.pose.starts[2], clip.pose.ends[2]], axis=-1)
        np.testing.assert_allclose(ends, wanted, atol=1e-6)


def test_drawn_points_know_whether_they_are_inside() -> None:
    # One ball of radius 0.5: a capsule of length 1e-3.
    ball = SolidBatch(
        torch.zeros(1, 1, 3), torch.eye(3)[None, None], torch.tensor([[[5e-4, 0.0, 0.0]]]), torch.tensor([[0.5]])
    )
    directions = torch.randn(1, 300, 3, generator=torch.Generator().manual_seed(1))
    surface = torch.nn.functional.normalize(directions, dim=-1) / 2
    points, inside = draw_occupancy(surface, ball, 600, torch.Generator().manual_seed(2))
    radius = points.norm(dim=-1)
    clear = (radius - 0.5).abs() > 2e-3
    assert torch.equal(inside[clear] > 0.5, radius[clear] < 0.5)
    assert ((radius - 0.5).abs() < 0.25).float().mean() > 0.6
    # The overlap of the ball with the one of half its radius is an eighth.
    many = uniform_points(100000, 0)
    assert many.min() < -0.99 and many.max() > 0.99
    overlap = solid_overlap((many.norm(dim=-1) < 0.25)[None], many, ball)
    np.testing.assert_allclose(overlap.numpy(), [1 / 8], atol=0.01)


def test_figures_are_given_for_every_family_that_is_there(work: Path, recipe: Recipe) -> None:
    windows = open_windows(data_folder(work), "train")
    assert windows.families.tolist() == [0, 0, 1, 1, 0, 0]
    assert family_clips(windows, 3).tolist() == [0, 1, 4, 2, 3, 2]
    figures = mean_by_family("iou", torch.tensor([0.5, 0.7, 0.1, 0.3]), np.array([0, 0, 2, 2]))
    names = ("iou", "iou_creature", f"iou_{TRAINED_FAMILIES[2]}")
    assert figures == pytest.approx(dict(zip(names, (0.4, 0.6, 0.2), strict=True)))
    solids = SolidBatch.take(windows, np.array([0, 2]), np.array([1, 3]))
    for row, (clip, frame) in enumerate(((0, 1), (2, 3))):
        pose = window_clip("train", clip, recipe.data).pose
        count = len(pose.radii)
        np.testing.assert_allclose(solids.centers[row, :count].numpy(), pose.centers[frame], atol=1e-6)
        assert (solids.radii[row, count:] < 0).all()


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
