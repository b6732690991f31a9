"""The VAE stage: surface points of posed animals to latent tokens and back to occupancy."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..backbone.vae import ShapeVae
from .data import Windows
from .recipe import VaeConfig


def to_tensor(array: np.ndarray) -> Tensor:
    """float32 tensor of a float array; int8 normals are scaled back to unit length."""
    if array.dtype == np.int8:
        return torch.from_numpy(array.astype(np.float32) / 127.0)
    return torch.from_numpy(array.astype(np.float32))


def farthest_rows(points: Tensor, count: int) -> Tensor:
    """Farthest point sampling of a batch, starting at row 0: [B, n, 3] -> [B, count] int64."""
    batch = torch.arange(len(points))
    chosen = torch.zeros(len(points), count, dtype=torch.long)
    nearest = torch.full(points.shape[:2], float("inf"))
    for index in range(1, count):
        last = points[batch, chosen[:, index - 1]]
        nearest = torch.minimum(nearest, (points - last[:, None]).square().sum(-1))
        chosen[:, index] = nearest.argmax(dim=1)
    return chosen


def take_rows(values: Tensor, rows: Tensor) -> Tensor:
    """values [B, n, d] at rows [B, m] -> [B, m, d]."""
    return torch.gather(values, 1, rows[..., None].expand(-1, -1, values.shape[-1]))


def signed_distance(points: Tensor, starts: Tensor, ends: Tensor, radii: Tensor) -> Tensor:
    """Signed distance of points [B, n, 3] to unions of capsules, starts and ends [B, P, 3], radii [B, P]: [B, n]."""
    axis = ends - starts
    offset = points[:, :, None] - starts[:, None]
    along = (offset * axis[:, None]).sum(-1) / axis.square().sum(-1)[:, None]
    foot = offset - along.clamp(0, 1)[..., None] * axis[:, None]
    distance: Tensor = foot.norm(dim=-1) - radii[:, None]
    return distance.amin(-1)


def draw_occupancy(
    surface: Tensor, starts: Tensor, ends: Tensor, radii: Tensor, count: int, noise: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Query points and whether they are inside: two thirds near the surface, one third uniform in the cube.

    Args:
        surface: [B, n, 3] points on the surface; starts, ends [B, P, 3], radii [B, P]: the capsules.
        count: points per shape.
        noise: source of randomness.
    Returns:
        points [B, count, 3] and occupancy [B, count], 1 inside.
    """
    batch, near = len(surface), count * 2 // 3
    rows = torch.randint(surface.shape[1], (batch, near), generator=noise)
    spread = torch.where(torch.rand(batch, near, 1, generator=noise) < 0.5, 0.02, 0.08)
    close = take_rows(surface, rows) + spread * torch.randn(batch, near, 3, generator=noise)
    wide = 2.0 * torch.rand(batch, count - near, 3, generator=noise) - 1.0
    points = torch.cat([close, wide], dim=1)
    return points, (signed_distance(points, starts, ends, radii) < 0).float()


