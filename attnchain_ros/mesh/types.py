"""The triangle mesh that every stage hands on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import MeshError, ShapeError
from ..shapes import check_shape


def check_mesh_arrays(vertices: np.ndarray, faces: np.ndarray) -> None:
    """Check that two arrays make a mesh that geometry can be computed on.

    Args:
        vertices: [V, 3] floating, any unit.
        faces: [T, 3] integer indices into ``vertices``.
    Raises:
        ShapeError: a shape or dtype is wrong.
        MeshError: no vertices or faces, a vertex is not finite, or a face names a vertex that does not exist.
    """
    check_shape("vertices", vertices, "V 3")
    check_shape("faces", faces, "T 3", "triangulate the mesh")
    if not np.issubdtype(vertices.dtype, np.floating) or not np.issubdtype(faces.dtype, np.integer):
        raise ShapeError(f"vertices are {vertices.dtype} and faces {faces.dtype}, wanted floating and integer")
    if len(vertices) == 0 or len(faces) == 0:
        raise MeshError(f"the mesh has {len(vertices)} vertices and {len(faces)} faces, wanted at least one face")
    finite = np.isfinite(vertices).all(axis=1)
    if not finite.all():
        raise MeshError(
            f"{int((~finite).sum())} of {len(vertices)} vertices are not finite, the first is vertex "
            f"{int(np.argmin(finite))}: remove or repair them"
        )
    low, high = int(faces.min()), int(faces.max())
    if low < 0 or high >= len(vertices):
        raise MeshError(f"faces name vertices {low} to {high}, there are 0 to {len(vertices) - 1}: repair the file")


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh, usually in the object frame.

    Attributes:
        vertices: [V, 3] float32.
        faces: [T, 3] int32, counter-clockwise seen from outside. Faces without area are allowed.
        vertex_colors: [V, 3] uint8 RGB, or None.
        offset: [3] float64, to be added to get the file's own coordinates (maps and plants lie millions of units off,
            where float32 has no digits left for a shape); None = zero.
    Raises:
        ShapeError, MeshError: see ``check_mesh_arrays``.
    """

    vertices: np.ndarray
    faces: np.ndarray
    vertex_colors: np.ndarray | None = None
    offset: np.ndarray | None = None

    def __post_init__(self) -> None:
        check_mesh_arrays(self.vertices, self.faces)
        if self.vertices.dtype != np.float32 or self.faces.dtype != np.int32:
            kinds = f"vertices are {self.vertices.dtype} and faces {self.faces.dtype}"
            raise ShapeError(f"{kinds}, wanted float32 and int32")
        if self.vertex_colors is not None:
            check_shape("vertex_colors", self.vertex_colors, "V 3", "one RGB colour per vertex", V=len(self.vertices))
            if self.vertex_colors.dtype != np.uint8:
                raise ShapeError(f"vertex_colors are {self.vertex_colors.dtype}, wanted uint8")

    @property
    def diagonal(self) -> float:
        """Length of the bounding box's diagonal, in the vertices' unit."""
        return float(np.linalg.norm(np.ptp(self.vertices.astype(np.float64), axis=0)))


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normal of every vertex, the mean over its triangles by area.

    Args:
        vertices: [V, 3].
        faces: [T, 3].
    Returns:
        [V, 3] float64, outward for counter-clockwise faces, zero where there is no triangle or only flat ones.
    """
    corners = np.asarray(vertices, np.float64)[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat = np.asarray(faces).ravel()
    total = np.stack([np.bincount(flat, np.repeat(across[:, axis], 3), len(vertices)) for axis in range(3)], axis=1)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    unit: np.ndarray = total / np.where(length > 0, length, 1.0)
    return unit


def face_areas_normals(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Area and unit normal of every face.

    Args:
        vertices: [V, 3].
        faces: [T, 3].
    Returns:
        areas [T] float64; normals [T, 3] float64, outward for counter-clockwise faces, zero where the area is zero.
    """
    corners = vertices.astype(np.float64)[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    double_area = np.linalg.norm(cross, axis=1)
    normals = cross / np.where(double_area > 0, double_area, 1.0)[:, None]
    return 0.5 * double_area, normals
