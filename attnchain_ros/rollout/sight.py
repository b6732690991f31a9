"""What the attention of a window says about pictures, as arrays of the host: cameras and tracks need nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..backbone import DecodedLatents, TokenMaps
from ..chain.bridge import patch_to_vertex, vertex_to_patch
from ..chain.tracks2d import PatchPlaces, first_hop, patch_places
from ..config import RolloutConfig
from ..conventions import ANCHOR_FRAME
from .matching import LandmarkMatches


@dataclass(frozen=True)
class Sources:
    """What a ``Sight`` is made from, on the device.

    Attributes:
        maps: of Stage I.   matches: of the landmarks.   field: the decoded latent of the anchor frame.
        vertices: [V, 3] float32 pose of the anchor mesh in that frame.
    """

    maps: TokenMaps
    matches: LandmarkMatches
    field: DecodedLatents
    vertices: np.ndarray


@dataclass(eq=False)
class Sight:
    """Answers are worked out when they are first asked for, and kept; ``fetch`` works out all and lets the maps go.

    Until then it belongs to the thread that computes, afterwards to any.

    Args:
        sources: of the window.
    """

    sources: Sources | None = field(repr=False)

    @classmethod
    def blind(cls, frames: int, grid: int) -> Sight:
        """Where no attention was read: every frame as sure as the next, and no vertex for any of ``grid`` x ``grid``
        patches."""
        found = cls(None)
        found.confidence = np.ones(frames, np.float32)
        found.carriers = np.full(grid * grid, -1, np.int64)
        return found

    @cached_property
    def places(self) -> np.ndarray:
        """[F, K, 2] float32 (column, row): the patch that each landmark looks at, to a fraction of one (Eq. 7)."""
        maps, rows = self._given.maps.token_patches, self._given.matches.rows
        found = [vertex_to_patch(patches.T, row)[2] for patches, row in zip(maps, rows, strict=True)]
        return torch.stack(found).cpu().numpy()

    @cached_property
    def confidence(self) -> np.ndarray:
        """[F] float32 mean score of the landmarks' matches."""
        found: np.ndarray = self._given.matches.confidence.mean(1).cpu().numpy()
        return found.astype(np.float32)

    @cached_property
    def patches(self) -> PatchPlaces:
        """Where each patch of the anchor frame is in every frame (Eq. 6)."""
        maps = self._given.maps
        return patch_places(maps.token_tokens, maps.token_patches)

    @cached_property
    def carriers(self) -> np.ndarray:
        """[P] int64: the vertex of the anchor mesh that shares most attention with each patch of the anchor frame;
        -1 = none is known."""
        given = self._given
        patches: Tensor = given.maps.token_patches[ANCHOR_FRAME]
        rows = given.field.attention(torch.from_numpy(given.vertices).to(patches.device)[None])[0]
        found: np.ndarray = patch_to_vertex(first_hop(patches), rows).cpu().numpy()
        return found

    @torch.no_grad()
    def fetch(self, config: RolloutConfig, first: bool) -> None:
        """Work out what cameras and tracks may ask for under some options, and let the maps go.

        Args:
            config: of the window.
            first: tracked points have no place on the mesh yet.
        """
        asked = [self.confidence]
        if config.camera.estimate:
            asked.append(self.places)
        if config.tracks.route != "mesh":
            asked.append(self.patches.place)
        if first:
            asked.append(self.carriers)
        self.sources = None

    @property
    def _given(self) -> Sources:
        if self.sources is None:
            raise RuntimeError("the maps of this window were let go: ask before, or let fetch know")
        return self.sources
