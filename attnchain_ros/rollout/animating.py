"""From matched landmarks to the animated mesh of a window: outliers, smoothing, skinning (Sec. 4.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..config import RolloutConfig
from ..conventions import ANCHOR_FRAME
from ..mesh.geodesic import SkinningWeights
from ..mesh.skinning import skin_vertices
from ..mesh.smoothing import keep_landmarks, reject_outliers, smooth_displacements
from .matching import LandmarkMatches
from .state import Anchor, RolloutState


@dataclass(frozen=True)
class Animation:
    """Outcome for the real frames of a window, for the anchor's welded mesh.

    Attributes:
        vertices: [F, V, 3] float32.
        landmarks: [F, K, 3] float32 smoothed landmark positions.
        valid: [F, K] bool, match kept.
        dropped: landmarks left out of the skinning because too few of their matches were kept so far.
    """

    vertices: np.ndarray
    landmarks: np.ndarray
    valid: np.ndarray
    dropped: int


def animate(state: RolloutState, matches: LandmarkMatches, frames: int, config: RolloutConfig) -> Animation:
    """Lift landmark matches to the whole mesh; updates the counts and histories of ``state``.

    The mesh is always skinned from its rest pose, so that its shape does not wear off over many windows; the anchor
    frame keeps exactly the pose it had at the end of the previous window.

    Args:
        state: the anchor, its pose in this window's anchor frame, histories.
        matches: raw positions of the landmarks.
        frames: frames of the window that are real (the rest is padding and must not enter the histories).
        config: of animation and matching.
    """
    options = config.animation
    points, valid, lost = clean_matches(state.anchor, matches, config)
    device = points.device
    here = points[ANCHOR_FRAME]
    state.valid_counts, state.frames_seen = _count(state, valid[:frames])
    history = None
    if state.landmark_history is not None:
        history = (state.landmark_history[0] - here, state.landmark_history[1])
    smoothed = smooth_displacements(here, points, valid, ANCHOR_FRAME, options.sigma_landmark, history)
    component = torch.from_numpy(state.anchor.landmark_component)
    kept = keep_landmarks(torch.from_numpy(state.valid_counts), state.frames_seen, component, options)
    rest = torch.from_numpy(state.anchor.mesh.vertices).to(device)
    steady = kept.numpy() & ~lost
    weights = without_dropped(state.anchor.weights, steady)
    vertices = skin_vertices(rest, rest[torch.from_numpy(state.anchor.landmark_vertices).to(device)], smoothed, weights)
    vertices[ANCHOR_FRAME] = torch.from_numpy(state.vertices).to(device)
    vertices = steady_vertices(state, vertices, options.sigma_final)
    # The next window's anchor is this one's last frame: its history ends just before it.
    last = max(frames - 1, 0)
    state.landmark_history = _tail(state.landmark_history, points, valid, last, options.sigma_landmark)
    keep_vertex_history(state, vertices[:last], options.sigma_final)
    posed, places, kept_matches = (values[:frames].cpu().numpy() for values in (vertices, smoothed, valid))
    return Animation(posed, places, kept_matches, int((~steady).sum()))


def clean_matches(anchor: Anchor, matches: LandmarkMatches, config: RolloutConfig) -> tuple[Tensor, Tensor, np.ndarray]:
    """Matches freed of their offsets, and which of them to believe.

    Returns:
        points [F, K, 3], valid [F, K] bool, and lost [K] bool: landmarks that the chain does not even find in the
        anchor frame.
    """
    diagonal = anchor.mesh.diagonal
    points = matches.points
    here = points[ANCHOR_FRAME]
    lost = np.zeros(len(here), bool)
    if matches.own is not None:
        apart = torch.linalg.vector_norm(matches.own - here, dim=1)
        lost = (apart > config.match.self_limit * diagonal).cpu().numpy()
        points = free_of_offsets(points, matches.own, lost, anchor)
    valid = reject_outliers(here, points, ANCHOR_FRAME, config.animation, diagonal)
    others = torch.arange(len(points), device=points.device) != ANCHOR_FRAME
    valid &= ~(others[:, None] & torch.from_numpy(lost).to(points.device))
    for frame in (*matches.empty_frames, *matches.skipped):
        valid[frame] = False
    return points, valid, lost


def free_of_offsets(points: Tensor, own: Tensor, lost: np.ndarray, mesh: Anchor) -> Tensor:
    """Matches that say where the landmarks went, out of matches that say where the points went that stand for them.

    The chain is coarse: in the anchor frame itself it finds a landmark somewhere beside it. What it finds in another
    frame is then that other point. The offset between the two is carried along by the rigid motion of the landmarks
    around, those of the skinning (App. D.2); under one rigid motion of the whole object this is exact.

    Args:
        points: [F, K, 3] matches; the anchor frame holds the landmarks themselves.
        own: [K, 3] matches in the anchor frame.
        lost: [K] bool, landmarks whose match is too far off to stand for them.
        mesh: the anchor, for its landmarks and skinning weights.
    Returns:
        [F, K, 3]; the anchor frame is as it was.
    Twin: ``lab.reference.animating.free_of_offsets``.
    """
    weights = mesh.weights
    around = SkinningWeights(weights.index[mesh.landmark_vertices], weights.weight[mesh.landmark_vertices])
    around = without_dropped(around, ~lost)
    here = points[ANCHOR_FRAME]
    freed = points + (skin_vertices(here, own, points, around) - skin_vertices(own, own, points, around))
    freed[ANCHOR_FRAME] = here
    return freed


def steady_vertices(state: RolloutState, vertices: Tensor, sigma: float) -> Tensor:
    """Vertices [F, V, 3] smoothed over time; the anchor frame keeps its pose, frames of earlier windows count (D.1)."""
    pose = vertices[ANCHOR_FRAME].clone()
    every = torch.ones(vertices.shape[:2], dtype=torch.bool, device=vertices.device)
    before = None
    if state.vertex_history is not None:
        past = state.vertex_history.to(pose.device) - pose
        before = (past, torch.ones(past.shape[:2], dtype=torch.bool, device=vertices.device))
    return smooth_displacements(pose, vertices, every, ANCHOR_FRAME, sigma, before)


def keep_vertex_history(state: RolloutState, earlier: Tensor, sigma: float) -> None:
    """Remember the poses [f, V, 3] before the last frame of a window, as many as smoothing reaches back."""
    state.vertex_history = _tail_of(state.vertex_history, earlier, 3.0 * sigma)


def without_dropped(weights: SkinningWeights, kept: np.ndarray) -> SkinningWeights:
    """Skinning weights with dropped landmarks silenced; a vertex that would be left without any keeps its own.

    Args:
        weights: of V vertices.   kept: [K] bool.
    """
    if kept.all():
        return weights
    share = weights.weight * kept[weights.index]
    total = share.sum(axis=1, keepdims=True)
    alone = total[:, 0] <= 1e-6
    share[alone], total[alone] = weights.weight[alone], 1.0
    return SkinningWeights(weights.index, (share / total).astype(np.float32))


def _count(state: RolloutState, valid: Tensor) -> tuple[np.ndarray, int]:
    """Valid frames of each landmark over the whole sequence; the frame shared with the last window counts once."""
    fresh = valid if state.valid_counts is None else valid[1:]
    counts = fresh.sum(0).cpu().numpy().astype(np.int64)
    if state.valid_counts is not None:
        counts = counts + state.valid_counts
    return counts, state.frames_seen + int(fresh.shape[0])


def _tail(
    old: tuple[Tensor, Tensor] | None, points: Tensor, valid: Tensor, last: int, sigma: float
) -> tuple[Tensor, Tensor] | None:
    """The last ceil(3 sigma) raw positions and validities before frame ``last``."""
    earlier_points = _tail_of(None if old is None else old[0], points[:last], 3.0 * sigma)
    earlier_valid = _tail_of(None if old is None else old[1], valid[:last], 3.0 * sigma)
    return None if earlier_points is None or earlier_valid is None else (earlier_points, earlier_valid)


def _tail_of(old: Tensor | None, new: Tensor, length: float) -> Tensor | None:
    """The last rows of two stretches of frames joined."""
    joined = new if old is None else torch.cat([old.to(new.device), new])
    count = min(math.ceil(length), len(joined))
    return joined[len(joined) - count :].clone() if count else None
