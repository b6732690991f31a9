"""An object with limbs that turns, known exactly: what the stages without networks work on, whatever the weights."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...backbone import Backbone, DecodedLatents, StageOne, TokenMaps
from ...camera.raycast import rasterize
from ...config import RolloutConfig, replace
from ...mesh.surface import extract_mesh
from ...mesh.types import Mesh
from ...rollout.matching import LandmarkMatches
from ...rollout.sight import Sight, Sources
from ...rollout.state import Anchor, RolloutState
from ...rollout.trace import Trace, object_square, patch_square
from ...rollout.window import Window

PICTURE = 256
TURN_DEG = 2.0
DISTANCE = 3.2
BODY = (0.55, 0.4, 0.35)
LIMBS = ((0.4, -0.3, 0.2), (-0.4, -0.3, 0.2), (0.4, -0.3, -0.2), (-0.4, -0.3, -0.2))
LIMB_END, LIMB_WIDTH = (1.3, 2.6, 1.3), 0.09
_LEAST = 1e-6


def shape_field(points: Tensor) -> Tensor:
    """Positive inside an ellipsoid with four limbs: [..., 3] object frame -> [...]."""
    body = 1.0 - (points / points.new_tensor(BODY)).norm(dim=-1)
    field = body * min(BODY)
    for limb in LIMBS:
        start = points.new_tensor(limb)
        along = start * points.new_tensor(LIMB_END) - start
        share = (((points - start) @ along) / along.square().sum()).clamp(0.0, 1.0)
        away = (points - start - share[..., None] * along).norm(dim=-1)
        field = torch.maximum(field, LIMB_WIDTH - away)
    return field


def turned(points: np.ndarray, frame: int) -> np.ndarray:
    """Points [n, 3] in a later frame: the object turns about its y axis."""
    angle = math.radians(TURN_DEG * frame)
    c, s = math.cos(angle), math.sin(angle)
    found: np.ndarray = points @ np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]]).T
    return found


def make_mesh(config: RolloutConfig) -> Mesh:
    """The object's surface with the vertices that the options ask for."""
    return extract_mesh(lambda points: shape_field(points), config.surface)


@dataclass(frozen=True)
class KnownField(DecodedLatents):
    """A field whose attention is known: points look at the tokens near them.

    Attributes:
        places: [N, 3] where the tokens are.
    """

    places: Tensor = dataclasses.field(kw_only=True)

    def attention(self, points: Tensor, tile: int = 8192) -> Tensor:
        """[1, n, 3] -> [1, n, N]; rows sum to 1."""
        near = torch.softmax(-torch.cdist(points.float(), self.places[None]).square() / (2 * 0.1**2), dim=-1)
        # Attention of networks has no such tails, whose denormal numbers a CPU computes a hundred times more slowly.
        return near.masked_fill(near < _LEAST, 0.0)


@dataclass(frozen=True)
class Scene:
    """A window of the object.

    Attributes:
        window: pictures, masks, camera.
        mesh: the object in frame 0.
    """

    window: Window
    mesh: Mesh

    @classmethod
    def of(cls, mesh: Mesh, frames: int) -> Scene:
        """Film a mesh."""
        intrinsics = np.array([[1.2 * PICTURE, 0, PICTURE / 2], [0, 1.2 * PICTURE, PICTURE / 2], [0, 0, 1.0]])
        masks = np.stack(
            [
                np.isfinite(rasterize(in_camera(mesh.vertices, frame), mesh.faces, intrinsics, PICTURE, PICTURE).depth)
                for frame in range(frames)
            ]
        )
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (frames, PICTURE, PICTURE, 3)).astype(np.uint8)
        stamps = np.arange(1, frames + 1, dtype=np.int64) * 33_333_333
        return cls(Window(images, masks, stamps, intrinsics), mesh)

    def trace(self, backbone: Backbone, config: RolloutConfig, anchor: Anchor) -> Trace:
        """What the networks would have said about the window if they were right.

        Args:
            backbone: for its sizes.
            anchor: made from ``mesh``.
        """
        device = torch.device("cpu") if backbone.device.type == "meta" else backbone.device
        frames, rng = self.window.frames, np.random.default_rng(0)
        vertices = anchor.mesh.vertices
        tokens = vertices[rng.integers(0, len(vertices), backbone.tokens)]
        landmarks = vertices[anchor.landmark_vertices]
        none = torch.zeros(0, backbone.tokens, backbone.channels, device=device)
        anchor_field = KnownField(backbone.vae.decoder, none, none, places=torch.from_numpy(tokens).float().to(device))
        rows = anchor_field.attention(torch.from_numpy(landmarks)[None].to(device))[0]
        places = torch.from_numpy(np.stack([turned(landmarks, frame) for frame in range(frames)])).float().to(device)
        grid = backbone.encoder_one.grid
        crop = patch_square(backbone, object_square(backbone, config, self.window))
        side = np.arange(grid) + 0.5
        patches = np.zeros((frames, len(tokens), grid * grid), np.float32)
        for frame in range(frames):
            assert self.window.intrinsics is not None
            seen = in_camera(tokens, frame) @ self.window.intrinsics.T
            pixels = (seen[:, :2] / seen[:, 2:] - (crop.x0, crop.y0)) * grid / crop.side
            near = [np.exp(-0.5 * (pixels[:, axis, None] - side) ** 2) for axis in (1, 0)]
            patches[frame] = (near[0][:, :, None] * near[1][:, None, :]).reshape(len(tokens), -1)
        patches[patches < _LEAST] = 0.0
        patches /= np.maximum(patches.sum(-1, keepdims=True), 1e-6)
        same = torch.eye(len(tokens), device=device).expand(frames, -1, -1)
        maps = TokenMaps(same, torch.ones(frames, len(tokens), device=device), torch.from_numpy(patches).to(device))
        every = rows.expand(frames, -1, -1)
        matches = LandmarkMatches(places, torch.ones(places.shape[:2], device=device), every, every, ())
        latents = torch.zeros(frames, backbone.tokens, backbone.channels, device=device)
        state = RolloutState(anchor=anchor, latent=latents[0], vertices=vertices)
        sight = Sight(Sources(maps, matches, anchor_field, vertices))
        return Trace(self.window, state, crop, grid, sight, anchor_field, StageOne(latents, maps), places[0], matches)


def in_camera(points: np.ndarray, frame: int) -> np.ndarray:
    """Points [n, 3] of frame 0 as the camera sees them in a later frame: optical frame."""
    found: np.ndarray = turned(points, frame) * (1.0, -1.0, -1.0) + (0.0, 0.0, DISTANCE)
    return found


def host_config(config: RolloutConfig) -> RolloutConfig:
    """Options for the stages without networks: the latent is handed on, so that none is asked for."""
    found: RolloutConfig = replace(config, {"anchor_handover": "latent"})
    return found
