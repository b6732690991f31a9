"""An anchor mesh given by the user: into the canonical frame and back, and without the doubled vertices of UV seams."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InputError, MeshError
from ..shapes import check_shape
from .components import connected_components, open_edges
from .orientation import inward_faces
from .types import Mesh

LEAST_FACES = 4
"""A tetrahedron; below that there is nothing that could bend."""


@dataclass(frozen=True)
class AnchorTransform:
    """The similarity between the user's mesh and the canonical frame:
    canonical = scale * (rotation @ (user - offset) - center).

    Attributes:
        scale: canonical units per user unit.
        center: [3] float64, centre of the rotated bounding box, user units.
        rotation: [3, 3] float64, canonical_from_user.
        offset: [3] float64, of the mesh's own coordinates in its file (``Mesh.offset``).
    """

    scale: float
    center: np.ndarray
    rotation: np.ndarray
    offset: np.ndarray

    @property
    def user_from_canonical(self) -> np.ndarray:
        """[4, 4] float64, takes points of the canonical frame back into the user's frame and units."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.rotation.T / self.scale
        matrix[:3, 3] = self.rotation.T @ self.center + self.offset
        return matrix


@dataclass(frozen=True)
class LaidAnchor:
    """A user's mesh in the canonical frame, welded and turned outward.

    Attributes:
        mesh: canonical, without the doubled vertices of UV seams.
        expand: [V_user] int64, row of ``mesh`` for each of the user's vertices.
        faces: [T, 3] int32 of the user's vertices, turned as ``mesh``'s.
        colors: [V_user, 3] uint8, or None.
        user_from_object: [4, 4] float64.
        longest_side: of the user's mesh, as turned, in its own unit.
        turned: triangles of closed pieces that faced inwards.
    """

    mesh: Mesh
    expand: np.ndarray
    faces: np.ndarray
    colors: np.ndarray | None
    user_from_object: np.ndarray
    longest_side: float
    turned: int


def lay_anchor(mesh: Mesh, rotation: np.ndarray | None = None, longest_side: float = 2.0) -> LaidAnchor:
    """Everything that is done to a user's mesh before landmarks are picked: welded, centred, scaled, turned outward.

    Args:
        mesh, rotation, longest_side: as for ``normalise_anchor``.
    Raises:
        MeshError: the mesh has no extent, or fewer than ``LEAST_FACES`` triangles.
        InputError: ``rotation`` is not a proper rotation.
    """
    canonical, transform = normalise_anchor(mesh, rotation, longest_side)
    merged, expand = merge_duplicates(canonical)
    if len(merged.faces) < LEAST_FACES:
        raise MeshError(f"the anchor mesh has {len(merged.faces)} triangles, wanted at least {LEAST_FACES} for a shape")
    inward = inward_faces(merged.vertices, merged.faces)

    def outward(faces: np.ndarray) -> np.ndarray:
        return np.where(inward[:, None], faces[:, ::-1], faces)

    return LaidAnchor(
        Mesh(merged.vertices, outward(merged.faces), merged.vertex_colors),
        expand,
        outward(canonical.faces),
        canonical.vertex_colors,
        transform.user_from_canonical,
        longest_side / transform.scale,
        int(np.count_nonzero(inward)),
    )


@dataclass(frozen=True)
class AnchorFacts:
    """What was understood of an anchor mesh.

    Attributes:
        vertices: those at the same place counted once; triangles: of them.
        components: connected pieces.
        open_edges: directed edges without a partner, 0 = watertight.
        turned: triangles that faced inwards and were turned.
        longest_side: of the box in the canonical frame's axes, in the file's unit.
    """

    vertices: int
    triangles: int
    components: int
    open_edges: int
    turned: int
    longest_side: float

    @property
    def watertight(self) -> bool:
        """Whether the surface is closed."""
        return self.open_edges == 0

    def describe(self) -> str:
        """For people, with a remark on what may be wrong.

        >>> AnchorFacts(642, 1280, 1, 0, 0, 0.25).describe()
        '642 vertices, 1280 triangles in 1 piece, watertight, longest side 0.25'
        """
        pieces = f"{self.components} piece{'' if self.components == 1 else 's'}"
        closed = "watertight" if self.watertight else f"not watertight ({self.open_edges} open edges)"
        text = f"{self.vertices} vertices, {self.triangles} triangles in {pieces}, {closed}, "
        text += f"longest side {self.longest_side:.6g}"
        return text + (f"; {self.turned} triangles faced inwards and were turned" if self.turned else "")


