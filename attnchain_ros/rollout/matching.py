"""From attention maps and latents to matched landmarks: the chain over all frames of a window."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..backbone import Backbone, DecodedLatents, TokenMaps, TokenPairs
from ..chain.correspondence import match_surface, transport
from ..chain.pairs import trace_pairs
from ..config import RolloutConfig
from ..errors import SurfaceError
from ..mesh.smoothing import reject_outliers
from ..mesh.surface import surface_points


@dataclass(frozen=True)
class LandmarkMatches:
    """Where the chain finds each landmark.

    Attributes:
        points: [F, K, 3] float32 object frame; the anchor frame holds the landmarks themselves.
        confidence: [F, K] float32 scores (Eq. 3); 1 in the anchor frame, 0 in frames without a surface.
        rows: [F, K, N] float32 attention of each landmark over the frame's tokens (Eq. 2).
        best_tokens: [F, K, N] float32 attention of the best surface point, for pair tracing.
        empty_frames: frames whose field had no surface.
        own: [K, 3] where the same chain finds the landmarks in the anchor frame itself; None where it was not asked
            (``MatchConfig.self_limit``) or there is no surface.
    """

    points: Tensor
    confidence: Tensor
    rows: Tensor
    best_tokens: Tensor
    empty_frames: tuple[int, ...]
    own: Tensor | None = None


def frame_surfaces(fields: DecodedLatents, config: RolloutConfig, seed: int) -> tuple[list[Tensor], tuple[int, ...]]:
    """Candidate surface points of every frame [U_f, 3], and the frames that have none."""
    device = fields.keys.device
    options = replace(config.surface, grid=config.surface.candidate_grid)
    try:
        return surface_points(fields.logits, len(fields), options, seed, device), ()
    except SurfaceError:
        # One frame without a surface must not lose the others: take them one by one.
        found: list[Tensor] = []
        empty: list[int] = []
        for frame in range(len(fields)):
            field = fields.select(frame, frame + 1)
            try:
                found.append(surface_points(field.logits, 1, options, seed + frame, device)[0])
            except SurfaceError:
                found.append(torch.zeros((0, 3), device=device))
                empty.append(frame)
        return found, tuple(empty)


def match_landmarks(
    backbone: Backbone,
    anchor_field: DecodedLatents,
    latents: Tensor,
    maps: TokenMaps,
    landmarks: Tensor,
    anchor: int,
    diagonal: float,
    config: RolloutConfig,
    seed: int,
) -> LandmarkMatches:
    """Run the chain V_a -> Z_a -> Z_f -> V_f for every landmark and frame (Eq. 2, 3, 4).

    Args:
        backbone: for the decoder.
        anchor_field: decoded latent of the anchor frame (B = 1).
        latents: [F, N, c] of the window.
        maps: attention read in Stage I.
        landmarks: [K, 3] landmark positions in the anchor frame, object frame.
        anchor: index of the anchor frame.
        diagonal: of the anchor mesh's bounding box.
        config: surface and match options.
        seed: of the subsampling of candidates.
    """
    rows = transport(anchor_field.attention(landmarks[None])[0], maps.token_tokens)
    fields = backbone.decode(latents)
    surfaces, empty = frame_surfaces(fields, config, seed)
    frames, count, tokens = rows.shape
    points = landmarks.float().expand(frames, count, 3).clone()
    confidence = torch.zeros((frames, count), device=rows.device)
    best_tokens = torch.zeros((frames, count, tokens), device=rows.device)
    confidence[anchor] = 1.0
    own = None
    for frame in range(frames):
        if frame in empty or (frame == anchor and not config.match.self_limit):
            continue
        surface_tokens = fields.select(frame, frame + 1).attention(surfaces[frame][None])[0]
        found = match_surface(rows[frame], surface_tokens, surfaces[frame], config.match, diagonal)
        if frame == anchor:
            own = found.points
            continue
        points[frame], confidence[frame] = found.points, found.confidence
        best_tokens[frame] = surface_tokens[found.best]
    return LandmarkMatches(points, confidence, rows, best_tokens, empty, own)


def trace_window_pairs(
    matches: LandmarkMatches, maps: TokenMaps, anchor_rows: Tensor, anchor: int, diagonal: float, config: RolloutConfig
) -> TokenPairs:
    """The token pairs behind the window's matches with their gains 1 + beta * c_hat (Sec. 4.3, Eq. 5)."""
    valid = reject_outliers(matches.points[anchor], matches.points, anchor, config.animation, diagonal)
    frames, first, second, gains = [], [], [], []
    for frame in range(len(matches.points)):
        if frame == anchor or frame in matches.empty_frames:
            continue
        pairs = trace_pairs(
            anchor_rows,
            maps.token_tokens[frame],
            matches.best_tokens[frame],
            matches.confidence[frame],
            valid[frame],
            config.reinforce,
        )
        frames.append(torch.full_like(pairs.anchor_token, frame))
        first.append(pairs.anchor_token)
        second.append(pairs.frame_token)
        gains.append(1.0 + config.reinforce.beta * pairs.gain)
    if not frames:
        none = torch.zeros(0, dtype=torch.int64, device=anchor_rows.device)
        return TokenPairs(none, none, none, none.float())
    return TokenPairs(torch.cat(frames), torch.cat(first), torch.cat(second), torch.cat(gains))
