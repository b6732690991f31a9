"""What the rollout keeps from one window to the next: all of it, and nothing that grows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from ..camera.gate import PoseSeen
from ..camera.uncertainty import FirstError
from ..mesh.geodesic import SkinningWeights
from ..mesh.types import Mesh
from ..parts.patches import Patches
from ..parts.pixels import KeyPicture, PointState
from .paint import Paint


@dataclass(frozen=True)
class Anchor:
    """The anchor mesh with everything that depends on it alone; made once per reset.

    Attributes:
        mesh: rest pose, object frame; UV seams welded.
        expand: [V_user] int64, row of ``mesh`` for each vertex handed out.
        faces: [T, 3] int32 of the vertices handed out.
        colors: [V_user, 3] uint8, a given mesh's own or painted; None until the first window.
        landmark_vertices: [K] int64 rows of ``mesh``.
        landmark_component: [K] int64 connected component of each landmark.
        weights: skinning weights of ``mesh``'s vertices.
        user_from_object: [4, 4] float64.
        turned: triangles of the user's mesh that faced inwards and were turned.
    """

    mesh: Mesh
    expand: np.ndarray
    faces: np.ndarray
    colors: np.ndarray | None
    landmark_vertices: np.ndarray
    landmark_component: np.ndarray
    weights: SkinningWeights
    user_from_object: np.ndarray
    turned: int = 0


@dataclass
class TrackState:
    """The tracked points: where they sit on the mesh, or where they were last seen without one.

    Attributes: as in ``PointTracks``; ``last_px`` [Q, 2] float32 is where the last frame saw them (NaN = nowhere).
    """

    ids: np.ndarray
    face: np.ndarray
    barycentric: np.ndarray
    colors: np.ndarray
    last_px: np.ndarray


@dataclass(frozen=True)
class Keyframe:
    """A frame to read from again, and to look for points in.

    Attributes:
        image: [H, W, 3] uint8 RGB; mask: [H, W] bool.   stamp_ns: of the frame.
        latent: [N, c] of the pose; vertices: [V, 3] the pose.
        variance: [K] of the landmarks there, squared object units; zeros in the first frame.
        view: [3, 3] rotation from the rest pose, as a rigid whole, to the camera.
        picture: where its points are seen.
    """

    image: np.ndarray
    mask: np.ndarray
    stamp_ns: int
    latent: torch.Tensor
    vertices: np.ndarray
    variance: np.ndarray
    view: np.ndarray
    picture: KeyPicture


@dataclass(frozen=True)
class Memory:
    """What parts and pixels keep from one window to the next.

    Attributes:
        patches: of the anchor's landmarks.
        keyframes: the first frame first.
        variance: [K] of the landmarks in the last frame, squared object units.
        evidence: moments of the last windows, [P, n, 17] each.
        points: where the points were last seen; None until there was a pose.
    """

    patches: Patches
    keyframes: tuple[Keyframe, ...]
    variance: np.ndarray
    evidence: tuple[np.ndarray, ...] = ()
    points: PointState | None = None


@dataclass
class RolloutState:
    """State between windows.

    Attributes:
        anchor: the anchor mesh; its topology and landmarks hold until a reset.
        latent: [N, c] float32 latent of the anchor frame of the next window.
        vertices: [V, 3] float32 pose of ``anchor.mesh`` in that frame.
        index: windows done since the reset.
        last_stamp_ns: stamp of that frame, None before the first window.
        valid_counts: [K] int64 frames in which each landmark's match was kept.
        frames_seen: frames counted there.
        landmark_history: raw positions [h, K, 3] and valid [h, K] of the frames just before the next window.
        vertex_history: [h, V, 3] poses of the frames just before the next window.
        pose: [4, 4] last valid camera_from_object, None if there never was one.
        tracks: None before the first window.
        scale, metric: metres per object unit and True, or 1 and False.
        size_m: the object's longest side in metres where it came with the anchor, else 0.
        recent: the last poses that were consistent with one another; None before the first.
        first_error: what the pose may be off since the first window that had one.
        paint: what was seen of the vertices' colours; None before the first window, and where a given mesh has its own.
        memory: what parts and pixels keep; None before the first window, and with the preset "paper".
    """

    anchor: Anchor
    latent: torch.Tensor
    vertices: np.ndarray
    index: int = 0
    last_stamp_ns: int | None = None
    valid_counts: np.ndarray | None = None
    frames_seen: int = 0
    landmark_history: tuple[torch.Tensor, torch.Tensor] | None = None
    vertex_history: torch.Tensor | None = None
    pose: np.ndarray | None = None
    tracks: TrackState | None = None
    scale: float = 1.0
    metric: bool = False
    size_m: float = 0.0
    recent: PoseSeen | None = None
    first_error: FirstError | None = None
    paint: Paint | None = None
    memory: Memory | None = None

    def copy(self) -> RolloutState:
        """A state to work on: what it holds is replaced while a window is computed, never changed in place."""
        tracks = None if self.tracks is None else replace(self.tracks)
        return replace(self, tracks=tracks)

    def seen_like(self, other: RolloutState) -> RolloutState:
        """A copy with everything that another state knows from pictures: poses, tracks, colours and scale."""
        names = ("pose", "tracks", "scale", "metric", "recent", "first_error", "paint")
        anchor = replace(self.anchor, colors=other.anchor.colors)
        return replace(self, anchor=anchor, **{name: getattr(other, name) for name in names}).copy()