def anchor_facts(laid: LaidAnchor) -> AnchorFacts:
    """What a user wants to hear of a mesh that was laid into the canonical frame."""
    faces, count = laid.mesh.faces, len(laid.mesh.vertices)
    pieces = int(connected_components(faces, count).max()) + 1
    return AnchorFacts(count, len(faces), pieces, open_edges(faces), laid.turned, laid.longest_side)


def normalise_anchor(
    mesh: Mesh, rotation: np.ndarray | None = None, longest_side: float = 2.0
) -> tuple[Mesh, AnchorTransform]:
    """Bring a user's mesh into the canonical frame: box centre at the origin, longest side 2 (or as asked).

    Do this once; later windows keep the frame (never re-centre or re-scale a posed mesh).

    Args:
        mesh: in the user's frame and units.
        rotation: [3, 3] proper rotation canonical_from_user, applied first (y up, front towards +z); None = identity.
        longest_side: of the result, object units; the published weights expect 2.
    Returns:
        the canonical mesh, vertices in [-1, 1], and the transform that takes results back.
    Raises:
        MeshError: the mesh has no extent.   InputError: ``rotation`` is not a proper rotation.
    """
    turn = np.eye(3) if rotation is None else np.asarray(rotation, np.float64)
    check_shape("rotation", turn, "3 3")
    off = float(np.abs(turn @ turn.T - np.eye(3)).max())
    # 1e-4: a rotation typed with five digits passes, a mirrored or scaled one does not.
    if not off < 1e-4 or np.linalg.det(turn) < 0:
        raise InputError(
            f"the anchor's rotation is off orthogonal by {off:.3g} with determinant {np.linalg.det(turn):.3g}, "
            "wanted orthogonal with determinant +1: give a proper rotation matrix"
        )
    left, _, right = np.linalg.svd(turn)
    turn = left @ right
    turned = mesh.vertices.astype(np.float64) @ turn.T
    # A vertex that no triangle uses is no part of the shape, wherever it lies.
    shape = turned[np.unique(mesh.faces)]
    low, high = shape.min(axis=0), shape.max(axis=0)
    side = float((high - low).max())
    if not side > 0:
        raise MeshError(f"all {len(mesh.vertices)} vertices of the anchor lie on one point: give a mesh with extent")
    offset = np.zeros(3) if mesh.offset is None else np.asarray(mesh.offset, np.float64)
    transform = AnchorTransform(longest_side / side, 0.5 * (low + high), turn, offset)
    vertices = (transform.scale * (turned - transform.center)).astype(np.float32)
    return Mesh(vertices, mesh.faces, mesh.vertex_colors), transform


def merge_duplicates(mesh: Mesh) -> tuple[Mesh, np.ndarray]:
    """Weld vertices at exactly the same place, so that geodesics and smoothing cross UV seams; leave unused ones out.

    The faces stay one to one (some may lose their area), so face numbers mean the same in both meshes.

    Args:
        mesh: any mesh.
    Returns:
        merged mesh (vertices in the order of their first occurrence, that one's colour) and expand [V] int64:
        ``merged_vertices[expand]`` are the user's own vertices again, but for those that no triangle uses: they go with
        the first one that is used.
    """
    used = np.zeros(len(mesh.vertices), bool)
    used[mesh.faces] = True
    if not used.all():
        rows = np.flatnonzero(used)
        place = np.cumsum(used) - 1
        colors = None if mesh.vertex_colors is None else mesh.vertex_colors[rows]
        merged, expand = merge_duplicates(Mesh(mesh.vertices[rows], place[mesh.faces].astype(np.int32), colors))
        return merged, np.where(used, expand[np.minimum(place, len(rows) - 1)], expand[0])
    # + 0.0 turns -0.0 into 0.0, which are the same place but not the same bytes.
    _, first, inverse = np.unique(mesh.vertices + np.float32(0.0), axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(first), np.int64)
    rank[order] = np.arange(len(first))
    expand = rank[inverse.ravel()]
    kept = first[order]
    colors = None if mesh.vertex_colors is None else mesh.vertex_colors[kept]
    return Mesh(mesh.vertices[kept], expand[mesh.faces].astype(np.int32), colors), expand
