"""Landmarks grouped into small pieces of surface, the bricks that rigid parts are made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.sparse import csgraph

from ..errors import InputError
from ..mesh.components import connected_components
from ..mesh.geodesic import surface_graph
from ..mesh.sampling import farthest_points
from ..shapes import check_shape
from .links import Links, make_links


@dataclass(frozen=True)
class Patches:
    """Landmarks by the piece of surface they lie on; made once for an anchor.

    Attributes:
        rest: [K, 3] float64 landmarks of the rest pose, object frame.
        of: [K] int64 patch of each landmark.
        pairs: [E, 2] int64 patches that touch, the lower number first.
        count: number of patches.
    """

    rest: np.ndarray
    of: np.ndarray
    pairs: np.ndarray
    count: int

    @cached_property
    def links(self) -> Links:
        """Where patches hold each other; worked out when first asked for."""
        return make_links(self.rest, self.of, self.pairs)

    def means(self, values: np.ndarray) -> np.ndarray:
        """[..., K] values of landmarks as [..., K] means over their patches."""
        size = np.bincount(self.of, minlength=self.count)
        return (self.sums(values) / np.maximum(size, 1))[..., self.of]

    def sums(self, values: np.ndarray) -> np.ndarray:
        """[..., P] sums over patches of [..., K] values of landmarks."""
        rows = np.asarray(values, np.float64).reshape(-1, len(self.of))
        found = np.stack([np.bincount(self.of, row, self.count) for row in rows])
        return found.reshape(*values.shape[:-1], self.count)


def make_patches(vertices: np.ndarray, faces: np.ndarray, landmarks: np.ndarray, count: int) -> Patches:
    """Group landmarks by the nearest of ``count`` spread ones, along the surface.

    Every connected component that has a landmark has a patch of its own, so there may be a few more.

    Args:
        vertices: [V, 3] rest pose, object frame; faces: [T, 3].
        landmarks: [K] distinct vertices.   count: patches wanted.
    Raises:
        ShapeError: wrong shapes.   InputError: no landmark, or ``count`` is below 1.
    Twin: ``lab.reference.parts.patch_of``.
    """
    check_shape("vertices", vertices, "V 3")
    check_shape("faces", faces, "T 3")
    total = check_shape("landmarks", landmarks, "K")["K"]
    if total < 1 or count < 1:
        raise InputError(f"{total} landmarks cannot make {count} patches: give at least one of each")
    component = connected_components(faces, len(vertices))
    picked = farthest_points(torch.from_numpy(vertices[landmarks]), min(count, total)).numpy().tolist()
    reached = set(component[landmarks[picked]].tolist())
    for label in np.unique(component[landmarks]).tolist():
        if label not in reached:
            picked.append(int(np.flatnonzero(component[landmarks] == label)[0]))
    seeds = landmarks[picked]
    _, _, source = csgraph.dijkstra(
        surface_graph(vertices, faces), indices=seeds, min_only=True, return_predecessors=True
    )
    number = np.full(len(vertices), -1, np.int64)
    number[seeds] = np.arange(len(seeds))
    near = np.where(source >= 0, number[np.maximum(source, 0)], -1)
    of = near[landmarks]
    corners = faces.astype(np.int64)
    edges = near[np.stack([corners.ravel(), np.roll(corners, -1, axis=1).ravel()], axis=1)]
    edges = np.sort(edges[(edges[:, 0] != edges[:, 1]) & (edges >= 0).all(axis=1)], axis=1)
    pairs = np.unique(edges, axis=0) if len(edges) else np.zeros((0, 2), np.int64)
    return Patches(vertices[landmarks].astype(np.float64), of, pairs, len(seeds))
