"""The flow stages: image to 3D (Stage 0) and the temporal denoiser (Stage I), on a frozen VAE and image encoder."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ...backbone.dinov2 import DinoV2
from ...backbone.flow import Flow
from ...backbone.schedule import TRAIN_STEPS, stage_one_schedule, stage_zero_schedule
from ...backbone.stage_zero import denoise_image
from ...backbone.transformer import ContextKeys, FlowTransformer, parse_indices
from ...backbone.vae import ShapeVae
from ...conventions import ANCHOR_FRAME
from .data import BACKGROUND, Windows
from .looking import Looks, look_loss, seen_patches
from .pictures import encode_pictures, vary_pictures
from .recipe import FlowConfig
from .shapes import (
    SolidBatch,
    intersection_over_union,
    mean_by_family,
    signed_distance,
    solid_overlap,
    split_surface,
    take_rows,
    to_tensor,
    uniform_points,
)


def start_at_rest(network: FlowTransformer) -> FlowTransformer:
    """Zero the output layer of an untrained network: the first velocity is zero instead of noise."""
    torch.nn.init.zeros_(network.proj_out.weight)
    torch.nn.init.zeros_(network.proj_out.bias)
    return network


def draw_times(count: int, config: FlowConfig, noise: torch.Generator) -> Tensor:
    """[count] noise levels: shares of exactly 1 and of 0.9 .. 1, the rest tilted towards the noisy end.

    With the shifted schedule of four steps, sampling evaluates the velocity at 1, 0.9, 0.75 and 0.5. Stage I's noise is
    the same in all frames: at any level below 1 the differences between the frames' latents are still there, only
    smaller, and the network learns to read the motion off them instead of off the pictures. At 1, where sampling
    starts, they are gone: what it then makes of the pictures decides the motion.
    """
    early = torch.rand(count, generator=noise)
    early = torch.where(torch.rand(count, generator=noise) < 0.75, 0.4 + 0.55 * early, early)
    high = 0.9 + 0.1 * torch.rand(count, generator=noise)
    times = torch.where(torch.rand(count, generator=noise) < config.late_times, high, early)
    if not config.first_times:
        return times
    return torch.where(torch.rand(count, generator=noise) < config.first_times, torch.ones(count), times)


def window_surface(windows: Windows, clips: np.ndarray, frames: np.ndarray) -> Tensor:
    """Tracked points and normals of frames [B, n] of clips [B]: [B, n, P, 6]."""
    points, normals = windows.take("points", clips, frames), windows.take("normals", clips, frames)
    return torch.cat([to_tensor(points), to_tensor(normals)], dim=-1)


@torch.no_grad()
def encode_window(
    vae: ShapeVae, surface: Tensor, anchor: Tensor, tokens: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Latents of a window whose token i is the same surface point in every frame.

    Args:
        vae: frozen.
        surface: [B, n, P, 6] tracked points with normals.
        anchor: [B] which of the n frames is the anchor: its farthest points become tokens.
        tokens: N.
        rng: draws the subsets of points.
    Returns:
        latents [B, n, N, c]; the anchor's latent [B, N, c], encoded once more from other points, as a mesh sampled
        anew gives it; rows [B, N] of the tokens' points.
    """
    batch, frames, total, _ = surface.shape
    anchor_surface = surface[torch.arange(batch), anchor]
    rows, context = split_surface(anchor_surface, tokens, rng)
    other = torch.from_numpy(rng.permutation(total))[: int(rng.integers(total // 4, total + 1))]
    flat = surface.flatten(0, 1)
    queries = take_rows(flat, rows.repeat_interleave(frames, dim=0))
    latents = torch.cat(
        [vae.encode(q, s)[0] for q, s in zip(torch.split(queries, 64), torch.split(flat[:, context], 64), strict=True)]
    )
    again = vae.encode(take_rows(anchor_surface, rows), anchor_surface[:, other])[0]
    return latents.view(batch, frames, tokens, -1), again, rows


@torch.no_grad()
def encode_images(encoder: DinoV2, images: Tensor) -> Tensor:
    """[B, S, S, 3] -> [B, 1 + P, C], a few at a time so that the intermediate results stay in the cache."""
    return torch.cat([encode_pictures(encoder, part) for part in torch.split(images, 64)])


def tied_noise(anchor: Tensor, share: float, noise: torch.Generator) -> Tensor:
    """Source noise of Stage I shared by all frames: share * anchor + sqrt(1 - share^2) * noise, [B, N, c]."""
    fresh = torch.randn(anchor.shape, generator=noise)
    return share * anchor + math.sqrt(1.0 - share * share) * fresh


def pair_noise(noise: Tensor, latents: Tensor) -> Tensor:
    """Permute the noise tokens of every sample so that they lie near the latent tokens they become: [B, N, c] twice.

    The network treats tokens alike whatever their order, so a permutation leaves the distribution of the noise as it is
    (equivariant flow matching), but the flow no longer has to decide which token becomes which part of the surface.
    """
    cost = torch.cdist(latents, noise).square().numpy()
    order = np.stack([linear_sum_assignment(one)[1] for one in cost])
    return take_rows(noise, torch.from_numpy(order))


class FlowTask:
    """What training a flow transformer needs: frozen VAE and image encoder, and clips."""

    def __init__(
        self,
        network: FlowTransformer,
        config: FlowConfig,
        vae: ShapeVae,
        encoder: DinoV2,
        train: Windows,
        held_out: Windows,
    ) -> None:
        self.network = network
        self.config = config
        self.settings = config.optim
        self.vae = vae
        self.encoder = encoder
        self.windows = train
        self.held_out = held_out
        self.tokens = network.sizes.tokens

    def before(self, step: int) -> None:
        """Nothing changes while training."""


class TemporalTask(FlowTask):
    """Trains Stage I: latents of all frames of a window from the anchor's latent and the pictures."""

    @property
    def frames(self) -> int:
        """Frames of a window."""
        return self.network.sizes.frames

    def draw_frames(self, batch: int, count: int, rng: np.random.Generator) -> tuple[np.ndarray, Tensor]:
        """Which frames of a window to use, ascending [B, count], and where among them the anchor is [B].

        The anchor mostly is frame 0. Short samples leave out frames at random instead of ending early: they show
        the far frames, where the motion is largest, from the start.
        """
        frames = np.empty((batch, count), dtype=np.int64)
        anchor = np.empty(batch, dtype=np.int64)
        for row in range(batch):
            first = 0 if rng.random() < 0.8 else int(rng.integers(self.frames))
            others = np.setdiff1d(np.arange(self.frames), [first])
            chosen = np.sort(np.append(rng.choice(others, count - 1, replace=False), first))
            frames[row], anchor[row] = chosen, int(np.searchsorted(chosen, first))
        return frames, torch.from_numpy(anchor)

    def token_patches(self, points: Tensor, clips: np.ndarray, frames: np.ndarray, grid: int) -> Tensor:
        """``seen_patches`` of surface points [B * n, N, 3] in the pictures of frames [B, n] of clips [B]."""
        xyz, parts = (torch.from_numpy(self.windows.take(name, clips, frames)) for name in ("xyz", "parts"))
        return seen_patches(points, xyz.float().flatten(0, 1), parts.flatten(0, 1) != BACKGROUND, grid)

    def loss(self, step: int, rng: np.random.Generator, noise: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        short = step < self.config.short_share * self.settings.steps
        batch = self.config.short_batch if short else self.settings.batch
        count = self.config.short_frames if short else self.frames
        clips = rng.integers(len(self.windows), size=batch)
        frames, anchor = self.draw_frames(batch, count, rng)
        surface = window_surface(self.windows, clips, frames)
        latents, again, rows = encode_window(self.vae, surface, anchor, self.tokens, rng)
        dropped = rng.random() < self.config.drop_context
        context = None
        if not dropped:
            images = torch.from_numpy(self.windows.take("images", clips, frames))
            side = images.shape[2]
            varied = vary_pictures(images.reshape(batch, count * side, side, 3), noise)
            context = encode_images(self.encoder, varied.reshape(batch * count, side, side, 3))
        source = tied_noise(again, self.config.anchor_noise, noise)[:, None]
        level = draw_times(batch, self.config, noise)[:, None]
        known = F.one_hot(anchor, count).bool()
        mixed = torch.lerp(latents, source.expand_as(latents), level[..., None, None])
        mixed = torch.where(known[..., None, None], again[:, None], mixed)
        time = torch.where(known, 0.0, TRAIN_STEPS * level)
        keys = None if context is None else self.network.project_context(context)
        looks = None
        if self.config.look_weight and context is not None:
            looks = Looks(parse_indices(self.config.look_layers, range(self.config.layers), "look_layers"))
        velocity = self.network(mixed, time, keys, torch.from_numpy(frames), looks).float()
        error = (velocity - (latents - source)).square().mean((2, 3))
        loss = error[~known].mean()
        figures = {"unconditioned" if dropped else "conditioned": float(loss.detach())}
        if looks is not None and context is not None:
            points = take_rows(surface[..., :3].flatten(0, 1), rows.repeat_interleave(count, dim=0))
            grid = round((context.shape[1] - 1) ** 0.5)
            looking = look_loss(list(looks.maps.values()), self.token_patches(points, clips, frames, grid))
            figures["looking"] = float(looking.detach())
            loss = loss + self.config.look_weight * looking
        with torch.no_grad():
            still = (again[:, None] - latents).square().mean((2, 3))[~known].mean()
        return loss, figures | {"still": float(still)}

    def evaluate(self) -> dict[str, float]:
        # The first clips have the mixture of families that training has: half of them are creatures.
        clips = np.arange(min(20, len(self.held_out)))
        frames = np.tile(np.arange(self.frames), (len(clips), 1))
        surface = window_surface(self.held_out, clips, frames)
        anchor = torch.zeros(len(clips), dtype=torch.long)
        rng = np.random.default_rng(19)
        truth, again, _ = encode_window(self.vae, surface, anchor, self.tokens, rng)
        images = torch.from_numpy(self.held_out.take("images", clips)).flatten(0, 1)
        keys = self.network.project_context(encode_images(self.encoder, images))
        noise = torch.Generator().manual_seed(23)
        made = sample_window(self.network, again, keys, self.config.anchor_noise, noise)
        found = {"latent_error": float((made - truth)[:, 1:].square().mean())}
        points = uniform_points(4096, 29)
        start = occupancy(self.vae, again, points)
        for frame in (self.frames // 4, self.frames // 2, self.frames - 1):
            solids = SolidBatch.take(self.held_out, clips, np.full(len(clips), frame))
            overlap = solid_overlap(occupancy(self.vae, made[:, frame], points), points, solids)
            found[f"iou_{frame}"] = float(overlap.mean())
            found[f"still_{frame}"] = float(solid_overlap(start, points, solids).mean())
        found |= mean_by_family(f"iou_{frame}", overlap, self.held_out.families[clips])
        found["ceiling"] = float(solid_overlap(occupancy(self.vae, truth[:, frame], points), points, solids).mean())
        return found


def occupancy(vae: ShapeVae, latents: Tensor, points: Tensor) -> Tensor:
    """Whether points [n, 3] are inside the decoded shapes of latents [B, N, c]: [B, n] bool."""
    return vae.decode(latents).logits(points[None]) > 0


@torch.no_grad()
def sample_window(
    network: FlowTransformer, anchor: Tensor, keys: ContextKeys | None, share: float, noise: torch.Generator
) -> Tensor:
    """Sample windows in 4 steps without guidance: anchors [B, N, c] -> latents [B, F, N, c], the anchors first."""
    latents = tied_noise(anchor, share, noise)[:, None].repeat(1, network.sizes.frames, 1, 1)
    latents[:, ANCHOR_FRAME] = anchor
    return Flow(network, keys, stage_one_schedule(4), anchored=True).follow(latents)


class ImageTo3DTask(FlowTask):
    """Trains Stage 0: the latent of one frame from its picture."""

    def batch(
        self, windows: Windows, clips: np.ndarray, frames: np.ndarray, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Latents [B, N, c] and pictures [B, S, S, 3] of frames [B] of clips [B]."""
        surface = window_surface(windows, clips, frames)
        rows, context = split_surface(surface, self.tokens, rng)
        with torch.no_grad():
            latents = self.vae.encode(take_rows(surface, rows), surface[:, context])[0]
        return latents, torch.from_numpy(windows.take("images", clips, frames))

    def loss(self, step: int, rng: np.random.Generator, noise: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        count = self.settings.batch
        clips = rng.integers(len(self.windows), size=count)
        frames = rng.integers(self.windows.frames, size=count)
        latents, images = self.batch(self.windows, clips, frames, rng)
        dropped = rng.random() < self.config.drop_context
        keys = None
        if not dropped:
            keys = self.network.project_context(encode_images(self.encoder, vary_pictures(images, noise)))
        source = pair_noise(torch.randn(latents.shape, generator=noise), latents)
        level = draw_times(count, self.config, noise)
        mixed = torch.lerp(latents, source, level[:, None, None])
        velocity = self.network(mixed[:, None], TRAIN_STEPS * level[:, None], keys)[:, 0].float()
        loss = (velocity - (latents - source)).square().mean()
        return loss, {"unconditioned" if dropped else "conditioned": float(loss.detach())}

    def evaluate(self) -> dict[str, float]:
        # Even clips start at the frame that a first window starts at; they have the mixture of families, too.
        clips = np.arange(0, min(80, len(self.held_out)), 2)
        frames = np.zeros(len(clips), dtype=np.int64)
        latents, images = self.batch(self.held_out, clips, frames, np.random.default_rng(31))
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(37))
        made = denoise_image(self.network, noise, encode_images(self.encoder, images), stage_zero_schedule(20))
        points = uniform_points(4096, 41)
        solids = SolidBatch.take(self.held_out, clips, frames)
        inside = signed_distance(points.expand(len(clips), -1, -1), solids) < 0
        shapes = occupancy(self.vae, made, points)
        return {
            **mean_by_family("iou", intersection_over_union(shapes, inside), self.held_out.families[clips]),
            "another": float(intersection_over_union(shapes, inside.roll(1, 0)).mean()),
            "ceiling": float(intersection_over_union(occupancy(self.vae, latents, points), inside).mean()),
        }
