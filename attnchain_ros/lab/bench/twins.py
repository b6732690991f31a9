"""How much faster the fast algorithms are than their literal twins, and the networks than plainly written ones."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ...backbone import Backbone
from ...backbone.layers import attend, attention_rows, use_attention
from ...chain import correspondence
from ...config import MatchConfig, RolloutConfig
from ...mesh import geodesic, skinning, surface
from ..reference import correspondence as plain_correspondence
from ..reference import geodesic as plain_geodesic
from ..reference import skinning as plain_skinning
from ..reference import surface as plain_surface
from .scene import shape_field

POINTS, LANDMARKS, TOKENS = 400, 20, 24


def twin_ratios(backbone: Backbone, config: RolloutConfig) -> dict[str, float]:
    """Seconds of the twin over seconds of ours, on the same small inputs."""
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.ones(TOKENS), LANDMARKS).astype(np.float32)
    seen = rng.dirichlet(np.ones(TOKENS), POINTS).astype(np.float32)
    points = rng.normal(size=(POINTS, 3)).astype(np.float32)
    share, look, places_now = (torch.from_numpy(one) for one in (rows, seen, points))
    match = MatchConfig()
    mesh = surface.extract_mesh(lambda places: shape_field(places), _small(config))
    chosen = np.linspace(0, len(mesh.vertices) - 1, LANDMARKS).astype(np.int64)
    k_nn = min(8, LANDMARKS)
    weights = geodesic.skinning_weights(mesh.vertices, mesh.faces, chosen, k_nn, 2.0)
    dense = np.zeros((len(mesh.vertices), LANDMARKS))
    np.put_along_axis(dense, weights.index, weights.weight, axis=1)
    rest, here = mesh.vertices, mesh.vertices[chosen]
    later = (here[None] + 0.01 * rng.normal(size=(4, *here.shape))).astype(np.float32)
    still, now, next_ones = (torch.from_numpy(one) for one in (rest, here, later))
    pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "matching (Eq. 3, 4)": (
            lambda: correspondence.match_surface(share, look, places_now, match, 2.0),
            lambda: plain_correspondence.match_surface(rows, seen, points, match, 2.0),
        ),
        "candidate surfaces": (
            lambda: surface.surface_points(lambda places: shape_field(places), 1, _small(config), 0),
            lambda: plain_surface.surface_points(lambda places: shape_field(places), 1, _small(config)),
        ),
        "geodesic weights": (
            lambda: geodesic.skinning_weights(mesh.vertices, mesh.faces, chosen, k_nn, 2.0),
            lambda: plain_geodesic.skinning_weights(mesh.vertices, mesh.faces, chosen, k_nn, 2.0),
        ),
        "skinning": (
            lambda: skinning.skin_vertices(still, now, next_ones, weights),
            lambda: plain_skinning.skin_vertices(rest, here, later, dense),
        ),
    }
    found = {name: _seconds(plain) / _seconds(fast) for name, (fast, plain) in pairs.items()}
    if backbone.device.type != "meta":
        found["denoiser, one pass"] = network_ratio(backbone)
    return found


def network_ratio(backbone: Backbone) -> float:
    """One pass of Stage I with attention written out head by head over the same pass as it is."""
    work = one_pass(backbone)
    network = backbone.stage_one
    fast = _seconds(work, backbone.device)
    use_attention(network, plain_attention)
    try:
        return _seconds(work, backbone.device) / fast
    finally:
        use_attention(network, attend)


def one_pass(backbone: Backbone) -> Callable[[], Tensor]:
    """One evaluation of Stage I's velocity with images, on random latents."""
    device, frames = backbone.device, backbone.frames
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn((1, frames, backbone.tokens, backbone.channels), generator=generator).to(device)
    encoder = backbone.encoder_one
    context = torch.randn((frames, encoder.grid**2 + 1, encoder.width), generator=generator).to(device, backbone.dtype)
    time_at = torch.full((1, frames), 500.0, device=device)
    steps = torch.arange(frames, device=device)[None]
    keys = backbone.stage_one.project_context(context)
    return lambda: backbone.stage_one(latents, time_at, keys, steps)


def plain_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """As in a textbook: every head's whole matrix, softmaxed, times its values; float32."""
    heads = [attention_rows(q[:, h], k[:, h]) @ v[:, h].float() for h in range(q.shape[1])]
    return torch.stack(heads, dim=1).to(q.dtype)


def _small(config: RolloutConfig):  # type: ignore[no-untyped-def]
    from dataclasses import replace

    return replace(config.surface, grid=16, candidate_grid=16, coarse_grid=8, n_surface=10000, target_vertices=300)


def _seconds(work: Callable[[], object], device: torch.device | None = None) -> float:
    """The least of three, after one that warms up."""
    laps = []
    with torch.no_grad():
        for _ in range(4):
            if device is not None and device.type == "cuda":
                torch.cuda.synchronize(device)
            started = time.perf_counter()
            work()
            if device is not None and device.type == "cuda":
                torch.cuda.synchronize(device)
            laps.append(time.perf_counter() - started)
    return min(laps[1:])
