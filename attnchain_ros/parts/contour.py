"""What the mask of a frame asks of the parts of a mesh: its outline lies where the mesh ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..camera.outline import MovingSurface, Outlines, fall_off, find_spilled, pair_rim
from ..mesh.landmarks import edge_faces

GATE_PX = 6.0
"""Distance between mesh and outline that counts a quarter, working pixels."""


@dataclass(frozen=True)
class Pulls:
    """Places on parts that should lie on a line of the picture.

    Attributes:
        place: [n, 3] object frame, under the motions that were asked about; part: [n].
        pixel: [n, 2] of the place; normal: [n, 2] unit, across the line.
        miss: [n] pixels from the line to the place along the normal.
        weight: [n]; all together they are 1, where anything is seen of the mask.
    """

    place: np.ndarray
    part: np.ndarray
    pixel: np.ndarray
    normal: np.ndarray
    miss: np.ndarray
    weight: np.ndarray


class Contours:
    """Masks of a window, to be compared with a mesh that moves in parts.

    Args:
        faces: [T, 3] of the mesh.   part: [V] part of every vertex.
        masks: [F, S, S] bool working pixels.   intrinsics: [3, 3] of these pixels.
    """

    def __init__(self, faces: np.ndarray, part: np.ndarray, masks: np.ndarray, intrinsics: np.ndarray) -> None:
        self._faces = faces
        self._part = part
        self._intrinsics = intrinsics
        self._edges = edge_faces(faces)[:2]
        self._outlines = [Outlines.of(mask[None]) for mask in masks]
        self._size = [float(np.sqrt(mask.sum())) for mask in masks]

    def pulls(self, frame: int, vertices: np.ndarray, pose: np.ndarray) -> Pulls:
        """What the mask of a frame asks of the mesh [V, 3] under a pose [4, 4].

        Outline points pull the rim nearest to them; vertices outside the mask are pulled back in.
        """
        outlines = self._outlines[frame]
        surface = MovingSurface.of(vertices[None], self._faces, self._edges)
        rim = surface.rim(pose[None])
        pairs = pair_rim(rim, self._intrinsics, outlines, self._size[frame], GATE_PX)
        spilled = find_spilled(surface.body(pose[None]), self._intrinsics, outlines)
        back = surface.body_rows[spilled.number]
        edge = self._edges[0][rim.edge[pairs.rim]]
        steep = np.maximum(np.linalg.norm(spilled.slope, axis=1, keepdims=True), 1e-9)
        place = np.concatenate([vertices[edge].mean(axis=1), vertices[back]]).astype(np.float64)
        seen = (place @ pose[:3, :3].T + pose[:3, 3]) @ self._intrinsics.T
        weight = np.concatenate([pairs.weight, fall_off(spilled.distance, GATE_PX)])
        return Pulls(
            place, np.concatenate([self._part[edge[:, 0]], self._part[back]]), seen[:, :2] / seen[:, 2:],
            np.concatenate([outlines.normals[pairs.point], spilled.slope / steep]),
            np.concatenate([pairs.residual, spilled.distance]), weight / max(len(outlines.points), 1),
        )  # fmt: skip