def split_surface(surface: Tensor, tokens: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Random queries and context out of surface points, as encoding a mesh gives them.

    Args:
        surface: [B, n, 6] points with normals, in random order.
        tokens: N.
        rng: source of randomness.
    Returns:
        rows of the queries [B, N] (farthest points of a random subset) and of the context [m] (the same for all).
    """
    total = surface.shape[1]
    order = torch.from_numpy(rng.permutation(total))
    pool = order[: int(rng.integers(max(tokens, total // 4), total + 1))]
    queries = pool[farthest_rows(surface[:, pool, :3], tokens)]
    context = torch.from_numpy(rng.permutation(total))[: int(rng.integers(max(tokens, total // 4), total + 1))]
    return queries, context


class VaeTask:
    """Trains a ``ShapeVae``.

    For the first ``freeze_share`` of the steps encoder and decoder learn together. Then the latents are scaled to zero
    mean and unit variance per channel (folded into ``quant`` and ``post_quant``: the published layout has no field for
    a scale), the encoder is frozen, and the decoder goes on alone on noisy latents; the flow transformers can start.

    Args:
        network: to train.
        config: of the stage.
        train, held_out: clips.
    """

    def __init__(self, network: ShapeVae, config: VaeConfig, train: Windows, held_out: Windows, seed: int = 0) -> None:
        self.network = network
        self.config = config
        self.settings = config.optim
        self.windows = train
        self.held_out = held_out
        self.seed = seed
        self.freeze_at = round(config.freeze_share * config.optim.steps)
        self.frozen = False

    def surface(self, windows: Windows, clips: np.ndarray, frames: np.ndarray) -> Tensor:
        """[B, n, 6] tracked points and normals."""
        points, normals = windows.take("points", clips, frames), windows.take("normals", clips, frames)
        return torch.cat([to_tensor(points), to_tensor(normals)], dim=-1)

    def capsules(self, windows: Windows, clips: np.ndarray, frames: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """starts, ends [B, P, 3] and radii [B, P]."""
        starts, ends = (to_tensor(windows.take(name, clips, frames)) for name in ("starts", "ends"))
        return starts, ends, to_tensor(windows.take("radii", clips))

    def draw(self, windows: Windows, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Random clips and frames."""
        frames = windows.shards[0]["points"].shape[1]
        return rng.integers(len(windows), size=count), rng.integers(frames, size=count)

    def before(self, step: int) -> None:
        if step >= self.freeze_at and not self.frozen:
            if step == self.freeze_at:
                self.fold_scale()
            for part in (self.network.encoder, self.network.quant):
                part.requires_grad_(False)
            self.frozen = True

    @torch.no_grad()
    def fold_scale(self, clips: int = 512) -> None:
        """Make the latents zero-mean and unit-variance per channel without changing what the VAE computes."""
        rng = np.random.default_rng([self.seed, 11])
        chosen, frames = self.draw(self.windows, clips, rng)
        surface = self.surface(self.windows, chosen, frames)
        means = []
        for part in torch.split(surface, 32):
            queries, context = split_surface(part, self.config.tokens, rng)
            means.append(self.network.encode(take_rows(part, queries), part[:, context])[0])
        values = torch.cat(means).flatten(0, 1)
        scale_latents(self.network, values.mean(0), values.std(0))

    def loss(self, step: int, rng: np.random.Generator, noise: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        clips, frames = self.draw(self.windows, self.settings.batch, rng)
        surface = self.surface(self.windows, clips, frames)
        queries, context = split_surface(surface, self.config.tokens, rng)
        with torch.set_grad_enabled(not self.frozen):
            mean, logvar = self.network.encode(take_rows(surface, queries), surface[:, context])
        logvar = logvar.clamp(-20.0, 10.0)
        jitter = torch.randn(mean.shape, generator=noise)
        if self.frozen:
            # A different strength for every shape, down to none.
            latents = mean + jitter * self.config.latent_noise * torch.rand(len(mean), 1, 1, generator=noise)
        else:
            latents = mean + jitter * (0.5 * logvar).exp()
        points, inside = draw_occupancy(
            surface[..., :3], *self.capsules(self.windows, clips, frames), self.config.points, noise
        )
        logits = self.network.decode(latents).logits(points)
        shape_loss = F.binary_cross_entropy_with_logits(logits, inside)
        divergence = 0.5 * (mean.square() + logvar.exp() - 1.0 - logvar).mean()
        figures = {"occupancy": float(shape_loss.detach()), "divergence": float(divergence.detach())}
        if self.frozen:
            return shape_loss, figures
        return shape_loss + self.config.kl_weight * divergence, figures

    def evaluate(self) -> dict[str, float]:
        rng = np.random.default_rng([self.seed, 13])
        clips, frames = self.draw(self.held_out, 32, rng)
        surface = self.surface(self.held_out, clips, frames)
        queries, context = split_surface(surface, self.config.tokens, rng)
        mean, logvar = self.network.encode(take_rows(surface, queries), surface[:, context])
        decoded = self.network.decode(mean)
        points = uniform_points(8192, self.seed)
        truth = signed_distance(points.expand(len(mean), -1, -1), *self.capsules(self.held_out, clips, frames)) < 0
        overlap = intersection_over_union(decoded.logits(points[None]) > 0, truth)
        return {
            "iou": float(overlap.mean()),
            "latent_std": float(mean.std()),
            "posterior_std": float((0.5 * logvar).exp().mean()),
        }


@torch.no_grad()
def start_certain(network: ShapeVae, logvar: float = -5.0) -> ShapeVae:
    """Give the posterior of an untrained VAE a small variance; at the default, noise drowns the latents for long."""
    channels = network.sizes.channels
    network.quant.weight[channels:] *= 0.1
    network.quant.bias[channels:] = logvar
    return network


def uniform_points(count: int, seed: int) -> Tensor:
    """[count, 3] points, uniform in the box where animals are."""
    noise = torch.Generator().manual_seed(seed)
    return (2.0 * torch.rand(count, 3, generator=noise) - 1.0) * torch.tensor([1.0, 0.8, 0.6])


def intersection_over_union(one: Tensor, other: Tensor) -> Tensor:
    """[B, n] bool twice -> [B]; 0 where both are empty."""
    return (one & other).sum(-1) / (one | other).sum(-1).clamp(min=1)


@torch.no_grad()
def scale_latents(network: ShapeVae, mean: Tensor, deviation: Tensor) -> None:
    """Replace latents z by (z - mean) / deviation in place, exactly: folded into the layers around the latent.

    Args:
        network: its ``quant`` gives mean and log-variance, its ``post_quant`` reads latents.
        mean, deviation: [c] of the present latents.
    """
    channels = network.sizes.channels
    quant, post = network.quant, network.post_quant
    quant.weight[:channels] /= deviation[:, None]
    quant.bias[:channels] = (quant.bias[:channels] - mean) / deviation
    quant.bias[channels:] -= 2.0 * deviation.log()
    post.bias.add_(post.weight @ mean)
    post.weight *= deviation
