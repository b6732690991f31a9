"""From attention maps and latents to matched landmarks: the chain over all frames of a window."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..backbone import Backbone, DecodedLatents, TokenMaps, TokenPairs
from ..chain.correspondence import match_surface, transport
from ..chain.pairs import trace_pairs
from ..config import RolloutConfig
from ..conventions import ANCHOR_FRAME
from ..errors import SurfaceError
from ..mesh.smoothing import reject_outliers
from ..mesh.surface import candidate_grids, surface_points
from .state import RolloutState


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
        skipped: frames in which nothing was looked for.
    """

    points: Tensor
    confidence: Tensor
    rows: Tensor
    best_tokens: Tensor
    empty_frames: tuple[int, ...]
    own: Tensor | None = None
    skipped: tuple[int, ...] = ()


@dataclass(frozen=True)
class Chain:
    """V_a -> Z_a -> Z_f -> V_f for every landmark and frame of a window.

    Attributes:
        backbone: for the decoder.
        field: decoded latent of the anchor frame.
        landmarks: [K, 3] their places in the anchor frame, object frame.
        vertices: [V, 3] the whole anchor mesh there.
        diagonal: of the anchor mesh's bounding box.
        config: surface, match and reinforcement options.
        seed: of the subsampling of candidates.
    """

    backbone: Backbone
    field: DecodedLatents
    landmarks: Tensor
    vertices: Tensor
    diagonal: float
    config: RolloutConfig
    seed: int

    @classmethod
    def of(cls, backbone: Backbone, state: RolloutState, config: RolloutConfig) -> Chain:
        """The chain from the pose that a window starts with."""
        vertices = torch.from_numpy(state.vertices).to(backbone.device)
        places = vertices[torch.from_numpy(state.anchor.landmark_vertices).to(backbone.device)]
        field = backbone.decode(state.latent[None])
        return cls(backbone, field, places, vertices, state.anchor.mesh.diagonal, config, window_seed(config, state))

    def match(self, latents: Tensor, maps: TokenMaps, skipped: tuple[int, ...] = ()) -> LandmarkMatches:
        """Where the landmarks went (Eq. 2, 3, 4).

        Args:
            latents: [F, N, c] of the window.   maps: read in Stage I.
            skipped: frames in which they are not looked for, to save the time that their surfaces take.
        """
        rows = transport(self.field.attention(self.landmarks[None])[0], maps.token_tokens)
        chosen = [frame for frame in range(len(latents)) if frame not in skipped]
        fields = self.backbone.decode(latents if not skipped else latents[chosen])
        surfaces, empty_rows = frame_surfaces(fields, self.config, self.seed, self.vertices)
        empty = tuple(chosen[row] for row in empty_rows)
        frames, count, tokens = rows.shape
        points = self.landmarks.float().expand(frames, count, 3).clone()
        confidence = torch.zeros((frames, count), device=rows.device)
        best_tokens = torch.zeros((frames, count, tokens), device=rows.device)
        confidence[ANCHOR_FRAME] = 1.0
        own = None
        for row, frame in enumerate(chosen):
            if frame in empty or (frame == ANCHOR_FRAME and not self.config.match.self_limit):
                continue
            surface_tokens = fields.select(row, row + 1).attention(surfaces[row][None])[0]
            found = match_surface(rows[frame], surface_tokens, surfaces[row], self.config.match, self.diagonal)
            if frame == ANCHOR_FRAME:
                own = found.points
                continue
            points[frame], confidence[frame] = found.points, found.confidence
            best_tokens[frame] = surface_tokens[found.best]
        return LandmarkMatches(points, confidence, rows, best_tokens, empty, own, skipped)

    def pairs(self, latents: Tensor, maps: TokenMaps) -> TokenPairs:
        """The token pairs behind the matches with their gains 1 + beta * c_hat (Sec. 4.3, Eq. 5)."""
        matches, options = self.match(latents, maps), self.config.reinforce
        here = matches.points[ANCHOR_FRAME]
        valid = reject_outliers(here, matches.points, ANCHOR_FRAME, self.config.animation, self.diagonal)
        frames, first, second, gains = [], [], [], []
        for frame in range(len(matches.points)):
            if frame == ANCHOR_FRAME or frame in matches.empty_frames:
                continue
            found = trace_pairs(
                matches.rows[ANCHOR_FRAME],
                maps.token_tokens[frame],
                matches.best_tokens[frame],
                matches.confidence[frame],
                valid[frame],
                options,
            )
            frames.append(torch.full_like(found.anchor_token, frame))
            first.append(found.anchor_token)
            second.append(found.frame_token)
            gains.append(1.0 + options.beta * found.gain)
        if not frames:
            none = torch.zeros(0, dtype=torch.int64, device=latents.device)
            return TokenPairs(none, none, none, none.float())
        return TokenPairs(torch.cat(frames), torch.cat(first), torch.cat(second), torch.cat(gains))


def window_seed(config: RolloutConfig, state: RolloutState) -> int:
    """The seed of everything random in one window."""
    return config.sampling.seed + 1000 * state.index


def frame_surfaces(
    fields: DecodedLatents, config: RolloutConfig, seed: int, near: Tensor
) -> tuple[list[Tensor], tuple[int, ...]]:
    """Candidate surface points S_f of every frame [U_f, 3], and the frames that have none.

    Args:
        fields: of the frames.
        config: of the window.
        seed: of the subsampling.
        near: [V, 3] the anchor's vertices, about which every frame is looked at closely.
    """
    device = fields.keys.device
    options = candidate_grids(config.surface)
    try:
        return surface_points(fields.logits, len(fields), options, seed, device, near=near), ()
    except SurfaceError:
        # One frame without a surface must not lose the others: take them one by one.
        found: list[Tensor] = []
        empty: list[int] = []
        for frame in range(len(fields)):
            field = fields.select(frame, frame + 1)
            try:
                found.append(surface_points(field.logits, 1, options, seed + frame, device, near=near)[0])
            except SurfaceError:
                found.append(torch.zeros((0, 3), device=device))
                empty.append(frame)
        return found, tuple(empty)
