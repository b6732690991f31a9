"""Distances along the surface, and from them which landmarks move which vertex (App. D.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csgraph, csr_array, csr_matrix
from scipy.spatial import cKDTree

from ..errors import InputError, MeshError
from ..shapes import check_shape
from .landmarks import shared_edges
from .types import check_mesh_arrays

OWN_LANDMARKS = 8
"""A component with fewer landmarks (a button on a coat) also listens to the nearest ones of other components."""

VERTEX_CHUNK = 1024
"""Vertices whose landmarks are sorted at once."""

GROUP_LANDMARKS = 14
"""Landmarks that share a part of the mesh, on average: more make larger parts, fewer more parts to cut out."""

SLACK = 1e-9
"""Share by which bounds on distances are widened against rounding."""

SOURCE_CHUNK = 128
"""Landmarks whose distances are computed at once; bounds the memory to SOURCE_CHUNK * V doubles."""


@dataclass(frozen=True)
class SkinningWeights:
    """Which landmarks move each vertex, and how much.

    Attributes:
        index: [V, k] int64 landmark, nearest first.
        weight: [V, k] float32, rows sum to 1. Slots a vertex does not use have weight 0 (and some valid index).
    Raises:
        ShapeError: the two disagree.
    """

    index: np.ndarray
    weight: np.ndarray

    def __post_init__(self) -> None:
        axes = check_shape("weight", self.weight, "V k")
        check_shape("index", self.index, "V k", "one weight per index", **axes)


def surface_graph(vertices: np.ndarray, faces: np.ndarray) -> csr_array:
    """The graph whose shortest paths stand for geodesics: edges, and shortcuts across them.

    Paths along edges alone are up to 15 % too long on a regular mesh. Each pair of adjacent triangles is therefore
    unfolded into one plane and its opposite corners are joined, where the straight line between them crosses the
    shared edge.

    Args:
        vertices: [V, 3].
        faces: [T, 3].
    Returns:
        [V, V] symmetric, float64 lengths in the vertices' unit.
    """
    wide = vertices.astype(np.float64)
    corners = faces.astype(np.int64)
    start, end = corners.ravel(), np.roll(corners, -1, axis=1).ravel()
    keep = start != end
    start, end = start[keep], end[keep]
    length = np.linalg.norm(wide[start] - wide[end], axis=1)
    first, second, face_a, face_b = shared_edges(faces)
    apex_a = corners[face_a].sum(axis=1) - first - second
    apex_b = corners[face_b].sum(axis=1) - first - second
    along = wide[second] - wide[first]
    edge = np.linalg.norm(along, axis=1)
    solid = (edge > 0) & (apex_a != apex_b)
    along = along / np.where(edge > 0, edge, 1.0)[:, None]
    to_a, to_b = wide[apex_a] - wide[first], wide[apex_b] - wide[first]
    x_a, x_b = np.einsum("ed,ed->e", to_a, along), np.einsum("ed,ed->e", to_b, along)
    height_a = np.linalg.norm(to_a - x_a[:, None] * along, axis=1)
    height_b = np.linalg.norm(to_b - x_b[:, None] * along, axis=1)
    height = height_a + height_b
    crossing = x_a + (x_b - x_a) * np.divide(height_a, height, out=np.zeros_like(height), where=height > 0)
    solid &= (crossing >= 0) & (crossing <= edge)
    start = np.concatenate([start, apex_a[solid]])
    end = np.concatenate([end, apex_b[solid]])
    length = np.concatenate([length, np.hypot(x_b - x_a, height)[solid]])
    # A sparse graph has no edges of length zero and adds up doubled ones: floor them, keep the shortest of each pair.
    length = np.maximum(length, np.finfo(np.float32).tiny)
    count = len(vertices)
    key = np.minimum(start, end) * count + np.maximum(start, end)
    order = np.lexsort((length, key))
    key, pick = np.unique(key[order], return_index=True)
    length, low, high = length[order][pick], key // count, key % count
    rows, columns = np.concatenate([low, high]), np.concatenate([high, low])
    return csr_array((np.concatenate([length, length]), (rows, columns)), shape=(count, count))


def geodesic_distances(
    vertices: np.ndarray, faces: np.ndarray, sources: np.ndarray, limit: float = np.inf
) -> np.ndarray:
    """Distances along the surface from some vertices to all.

    Dijkstra on ``surface_graph``. Never below the true distance on a plane; see test_geodesic.py for the excess.

    Args:
        vertices: [V, 3].
        faces: [T, 3].
        sources: [K] integer vertex indices.
        limit: distances above it are not looked for.
    Returns:
        [K, V] float32, vertices' unit; inf across components and beyond ``limit``.
    Raises:
        ShapeError, MeshError: the arrays are no mesh.   InputError: a source is no vertex.
    Twin: ``lab.reference.geodesic.geodesic_distances``.
    """
    check_mesh_arrays(vertices, faces)
    _check_sources(sources, len(vertices))
    graph = surface_graph(vertices, faces)
    found = np.empty((len(sources), len(vertices)), np.float32)
    for begin in range(0, len(sources), SOURCE_CHUNK):
        rows = slice(begin, begin + SOURCE_CHUNK)
        found[rows] = csgraph.dijkstra(graph, directed=True, indices=sources[rows], limit=limit)
    return found


def nearest_landmarks(
    vertices: np.ndarray, faces: np.ndarray, landmark_vertices: np.ndarray, k_nn: int
) -> tuple[np.ndarray, np.ndarray]:
    """The landmarks nearest to each vertex along the surface.

    Dijkstra from every landmark, for a dozen neighbours at a time on the part of the mesh that may listen to them. From
    one landmark of each such group everything is measured: the k-th landmark of a vertex at d from it is no farther
    than its own k-th and d together, and none of the group is nearer to the vertex than d less the group's radius. What
    is left out of a group's part therefore listens to none of the group, and no shortest path to a vertex that does
    leads through it. The result is exact for the graph.

    Args:
        vertices: [V, 3].
        faces: [T, 3].
        landmark_vertices: [K] distinct vertex indices.
        k_nn: k = min(k_nn, K) landmarks are returned.
    Returns:
        index [V, k] int64 landmark, nearest first (equal distances: lowest first); distance [V, k] float32, inf where
        the vertex's component has no more landmarks (the index is then some other landmark).
    Raises:
        ShapeError, MeshError: the arrays are no mesh.   InputError: landmarks are not distinct vertices.
    Twin: ``lab.reference.geodesic.nearest_landmarks``.
    """
    check_mesh_arrays(vertices, faces)
    _check_sources(landmark_vertices, len(vertices))
    total, landmarks = len(vertices), len(landmark_vertices)
    if len(np.unique(landmark_vertices)) != landmarks:
        raise InputError(f"{landmarks} landmarks name {len(np.unique(landmark_vertices))} vertices: make them distinct")
    k = min(k_nn, landmarks)
    if k < 1:
        raise InputError(f"{k} neighbours wanted of {landmarks} landmarks, the least is 1")
    graph = csr_matrix(surface_graph(vertices, faces))
    table = np.full((landmarks, total), np.inf, np.float32)
    centres, reach = _spread_centres(graph, landmark_vertices, max(1, landmarks // GROUP_LANDMARKS))
    group = np.argmin(reach[:, landmark_vertices], axis=0)
    kth = np.partition(reach[:, landmark_vertices], k - 1, axis=1)[:, k - 1]
    within = (kth[:, None] + reach).min(axis=0)
    for number, centre in enumerate(centres):
        members = np.flatnonzero((group == number) & (np.arange(landmarks) != centre))
        table[centre] = reach[number]
        if not len(members):
            continue
        radius = float(reach[number, landmark_vertices[members]].max())
        # Sums of the same lengths in another order differ in their last digits.
        near = np.isfinite(reach[number]) & (reach[number] - radius <= within * (1 + SLACK))
        part = np.flatnonzero(near)
        place = np.cumsum(near) - 1
        sources = place[landmark_vertices[members]]
        limit = float(within[part].max()) * (1 + SLACK)
        own = graph[part][:, part]
        for member, source in zip(members, sources, strict=True):
            # One by one, since nothing else in the process runs while scipy searches.
            table[member, part] = csgraph.dijkstra(own, indices=int(source), limit=limit)
    index, distance = np.empty((total, k), np.int64), np.empty((total, k), np.float32)
    for begin in range(0, total, VERTEX_CHUNK):
        chunk = slice(begin, begin + VERTEX_CHUNK)
        # Bit patterns of lengths grow with them: one number sorts by length, then by landmark.
        keys = np.ascontiguousarray(table[:, chunk].T).view(np.int32).astype(np.int64) << 32
        keys |= np.arange(landmarks)
        keys = np.sort(np.partition(keys, k - 1, axis=1)[:, :k], axis=1)
        index[chunk] = keys & 0xFFFFFFFF
        distance[chunk] = (keys >> 32).astype(np.int32).view(np.float32)
    return index, distance


def skinning_weights(
    vertices: np.ndarray, faces: np.ndarray, landmark_vertices: np.ndarray, k_nn: int, sigma_geo: float
) -> SkinningWeights:
    """Gaussian weights of the geodesically nearest landmarks of every vertex (App. D.2).

    sigma is ``sigma_geo`` times the mean geodesic distance from a landmark to its nearest other one. A vertex hears
    landmarks of its own component only, so that motion does not leak between parts; where the component has fewer than
    ``OWN_LANDMARKS`` of them (and fewer than ``k_nn``), the missing neighbours are taken in a straight line from
    the other components.

    Args:
        vertices: [V, 3] anchor.
        faces: [T, 3].
        landmark_vertices: [K] distinct vertex indices.
        k_nn: landmarks per vertex (App. C: 120).
        sigma_geo: in mean landmark spacings.
    Returns:
        the weights, k = min(k_nn, K).
    Raises:
        as ``nearest_landmarks``.
    Twin: ``lab.reference.geodesic.skinning_weights``.
    """
    # Two neighbours at least: the second of a landmark's own vertex gives the spacing.
    index, distance = nearest_landmarks(vertices, faces, landmark_vertices, max(k_nn, 2))
    places = vertices[landmark_vertices].astype(np.float64)
    spacing = np.inf
    if distance.shape[1] > 1:
        next_one = distance[landmark_vertices, 1].astype(np.float64)
        spacing = float(next_one[np.isfinite(next_one)].mean()) if np.isfinite(next_one).any() else _spacing(places)
    k = min(k_nn, len(landmark_vertices))
    index, distance = index[:, :k].copy(), distance[:, :k].astype(np.float64)
    found = np.isfinite(distance).sum(axis=1)
    lacking = np.flatnonzero((found < k) & (found < OWN_LANDMARKS))
    if len(lacking):
        index[lacking], distance[lacking] = _fill_straight(vertices, places, index, distance, lacking)
    # Dividing the row by its largest weight first keeps rows far from every landmark from vanishing.
    gap = distance**2 - distance[:, :1] ** 2
    weight = np.exp(-gap / (2 * (sigma_geo * spacing) ** 2))
    weight /= weight.sum(axis=1, keepdims=True)
    return SkinningWeights(index, weight.astype(np.float32))


def _check_sources(sources: np.ndarray, total: int) -> None:
    check_shape("landmark_vertices", sources, "K")
    if len(sources) == 0 or sources.min() < 0 or sources.max() >= total:
        span = f"{sources.min()} to {sources.max()}" if len(sources) else "no vertex"
        raise InputError(f"landmarks name {span} of a mesh with vertices 0 to {total - 1}")


def _spread_centres(graph: csr_matrix, landmark_vertices: np.ndarray, count: int) -> tuple[list[int], np.ndarray]:
    """Landmarks that lie far apart, with their distances to all vertices.

    Returns:
        their numbers, at least ``count`` and at least one in each component that has landmarks; [n, V] float64.
    """
    centres: list[int] = []
    rows: list[np.ndarray] = []
    nearest = np.full(len(landmark_vertices), np.inf)
    while len(centres) < count or not np.isfinite(nearest).all():
        centres.append(int(np.argmax(nearest)))
        rows.append(csgraph.dijkstra(graph, indices=int(landmark_vertices[centres[-1]])))
        nearest = np.minimum(nearest, rows[-1][landmark_vertices])
    return centres, np.stack(rows)


def _spacing(places: np.ndarray) -> float:
    """Mean straight distance from a landmark to its nearest other one; [K, 3] with K > 1."""
    spacing = float(cKDTree(places).query(places, 2)[0][:, 1].mean())
    if not spacing > 0:
        raise MeshError(f"all {len(places)} landmarks lie on one point: choose landmarks apart")
    return spacing


def _fill_straight(
    vertices: np.ndarray, places: np.ndarray, index: np.ndarray, distance: np.ndarray, lacking: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For some vertices, the k nearest landmarks where unreachable ones count at their straight distance."""
    k = index.shape[1]
    length = np.linalg.norm(vertices[lacking, None].astype(np.float64) - places[None], axis=2)
    rows = np.arange(len(lacking))[:, None]
    own = np.isfinite(distance[lacking])
    length[rows, index[lacking]] = np.where(own, distance[lacking], length[rows, index[lacking]])
    order = np.argsort(length, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(length, order, axis=1)
