"""Connected components of a mesh, and closedness."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array, csgraph

from ..errors import MeshError
from .types import Mesh, face_areas_normals


def connected_components(faces: np.ndarray, vertex_count: int) -> np.ndarray:
    """Label the vertices that faces connect.

    Args:
        faces: [T, 3] integer.
        vertex_count: V.
    Returns:
        [V] int64 labels from 0 in the order of each component's first vertex; a vertex without faces is a component
        of its own.

    >>> connected_components(np.array([[0, 1, 2], [3, 4, 5]]), 7).tolist()
    [0, 0, 0, 1, 1, 1, 2]
    """
    start = np.concatenate([faces[:, 0], faces[:, 1]])
    end = np.concatenate([faces[:, 1], faces[:, 2]])
    graph = coo_array((np.ones(len(start), np.int8), (start, end)), shape=(vertex_count, vertex_count)).tocsr()
    labels = csgraph.connected_components(graph, directed=False)[1]
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def keep_large_components(mesh: Mesh, share: float) -> Mesh:
    """Drop the specks: components whose area is below ``share`` of the largest one's, and vertices without faces.

    Args:
        mesh: any mesh.
        share: from 0 (keeps every component that has faces) to 1 (keeps the largest only, and its equals).
    Returns:
        a mesh of the vertices and faces kept, in their old order.
    """
    labels = connected_components(mesh.faces, len(mesh.vertices))
    areas, _ = face_areas_normals(mesh.vertices, mesh.faces)
    by_component = np.bincount(labels[mesh.faces[:, 0]], weights=areas, minlength=int(labels.max()) + 1)
    faces = mesh.faces[by_component[labels[mesh.faces[:, 0]]] >= share * by_component.max()]
    used = np.unique(faces)
    renumber = np.full(len(mesh.vertices), -1, np.int32)
    renumber[used] = np.arange(len(used), dtype=np.int32)
    colors = None if mesh.vertex_colors is None else mesh.vertex_colors[used]
    return Mesh(mesh.vertices[used], renumber[faces], colors)


def open_edges(faces: np.ndarray) -> int:
    """Count the edges that keep a mesh from being a closed, consistently oriented manifold.

    In such a mesh every directed edge occurs once and so does its reverse.

    Args:
        faces: [T, 3] integer.
    Returns:
        number of directed edges that occur more than once or lack their reverse; 0 = closed.
    """
    if len(faces) == 0:
        raise MeshError("a mesh without faces is neither open nor closed")
    wide = faces.astype(np.int64)
    start, end = wide.ravel(), np.roll(wide, -1, axis=1).ravel()
    size = int(wide.max()) + 1
    directed, times = np.unique(start * size + end, return_counts=True)
    loops = directed // size == directed % size
    reverse = (directed % size) * size + directed // size
    return int((times > 1).sum() + (~np.isin(reverse, directed)).sum() + loops.sum())
