"""The VAE stage: surface points of posed things to latent tokens and back to occupancy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...backbone.vae import ShapeVae
from ..synthetic import TRAINED_FAMILIES
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


@dataclass(frozen=True)
class SolidBatch:
    """Rounded boxes of B shapes, as ``synthetic.solids`` has them.

    Attributes:
        centers: [B, P, 3]; axes: [B, P, 3, 3] columns are a solid's own x, y, z; half: [B, P, 3].
        radii: [B, P]; negative where a shape has fewer parts.
    """

    centers: Tensor
    axes: Tensor
    half: Tensor
    radii: Tensor

    @classmethod
    def take(cls, windows: Windows, clips: np.ndarray, frames: np.ndarray) -> SolidBatch:
        """The solids of frames [B] of clips [B]."""
        centers, axes = (to_tensor(windows.take(name, clips, frames)) for name in ("centers", "axes"))
        half, radii = (to_tensor(windows.take(name, clips)) for name in ("half", "radii"))
        return cls(centers, axes, half, radii)

    def axis_ends(self) -> Tensor:
        """Both ends of every solid's longest axis: [B, P, 6]."""
        longest, index = self.half.max(dim=-1)
        along = torch.gather(self.axes, 3, index[..., None, None].expand(-1, -1, 3, 1))[..., 0]
        reach = longest[..., None] * along
        return torch.cat([self.centers - reach, self.centers + reach], dim=-1)


def signed_distance(points: Tensor, solids: SolidBatch) -> Tensor:
    """Signed distance of points [B, n, 3] to the unions of the solids, negative inside: [B, n]."""
    offset = points[:, None] - solids.centers[:, :, None]
    beyond = (offset @ solids.axes).abs() - solids.half[:, :, None]
    distance: Tensor = beyond.clamp(min=0).norm(dim=-1) + beyond.amax(-1).clamp(max=0) - solids.radii[..., None]
    return distance.amin(1)


def draw_occupancy(surface: Tensor, solids: SolidBatch, count: int, noise: torch.Generator) -> tuple[Tensor, Tensor]:
    """Query points and whether they are inside: two thirds near the surface, one third uniform in the cube.

    Args:
        surface: [B, n, 3] points on the surface; solids: of the B shapes.
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
    return points, (signed_distance(points, solids) < 0).float()


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

    def draw(self, windows: Windows, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Random clips and frames."""
        return rng.integers(len(windows), size=count), rng.integers(windows.frames, size=count)

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
        solids = SolidBatch.take(self.windows, clips, frames)
        points, inside = draw_occupancy(surface[..., :3], solids, self.config.points, noise)
        logits = self.network.decode(latents).logits(points)
        shape_loss = F.binary_cross_entropy_with_logits(logits, inside)
        divergence = 0.5 * (mean.square() + logvar.exp() - 1.0 - logvar).mean()
        figures = {"occupancy": float(shape_loss.detach()), "divergence": float(divergence.detach())}
        if self.frozen:
            return shape_loss, figures
        return shape_loss + self.config.kl_weight * divergence, figures

    def evaluate(self) -> dict[str, float]:
        rng = np.random.default_rng([self.seed, 13])
        clips = family_clips(self.held_out, 12)
        frames = rng.integers(self.held_out.frames, size=len(clips))
        points = uniform_points(8192, self.seed)
        overlaps, means, deviations = [], [], []
        for rows in np.split(np.arange(len(clips)), range(12, len(clips), 12)):
            surface = self.surface(self.held_out, clips[rows], frames[rows])
            queries, context = split_surface(surface, self.config.tokens, rng)
            mean, logvar = self.network.encode(take_rows(surface, queries), surface[:, context])
            inside = self.network.decode(mean).logits(points[None]) > 0
            overlaps.append(solid_overlap(inside, points, SolidBatch.take(self.held_out, clips[rows], frames[rows])))
            means.append(mean)
            deviations.append((0.5 * logvar).exp())
        return {
            **mean_by_family("iou", torch.cat(overlaps), self.held_out.families[clips]),
            "latent_std": float(torch.cat(means).std()),
            "posterior_std": float(torch.cat(deviations).mean()),
        }


@torch.no_grad()
def start_certain(network: ShapeVae, logvar: float = -5.0) -> ShapeVae:
    """Give the posterior of an untrained VAE a small variance; at the default, noise drowns the latents for long."""
    channels = network.sizes.channels
    network.quant.weight[channels:] *= 0.1
    network.quant.bias[channels:] = logvar
    return network


def uniform_points(count: int, seed: int) -> Tensor:
    """[count, 3] points, uniform in the cube [-1, 1]^3."""
    noise = torch.Generator().manual_seed(seed)
    return 2.0 * torch.rand(count, 3, generator=noise) - 1.0


def family_clips(windows: Windows, each: int) -> np.ndarray:
    """[families x each] clip numbers: the first of every family that is there, from the start again if too few."""
    found = [np.flatnonzero(windows.families == number) for number in range(len(TRAINED_FAMILIES))]
    return np.concatenate([np.resize(clips, each) for clips in found if len(clips)])


def mean_by_family(name: str, values: Tensor, families: np.ndarray) -> dict[str, float]:
    """The mean of values [B], and under ``<name>_<family>`` that of every family in families [B]."""
    found = {name: float(values.mean())}
    for number in np.unique(families):
        found[f"{name}_{TRAINED_FAMILIES[number]}"] = float(values[torch.from_numpy(families == number)].mean())
    return found


def solid_overlap(inside: Tensor, points: Tensor, solids: SolidBatch) -> Tensor:
    """Intersection over union [B] of shapes, known by whether points [n, 3] are inside [B, n], with the solids."""
    truth = signed_distance(points.expand(len(inside), -1, -1), solids) < 0
    return intersection_over_union(inside, truth)


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
