"""Which patches of a mesh hold each other, and where: what keeps a surface in one piece that no network speaks for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array, csgraph
from scipy.spatial import cKDTree

from ..shapes import check_shape

JOINTS = 3
"""Landmarks of either patch, those nearest to the other, at which two patches hold each other."""


@dataclass(frozen=True)
class Links:
    """Places that two patches have in common.

    Attributes:
        one, other: [L] the two patches of each place.
        place: [L, 3] float64 at rest.
        share: [L] of each place in its pair: they sum to 1 over the places of a pair.
    """

    one: np.ndarray
    other: np.ndarray
    place: np.ndarray
    share: np.ndarray


def make_links(rest: np.ndarray, of: np.ndarray, pairs: np.ndarray) -> Links:
    """Links between patches that touch, and between pieces of a mesh that touch nowhere, where they are nearest.

    A mesh is often made of pieces (eyes, buttons, clothes); a piece that nothing is seen of goes where its neighbour
    goes.

    Args:
        rest: [K, 3] landmarks; of: [K] patch of each, from 0 without gaps.   pairs: [E, 2] patches that touch.
    Raises:
        ShapeError: shapes disagree.
    """
    check_shape("of", of, "K", **check_shape("rest", rest, "K 3"))
    check_shape("pairs", pairs, "E 2")
    members = [np.flatnonzero(of == patch) for patch in range(int(of.max()) + 1)]
    one, other, place, share = [], [], [], []
    for a, b in join_pieces(rest, of, pairs).tolist():
        here, there = rest[members[a]], rest[members[b]]
        near = np.concatenate([_nearest(here, there), _nearest(there, here)])
        one.append(np.full(len(near), a))
        other.append(np.full(len(near), b))
        place.append(near)
        share.append(np.full(len(near), 1.0 / len(near)))
    if not one:
        none = np.zeros(0, np.int64)
        return Links(none, none, np.zeros((0, 3)), np.zeros(0))
    return Links(np.concatenate(one), np.concatenate(other), np.concatenate(place), np.concatenate(share))


def join_pieces(rest: np.ndarray, of: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """``pairs`` [E, 2], and more until all hang together: from every piece one to the piece that is nearest to it."""
    count = int(of.max()) + 1
    found = np.asarray(pairs, np.int64).reshape(-1, 2)
    while True:
        graph = coo_array((np.ones(len(found)), (found[:, 0], found[:, 1])), shape=(count, count))
        pieces, piece = csgraph.connected_components(graph, directed=False)
        if pieces == 1:
            return found
        new = []
        for number in range(pieces):
            own = np.flatnonzero(piece[of] == number)
            others = np.flatnonzero(piece[of] != number)
            apart, partner = cKDTree(rest[others]).query(rest[own])
            best = int(apart.argmin())
            new.append(sorted((int(of[own[best]]), int(of[others[partner[best]]]))))
        found = np.unique(np.concatenate([found, np.array(new, np.int64)]), axis=0)


def _nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The ``JOINTS`` of points [n, 3] that lie nearest to any of others [m, 3]; fewer where there are fewer."""
    apart = cKDTree(others).query(points)[0]
    found: np.ndarray = points[np.argsort(apart, kind="stable")[:JOINTS]]
    return found
