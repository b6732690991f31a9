"""The anchor mesh that is given to a run on a synthetic clip."""

from __future__ import annotations

from ...mesh.types import Mesh
from ..synthetic import Clip


def clip_mesh(clip: Clip) -> Mesh:
    """The true mesh of frame 0 with the parts' colours."""
    return Mesh(clip.vertices[0], clip.faces, clip.part_colors[clip.vertex_part])
